"""Pages of results to see and hear: one folder each, opened from disk without a network."""
