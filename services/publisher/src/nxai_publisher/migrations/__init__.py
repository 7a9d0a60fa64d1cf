"""The history of the data logger's tables (Alembic), run when the service starts."""
