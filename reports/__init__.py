"""Pages of results to look at and listen to: a folder each, opened from disk, without a network."""
