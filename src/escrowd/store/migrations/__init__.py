"""The history of the schema: one file for each change, from the first on. Alembic runs them in order."""
