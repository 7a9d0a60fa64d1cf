"""The history of the sample store's tables (Alembic), run when it is opened."""
