"""Compressed models of a run: pruned, quantised, distilled; rivals on the first tier alone."""
