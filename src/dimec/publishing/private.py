"""What is of this machine alone, taken out of what is pushed: absolute paths, and its folders."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
from safetensors import safe_open

from dimec.base.storage import atomic_write, load_arrays, save_arrays

# ``csv:/home/me/a.csv``, ``~/models/small``, ``C:\data\a.csv``: a whole value, with a task's kind.
_PATH = re.compile(
    r"((?:[A-Za-z0-9_+-]{2,}:)?)(?:~[\w.-]*[/\\]|[A-Za-z]:[/\\]|/|\\\\)(.*)", re.DOTALL
)
# Names that somebody gave to things which are no files; one of them may look like a path.
_NOT_PATHS = {"labels", "label_names", "id2label", "label2id", "classes", "guids", "variants"}


def without_path(text: str) -> str:
    """A value without the folders that a file lies in on this machine.

    Example:
        >>> without_path("csv:/home/me/reviews.csv"), without_path("csv:data/reviews.csv")
        ('csv:reviews.csv', 'csv:data/reviews.csv')
        >>> without_path("glue/sst2"), without_path("https://example.org/a/b")
        ('glue/sst2', 'https://example.org/a/b')
    """
    found = _PATH.fullmatch(text)
    if found is None or found[2].startswith("/"):  # the // of an address
        home = str(Path.home())
        return text.replace(f"{home}/", "~/") if len(home) > 1 else text
    return found[1] + re.split(r"[/\\]", found[2].rstrip("/\\"))[-1]


def without_paths(value: Any) -> Any:
    """The same of every text in a JSON value, but for names of classes and rows."""
    if isinstance(value, str):
        return without_path(value)
    if isinstance(value, list):
        return [without_paths(one) for one in value]
    if isinstance(value, dict):
        return {key: one if key in _NOT_PATHS else without_paths(one) for key, one in value.items()}
    return value


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """A JSON value in which each text that is a key of ``names`` is replaced, keys too."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, list):
        return [renamed(one, names) for one in value]
    if isinstance(value, dict):
        return {names.get(key, key): renamed(one, names) for key, one in value.items()}
    return value


def cleaned(source: Path, target: Path, names: Mapping[str, str]) -> Path:
    """A file without what is private: ``source`` itself where nothing is, else ``target``.

    Args:
        source: JSON, TOML, or arrays of dimec's; any other is taken as it is. So is a link, which
            nothing is read through: whoever packs refuses it.
        target: where the other one is written.
        names: fingerprints of models, and what they are with the paths taken out.

    Raises:
        ArtefactError: it is damaged.
        ValueError: it is no JSON or TOML.
    """

    def clean(value: Any) -> Any:
        return renamed(without_paths(value), names)

    if source.is_symlink():
        return source
    if source.suffix == ".json":
        value = json.loads(source.read_bytes())
        if (new := clean(value)) == value:
            return source
        atomic_write(target, json.dumps(new, indent=2, ensure_ascii=False) + "\n")
    elif source.suffix == ".toml":
        table = tomllib.loads(source.read_text("utf-8"))
        if (new := clean(table)) == table:
            return source
        atomic_write(target, tomli_w.dumps(new))
    elif source.suffix == ".safetensors":
        return _cleaned_arrays(source, target, clean)
    else:
        return source
    return target


def _cleaned_arrays(source: Path, target: Path, clean: Any) -> Path:
    with safe_open(source, framework="numpy") as stream:
        kind = (stream.metadata() or {}).get("dimec.kind")
        header = {
            key: json.loads(value)
            for key, value in (stream.metadata() or {}).items()
            if kind is not None and not key.startswith("dimec.")
        }
    new = {key: value if key in _NOT_PATHS else clean(value) for key, value in header.items()}
    if kind is None or new == header:
        return source
    save_arrays(target, kind, load_arrays(source, kind, "dimec train")[0], new)
    return target
