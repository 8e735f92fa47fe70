"""A run: its directory, its fit, and all that is done on it."""
