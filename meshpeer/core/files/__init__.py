"""Content-addressed files: who holds what, fetching, serving, and wants that cross gaps."""
