"""A person's chain: logs of signed blocks, who holds them, and how they spread."""
