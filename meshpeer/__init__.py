"""A peer that writes, carries and shares where links come and go."""

__version__ = "0.1.0"
