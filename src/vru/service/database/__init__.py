"""PostgreSQL: tables, sessions and migrations."""
