"""Data sets: named, versioned lists of recordings with their approved ground truth and conditions."""
