"""Alembic's scripts: how the schema became what it is."""
