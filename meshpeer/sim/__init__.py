"""Many cores on a simulated network, one seed, no sleeping."""
