"""The plan of a change, and the detached executor that makes it."""
