"""Benchmarks of dimec: how long it takes and how much memory, against stated goals."""
