"""``dimec export --executorch``: the first tier as programs for a phone's runtime."""
