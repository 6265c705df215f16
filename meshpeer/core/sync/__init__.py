"""What peers say to each other over a link."""
