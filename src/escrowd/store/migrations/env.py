"""Runs the migrations over the connection that it is given (see :mod:`escrowd.store.migrating`)."""

from alembic import context

from escrowd.store.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
