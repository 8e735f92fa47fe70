"""From a trained run to the tiers' bundles."""
