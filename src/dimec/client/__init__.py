"""One tier, asked over the network: requests, checks, deadlines, failures."""
