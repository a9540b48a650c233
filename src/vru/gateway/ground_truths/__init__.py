"""Ground truth: annotation files, read, checked against their video, and stored box by box."""
