"""Arrow's own files, and what ``datasets`` keeps in them.

``Dataset.save_to_disk`` writes a folder of such files for a split, ``DatasetDict.save_to_disk`` a
folder of those folders.

They are read by pyarrow alone; ``datasets`` need not be installed.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dimec.base.errors import DataError, MissingExtraError, option, quoted, shown
from dimec.data.dataset import SPLITS
from dimec.data.labels import split_called
from dimec.data.sources import read_bytes, shown_names
from dimec.data.tables import Table, arrow_table

SAVED = "datasets"  # the prefix of a folder with splits, as in datasets:FOLDER
_DICT, _STATE = "dataset_dict.json", "state.json"
_FILE_MARK = b"ARROW1"  # of a file; a stream has none


def read_arrow(path: Path) -> Table:
    """An Arrow file or stream, or a split that ``datasets`` saved; rows are counted from 1.

    Raises:
        DataError: missing, damaged, or something else.
        MissingExtraError: pyarrow is not installed.
    """
    try:
        pyarrow = importlib.import_module("pyarrow")
    except ImportError:
        raise MissingExtraError("pyarrow", "train", "reading Arrow files") from None
    files = _files_of(path) if path.is_dir() else (path,)
    with _damage(path, pyarrow):
        parts = [_contents(file, pyarrow) for file in files]
        return arrow_table(pyarrow.concat_tables(parts), path)


def splits_saved(folder: Path) -> dict[str, str]:
    """Split → what reads it, such as ``arrow:reviews/test``, of a folder of saved splits.

    Raises:
        DataError: it is no such folder, or its splits are not train and validation, test or both.
    """
    if not folder.exists():
        raise DataError(f"{folder} does not exist; check the path")
    if not (folder / _DICT).is_file():
        hint = (
            f"it is one split, read it as arrow:{folder}"
            if (folder / _STATE).is_file()
            else "write one so, or check the path"
        )
        raise DataError(
            f"{folder}: expected a folder that DatasetDict.save_to_disk wrote, with a {_DICT}; "
            f"{hint}"
        )
    names = _json_of(folder / _DICT).get("splits")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{folder / _DICT} names no splits; save the DatasetDict again")
    called = {name: split_called(name) for name in names}
    splits = {str(split): f"arrow:{folder / name}" for name, split in called.items() if split}
    if len(splits) < len(names) or "train" not in splits or len(splits) < 2:
        raise DataError(
            f"{folder}: expected the splits train and validation, test or both, got "
            f"{shown_names(tuple(names)) or 'none'}; name those that you mean, such as "
            f"{option('train', f'arrow:{folder}/train')} {option('test', f'arrow:{folder}/test')}"
        )
    return {split: splits[split] for split in SPLITS if split in splits}


def _files_of(folder: Path) -> tuple[Path, ...]:
    """The files of a split, in order."""
    if (folder / _DICT).is_file():
        raise DataError(f"{folder} holds several splits; read it as {SAVED}:{folder}")
    if not (folder / _STATE).is_file():
        raise DataError(
            f"{folder}: expected an Arrow file, or a folder that Dataset.save_to_disk wrote, with "
            f"a {_STATE}; write one so, or name a file in it"
        )
    state = _json_of(folder / _STATE)
    try:
        names = [str(one["filename"]) for one in state["_data_files"]]
    except (KeyError, TypeError):
        names = []
    if not names:
        raise DataError(f"{folder / _STATE} names no files; save the split again")
    if state.get("_indices_data_files"):
        raise DataError(
            f"{folder} was saved by an old version of datasets with a selection of its rows; load "
            "and save it with a newer one"
        )
    return tuple(folder / name for name in names)


def _contents(path: Path, pyarrow: Any) -> Any:
    content = read_bytes(path)
    opened = "open_file" if content.startswith(_FILE_MARK) else "open_stream"
    ipc = importlib.import_module("pyarrow.ipc")
    with getattr(ipc, opened)(pyarrow.BufferReader(content)) as reader:
        return reader.read_all()


@contextmanager
def _damage(path: Path, pyarrow: Any) -> Iterator[None]:
    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = shown(" ".join(str(error).split()), 80)
        raise DataError(
            f"{path} is no whole Arrow file ({reason}); check its kind, or write it again"
        ) from None


def _json_of(path: Path) -> dict[str, Any]:
    content = read_bytes(path)
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise DataError(f"{path}: expected a JSON object, got {quoted(content)}; save it again")
    return found
