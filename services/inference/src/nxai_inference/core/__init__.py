"""Pure code: numpy and the standard library."""
