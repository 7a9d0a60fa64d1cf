"""Each file wraps one thing outside: the settings file, the deployments file, the secrets."""
