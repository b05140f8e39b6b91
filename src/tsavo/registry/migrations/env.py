"""Alembic's entry: runs the migrations on the connection that `registry.migrate` hands over."""

from alembic import context

from tsavo.storage import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
