"""Tables of Arrow: what is told beside their columns, and their files.

A table that dimec made says what it is in its schema's metadata, as JSON under a key of its own.
Parquet and Arrow files keep it; pandas keeps it in ``DataFrame.attrs``, and hands it on to Arrow.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dimec.base.errors import (
    ConfigError,
    CorruptArtefactError,
    DataError,
    MissingArtefactError,
    MissingExtraError,
    quoted,
    shown,
)
from dimec.base.storage import atomic_path

PARQUET, ARROW = (".parquet",), (".arrow", ".feather")
ENDINGS = PARQUET + ARROW


def pyarrow_for(purpose: str) -> Any:
    """The module pyarrow; MissingExtraError where it is not installed."""
    return _module("pyarrow", purpose)


def is_table_file(path: Path | str) -> bool:
    """Whether a file's ending is one of :data:`ENDINGS`, in any case."""
    return Path(path).suffix.lower() in ENDINGS


def check_table_file(path: Path | str, option: str) -> None:
    """Refuse what :func:`write_table` could not write, before there is anything to write.

    Raises:
        ConfigError: another ending; names the option.
        MissingExtraError: pyarrow is not installed.
    """
    if not is_table_file(path):
        raise ConfigError(
            f"{option}: expected a file that ends in {', '.join(ENDINGS)}, got "
            f"{quoted(str(path), 80)}; name one so"
        )
    pyarrow_for("writing tables")


def with_metadata(table: Any, key: str, said: Mapping[str, Any]) -> Any:
    """A table that also says something, as JSON values under a key."""
    kept = dict(table.schema.metadata or {})
    kept[key.encode()] = json.dumps(said, allow_nan=False).encode()
    return table.replace_schema_metadata(kept)


def metadata_in(table: Any, key: str) -> dict[str, Any] | None:
    """What a table says under a key, also where it went through pandas; None where nothing."""
    metadata = table.schema.metadata or {}
    try:
        if (text := metadata.get(key.encode())) is not None:
            found = json.loads(text)
        else:
            found = json.loads(metadata[b"pandas"])["attributes"][key]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def said_in(table: Any, key: str, maker: str, otherwise: str) -> dict[str, Any]:
    """What a table that dimec made says under a key.

    Args:
        table: of Arrow.
        key: of the kind of table.
        maker: what makes such a table, for messages: ``"Trace.to_arrow"``.
        otherwise: what to do with one that was not made so.

    Raises:
        DataError: it says nothing.
    """
    said = metadata_in(table, key)
    if said is None:
        raise DataError(
            f"expected a table that {maker} made, got one without {key!r} in its metadata "
            f"(polars drops it); {otherwise}"
        )
    return said


def as_pandas(table: Any, key: str) -> Any:
    """The same as a pandas ``DataFrame``; what it says under the key is in its ``attrs``."""
    pandas = _module("pandas", "a pandas DataFrame")
    found = table.replace_schema_metadata(None).to_pandas(use_threads=False)
    assert isinstance(found, pandas.DataFrame)
    found.attrs[key] = metadata_in(table, key)
    return found


def table_from(source: Any, what: str) -> Any:
    """A pyarrow table of anything with ``__arrow_c_stream__``.

    Args:
        source: such as a table of pandas or pyarrow.
        what: is expected, for messages.

    Raises:
        DataError: it has none, or Arrow cannot take its columns.
        MissingExtraError: pyarrow is not installed.
    """
    pyarrow = pyarrow_for("reading tables in memory")
    if not hasattr(source, "__arrow_c_stream__"):
        raise DataError(
            f"expected {what} as a table of Arrow or pandas, got {type(source).__name__}; give one"
        )
    try:
        return pyarrow.table(source)
    except (pyarrow.ArrowException, TypeError, ValueError) as error:
        raise DataError(
            f"expected {what}, got a table that Arrow cannot take ({_reason(error)}); make it "
            "again with to_arrow"
        ) from None


def write_table(path: Path, table: Any) -> None:
    """Write a table to a Parquet or an Arrow file by the ending, whole or not at all.

    Raises:
        ConfigError: another ending.
        StorageError: the disk is full or refuses to write.
    """
    check_table_file(path, "path")
    with atomic_path(path) as temporary:
        if Path(path).suffix.lower() in PARQUET:
            parquet = importlib.import_module("pyarrow.parquet")
            parquet.write_table(table, temporary)
            return
        ipc = importlib.import_module("pyarrow.ipc")
        with ipc.new_file(temporary, table.schema) as writer:
            writer.write_table(table)


def read_table_file(path: Path, made_by: str) -> Any:
    """The table of a file that :func:`write_table` wrote.

    Parquet is read in this thread alone, see :func:`dimec.data.tables.read_parquet`.

    Raises:
        ConfigError: another ending.
        ArtefactError: missing, or not whole.
        MissingExtraError: pyarrow is not installed.
    """
    check_table_file(path, "path")
    pyarrow = pyarrow_for("reading tables")
    if not Path(path).is_file():
        raise MissingArtefactError(f"{path} does not exist; make it with: {made_by}")
    try:
        if Path(path).suffix.lower() in PARQUET:
            parquet = importlib.import_module("pyarrow.parquet")
            with parquet.ParquetFile(path, pre_buffer=False) as file:
                return file.read(use_threads=False)
        ipc = importlib.import_module("pyarrow.ipc")
        with pyarrow.OSFile(str(path)) as source, ipc.open_file(source) as reader:
            return reader.read_all()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise CorruptArtefactError(
            f"{path} is not a whole table ({_reason(error)}); make it again with: {made_by}"
        ) from None


def distinct_columns(names: Sequence[str], what: str) -> None:
    """Refuse two columns of one name; DataError says which."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(
                f"{what} as a table would have two columns {quoted(name)}; give its classes, "
                "sources and further columns names that differ"
            )
        seen.add(name)


def _module(name: str, purpose: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingExtraError(name, "tables", purpose) from None


def _reason(error: Exception) -> str:
    return shown(" ".join(str(error).split()), 80)
