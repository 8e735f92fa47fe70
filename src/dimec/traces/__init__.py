"""What models said of a split, recorded."""
