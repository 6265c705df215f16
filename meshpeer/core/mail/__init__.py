"""What persons write to each other: compose, seal, open, receipts."""
