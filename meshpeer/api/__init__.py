"""The only door to a running peer."""
