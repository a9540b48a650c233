"""Imported predictions: boxes of a detector that ran elsewhere, matched with recordings by name."""
