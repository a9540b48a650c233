"""Comparisons of two runs, and how good the ground truth is."""
