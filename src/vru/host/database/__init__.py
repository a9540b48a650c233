"""PostgreSQL in its container, and backups of it."""
