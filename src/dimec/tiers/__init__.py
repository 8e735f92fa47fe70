"""Tiers, prices and what an answer takes: usage, latency, scenarios."""
