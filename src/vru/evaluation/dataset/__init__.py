"""Metrics of a whole data set under a protocol."""
