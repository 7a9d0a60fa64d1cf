"""Each file wraps one thing outside: Edge Impulse, the database, the folder of models."""
