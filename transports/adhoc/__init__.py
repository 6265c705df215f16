"""Peers that hear each other with no IP between them: cell, monitor and serial."""
