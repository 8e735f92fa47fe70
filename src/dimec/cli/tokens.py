"""Bearer tokens from a file or the environment: never from the command line, where all see them."""

from __future__ import annotations

import os
from pathlib import Path

from dimec.base.errors import ConfigError

VARIABLE = "DIMEC_TOKEN"
_MOST_BYTES = 4096


def read_token(path: Path | None) -> str | None:
    """The token in a file, else the one in ``DIMEC_TOKEN``, else None.

    Space around it is dropped, such as the newline at a file's end.

    Raises:
        ConfigError: the file cannot be read, or there is no token that a header can carry. The
            message never shows what was found.
    """
    if path is None:
        where, text = VARIABLE, os.environ.get(VARIABLE)
        if text is None:
            return None
    else:
        where = str(path)
        try:
            with path.open("rb") as stream:
                text = stream.read(_MOST_BYTES + 1).decode("utf-8", "replace")
        except OSError as error:
            raise ConfigError(f"--token-file {path}: {error.strerror}") from None
    token = text.strip()
    if not 0 < len(token) <= _MOST_BYTES or not all("!" <= char <= "~" for char in token):
        raise ConfigError(
            f"{where}: expected a token of printable ASCII characters without spaces, found "
            f"{'nothing' if not token else 'something else'}; make one with: openssl rand -hex 32"
        )
    return token
