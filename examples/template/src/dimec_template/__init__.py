"""What a package brings to dimec, a module each; ``pyproject.toml`` names them."""
