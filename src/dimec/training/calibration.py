"""A user's own calibration texts: read, run through the model once, and labelled by another file.

What the model says of a file is kept in the run directory, so that a second fit on the same file,
such as one with labels, takes no time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.base.errors import ArtefactError, DataError, option, quoted, shown
from dimec.base.progress import Progress
from dimec.base.storage import atomic_write
from dimec.contract.losses import UNKNOWN
from dimec.data.dataset import Dataset, Splits
from dimec.data.files import default_pair_column, default_text_column
from dimec.data.labels import label_texts
from dimec.data.sources import read_lines
from dimec.data.tables import ABSENT, Table, kind_of, read_table
from dimec.runs.calibration import Calibration, CalibrationFiles, WorthALabel
from dimec.runs.workspace import RunDirectory
from dimec.settings.data import DataSettings
from dimec.traces.trace import Trace
from dimec.training.export.parity_rows import takes_pairs

_SPLIT = "calibration"


def read_calibration(run: RunDirectory, files: CalibrationFiles, progress: Progress) -> Calibration:
    """The rows of a user's files, as every exit of a run's model sees them.

    Args:
        run: trained.
        files: of texts, and of labels for them.
        progress: where to report to.

    Raises:
        DataError: a file cannot be read, a row has no text, an id comes twice, a label is none of
            the model's, or a row was trained or validated on.
    """
    path = Path(str(files.text))
    names = run.trace("validation").label_names
    splits = _splits(run, progress)
    texts, labels = read_texts(path, run.settings().data, names, takes_pairs(run))
    if splits is not None:
        _refuse_known(run, texts, splits)
    if files.labels is not None:
        labels = _merged(labels, read_labels_file(Path(files.labels), texts, names))
    known = int((labels != UNKNOWN).sum())
    told = "without labels" if not known else "" if known == len(labels) else f"{known} labelled"
    source = f"{len(texts):,} rows of {shown(path.name, 40)}{told and f' ({told})'}"
    return Calibration(_trace(run, texts, progress), labels, source, path.resolve())


def read_texts(
    path: Path, data: DataSettings, names: Sequence[str], pairs: bool | None
) -> tuple[Dataset, npt.NDArray[np.int64]]:
    """The texts of a file, and their labels where it has any.

    A table (.csv, .tsv, .json, .jsonl, .parquet, .arrow) has the columns that the run was trained
    on, and may have ``id`` and a label; any other file has a text a line.

    Args:
        path: the file.
        data: how the rows of training were written, and what their columns are called.
        names: of the model's classes.
        pairs: whether the model takes pairs of texts; None where that is not known, and the
            columns tell.

    Raises:
        DataError: names the row and what is wrong with it.
    """
    kind = kind_of(path)
    if kind is None:
        table = _lines(path)
    else:
        csv = kind == "csv"
        table = read_table(
            path,
            kind,
            delimiter=data.delimiter if csv else None,
            encoding=data.encoding if kind not in ("parquet", "arrow") else None,
            header=data.header or kind not in ("csv", "tsv"),
        )
    text = data.text_column if data.text_column in table.columns else None
    text = text or default_text_column(table.columns)
    if text is None:
        raise DataError(
            f"{path}: no column called {data.text_column or 'text, sentence, sentence1'}; name the "
            "column as in the rows that the run was trained on"
        )
    pair = data.pair_column or default_pair_column(table.columns, text) or (pairs and "sentence2")
    texts = _column(table, text)
    ids = _ids(table, path)
    dataset = Dataset(
        task=f"{_SPLIT}:{path.name}",
        texts=texts,
        pairs=_column(table, pair) if pair and pairs is not False else None,
        labels=np.zeros(len(texts), np.int64),
        label_names=tuple(names),
        guids=ids,
    )
    label = data.label_column or "label"
    if label not in table.columns:
        return dataset, np.full(len(texts), UNKNOWN)
    return dataset, _codes(table, label, names)


def write_rows(run: RunDirectory, kept: Mapping[str, Any], out: Path) -> WorthALabel:
    """Write the texts that are worth a label, as JSON lines to be filled in.

    Args:
        run: trained.
        kept: what :func:`dimec.runs.contract_fit.kept_rows` gives.
        out: the file to write.

    Raises:
        DataError: the file of texts has changed since the fit, or cannot be read.
    """
    names = run.trace("validation").label_names
    texts, _ = read_texts(Path(kept["text"]), run.settings().data, names, takes_pairs(run))
    place = {guid: row for row, guid in enumerate(texts.guids)}
    if len(texts) != kept["of"] or any(guid not in place for guid in kept["rows"]):
        raise DataError(
            f"{kept['text']} has changed since the contract was fitted; fit again with it, and "
            "then label"
        )
    lines = []
    for guid in kept["rows"]:
        row = place[guid]
        pair = {} if texts.pairs is None else {"pair": texts.pairs[row]}
        record = {"id": guid, "text": texts.texts[row], **pair, "label": ""}
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    atomic_write(out, "".join(lines))
    return WorthALabel(len(lines), len(texts), tuple(names))


def read_labels_file(path: Path, texts: Dataset, names: Sequence[str]) -> npt.NDArray[np.int64]:
    """(N,) labels of the texts from a file with the columns ``id`` and ``label``.

    Args:
        path: a table; rows without a label are left unknown.
        texts: whose rows are labelled.
        names: of the model's classes.

    Raises:
        DataError: an id that no text has, or that comes twice; a label that is no class.
    """
    kind = kind_of(path)
    if kind is None:
        raise DataError(
            f"{path}: labels are read from .csv, .tsv, .json, .jsonl, .parquet or .arrow, with "
            "the columns id and label"
        )
    table = read_table(path, kind)
    ids, codes = _ids(table, path, needed=True), _codes(table, "label", names)
    place = {guid: row for row, guid in enumerate(texts.guids)}
    labels = np.full(len(texts), UNKNOWN)
    for guid, code in zip(ids, codes.tolist(), strict=True):
        if guid not in place:
            raise DataError(
                f"{path}: no row of the calibration texts has the id {quoted(guid)}; label the "
                "rows that dimec contract rows wrote, and keep their ids"
            )
        labels[place[guid]] = code
    return labels


def _lines(path: Path) -> Table:
    return Table(path, ("text",), [(number, (line,)) for number, line in read_lines(path)])


def _column(table: Table, name: str) -> tuple[str, ...]:
    place = table.position(name)
    for number, cells in table.rows:
        if not isinstance(cells[place], str):
            raise table.error(number, f"expected a text in column {quoted(name)}")
    return tuple(cells[place] for _, cells in table.rows)


def _ids(table: Table, path: Path, needed: bool = False) -> tuple[str, ...]:
    """Names of the rows: their ids, or the file's name and their number."""
    if "id" not in table.columns:
        if needed:
            raise DataError(f"{path}: no column called id, which tells the row of a label")
        return tuple(f"{path.name}-{row}" for row in range(len(table.rows)))
    place = table.position("id")
    seen: set[str] = set()
    for number, cells in table.rows:
        guid = str(cells[place])
        if cells[place] in (None, "", ABSENT) or guid in seen:
            raise table.error(number, f"expected an id of its own, got {quoted(guid)}")
        seen.add(guid)
    return tuple(str(cells[place]) for _, cells in table.rows)


def _codes(table: Table, column: str, names: Sequence[str]) -> npt.NDArray[np.int64]:
    """(N,) codes of the labels of a table; unknown where a cell is empty."""
    place = table.position(column)
    values = [cells[place] for _, cells in table.rows]
    empty = [value is None or value is ABSENT or value == "" for value in values]
    given = list(dict.fromkeys(v for v, none in zip(values, empty, strict=True) if not none))
    spelled = label_texts(given)
    called = dict(zip(given, spelled if spelled is not None else map(str, given), strict=True))
    place_of = {name: code for code, name in enumerate(names)}
    codes = np.full(len(values), UNKNOWN)
    for row, (value, none) in enumerate(zip(values, empty, strict=True)):
        if none:
            continue
        if called[value] not in place_of:
            raise table.error(
                table.rows[row][0],
                f"{quoted(called[value])} is no label of this model; it has "
                f"{', '.join(shown(name, 40) for name in names)}",
            )
        codes[row] = place_of[called[value]]
    return codes


def _merged(own: npt.NDArray[np.int64], given: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    both = (own != UNKNOWN) & (given != UNKNOWN) & (own != given)
    if both.any():
        raise DataError(
            f"{int(both.sum())} rows have one label in the file of texts and another in "
            f"{option('calibration_labels')}; leave one of them out"
        )
    return np.where(given != UNKNOWN, given, own)


def _splits(run: RunDirectory, progress: Progress) -> Splits | None:
    """The rows of a run; None, and a word on it, where they cannot be read any longer."""
    try:
        return run.splits()
    except (DataError, ArtefactError) as error:
        progress.say(f"whether the model was trained on one of the texts cannot be told: {error}")
        return None


def _refuse_known(run: RunDirectory, texts: Dataset, splits: Splits) -> None:
    """Refuse texts that the model was trained or its policy is fitted on, word by word."""
    known: dict[tuple[str, str | None], str] = {}
    for name, part in (("training", splits.train), ("validation", splits.validation)):
        known |= dict.fromkeys(_keys(part), name)
    found = [known[key] for key in _keys(texts) if key in known]
    if found:
        raise DataError(
            f"{len(found)} of {len(texts)} calibration texts are in the {found[0]} split of "
            f"{run.path}; a contract is tested on rows that fitted nothing: leave them out"
        )


def _keys(part: Dataset) -> list[tuple[str, str | None]]:
    pairs = part.pairs if part.pairs is not None else [None] * len(part)
    return list(zip(part.texts, pairs, strict=True))


def _trace(run: RunDirectory, texts: Dataset, progress: Progress) -> Trace:
    """What every exit says of the texts; that of the same texts is taken from the run directory."""
    digest = hashlib.sha256(json.dumps([texts.fingerprint(), list(texts.guids)]).encode())
    path = run.calibration_path / f"{digest.hexdigest()[:32]}.safetensors"
    fingerprint = run.training()["model"]
    if path.exists():
        trace = Trace.load(path)
        if trace.model == fingerprint:
            return trace
    progress.say("loading torch")
    from dimec.training.transfer import record_rows

    trace = record_rows(run, texts, split=_SPLIT, progress=progress)
    trace.save(path)
    return trace
