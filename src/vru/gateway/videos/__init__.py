"""Videos: received, checked frame by frame, and kept in the media store."""
