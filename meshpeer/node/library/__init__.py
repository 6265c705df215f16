"""Files on the disk: published, fetched, mirrored; the only place that opens them."""
