"""Training a bottleneck at the split."""
