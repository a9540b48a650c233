"""Validation runs: from a request to a verdict, whatever is killed in between."""
