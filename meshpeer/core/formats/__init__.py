"""Objects to bytes and back; pure functions."""
