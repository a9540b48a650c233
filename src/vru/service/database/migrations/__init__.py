"""Alembic's migrations, in the package so that every image can run them. They only expand the schema."""
