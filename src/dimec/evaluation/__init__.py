"""Replays, their intervals, and the ledger drawn up of them."""
