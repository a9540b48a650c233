"""A deployment from its first phase to its last; plan, rollback and hooks."""
