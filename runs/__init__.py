"""What keeps a run on disk: its folder, its state, its results, its log."""
