"""Many texts from a file, resumable."""
