"""Exit 0: fitted to a run's training rows, and recorded in its traces as the exit at layer 0."""
