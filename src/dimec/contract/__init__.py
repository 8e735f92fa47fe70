"""The accuracy contract: what a policy may lose against the reference, and tests of it."""
