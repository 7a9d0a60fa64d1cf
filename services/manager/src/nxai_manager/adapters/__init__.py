"""Each file wraps one thing outside: the settings file, the folder of secrets."""
