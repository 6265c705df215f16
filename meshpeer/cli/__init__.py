"""Commands: parse, call the API, print."""
