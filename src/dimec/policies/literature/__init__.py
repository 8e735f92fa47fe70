"""The systems of the literature, a file each."""
