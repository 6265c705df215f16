"""A peer that writes, carries and shares where links come and go."""
