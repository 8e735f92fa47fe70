"""Others' records become traces: a table is read, parted, priced, and written as a folder.

The folder is of the collection's form (:mod:`dimec.traces.collection`), so what works on traces of
the collection works on it.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from dimec.__about__ import __version__
from dimec.base.arrays import Float32Array, IntArray
from dimec.base.errors import ConfigError, DataError, option, quoted
from dimec.base.metrics import METRICS
from dimec.base.storage import expanded
from dimec.data.licences import OWN
from dimec.data.recorded import FORMS, Columns, form_of, refuse_idle_columns
from dimec.data.recorded_classes import Answered, classes_of, records_of
from dimec.data.recorded_long import read_long
from dimec.data.recorded_models import models_called, read_models
from dimec.data.recorded_wide import read_wide
from dimec.data.splits import halves
from dimec.data.tables import KINDS, Table, read_table
from dimec.data.tasks import file_of
from dimec.runs.import_tiers import are_layers, priced_tiers
from dimec.traces.card import FILE, SPLITS, Card
from dimec.traces.collection import write_entry
from dimec.traces.records import Records, check_answers, together
from dimec.traces.sources import joint_model

_FEWEST = 10  # rows of a split: what is fitted to fewer, or measured on fewer, says nothing


@dataclass(frozen=True)
class Import:
    """What is to be made of a table.

    Attributes:
        form: one of :data:`dimec.data.recorded.FORMS`; told from its columns by default.
        columns: what they are called.
        tiers: exits as ``2,3,6`` or ``phone=2,dc=6``; of a correctness table its models, as
            ``COLUMN,...`` or ``NAME=COLUMN,...``.
        costs: tier → what an answer from it costs, in place of the table's columns.
        per: costs are told per so many answers.
        validation: a second table, whose rows are the validation split; those of the first are the
            test split then.
        embeddings: a file of numpy (.npy), (N, D) numbers of the samples in the table's order.
        share: of the rows that go to the validation split, where no table and no column says.
        seed: of that.
        task, source, licence, model: for the card; by default what can be said of a file.
        metric: ``accuracy``, ``f1`` or ``matthews``.
        label_names: the classes in order; by default integers by value, else as texts.
        reading: ``delimiter`` and ``encoding``, see :func:`dimec.data.tables.read_table`.
    """

    form: str | None = None
    columns: Columns = field(default_factory=Columns)
    tiers: str | None = None
    costs: Mapping[str, float] = field(default_factory=dict)
    per: int = 1
    validation: str | None = None
    embeddings: Path | None = None
    share: float = 0.5
    seed: int = 0
    task: str | None = None
    source: str | None = None
    licence: str = OWN
    model: str = "unknown"
    metric: str = "accuracy"
    label_names: Sequence[str] = ()
    reading: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for keyword, value, known in (("form", self.form, FORMS), ("metric", self.metric, METRICS)):
            if value is not None and value not in known:
                raise ConfigError(
                    f"{option(keyword)} is {quoted(value)}; use one of {', '.join(known)}"
                )
        if not 0 < self.share < 1:
            raise ConfigError(
                f"{option('validation_share')} is {self.share:g}; give a share above 0 and below 1"
            )
        if self.validation is not None and self.columns.split_column is not None:
            raise ConfigError(
                f"give {option('validation')} or {option('split_column')}, not both: each says "
                "what the validation split is"
            )
        if self.validation is not None and self.embeddings is not None:
            raise ConfigError(
                f"{option('embeddings')} is of one table; put the rows of both into one, with "
                f"{option('split_column')}"
            )


@dataclass(frozen=True, eq=False)
class Imported:
    """What became of a table.

    Attributes:
        card: as it was written.
        left_out: rows that the table's split column has in the training split.
    """

    card: Card
    left_out: int

    @property
    def by_model(self) -> bool:
        """Whether each tier is a model of its own."""
        return len(self.card.tiers) > 0 and bool(self.card.tiers[0].source)


def import_table(table: str, out: Path, wanted: Import, *, overwrite: bool = False) -> Imported:
    """Make a folder of traces of a table of records.

    Args:
        table: a file; its ending tells its kind, or ``csv:FILE`` does.
        out: the folder.
        wanted: how it is read.
        overwrite: replace the traces that are there.

    Raises:
        ConfigError: the folder is there, an option that does not fit, or the kind of table is not
            plain.
        DataError: in one line, the file, its row and what to do. Nothing is written then.
    """
    out = expanded(out)
    _check_out(out, overwrite)
    records, form = _read(table, wanted)
    if form == "correctness" and (wanted.metric != "accuracy" or wanted.label_names):
        keyword = "label_names" if wanted.label_names else "metric"
        raise ConfigError(
            f"{option(keyword)} needs answers, and a table of which models were right has none; "
            "leave it out"
        )
    if wanted.embeddings is not None:
        embeddings = _embeddings(expanded(wanted.embeddings), len(records))
        records = replace(records, embeddings=embeddings)
    parts = _parts(records, wanted, table)
    tiers, records = priced_tiers(records, wanted.tiers, wanted.costs, wanted.per)
    models = {source: _digest(records, source) for source in dict.fromkeys(records.sources)}
    file = _file(table)[1]
    task = wanted.task or file.name.partition(".")[0]
    traces = {
        split: records.trace(
            parts[split],
            split,
            [(tier.source, tier.layer) for tier in tiers],
            models,
            task=task,
            metric=wanted.metric,
        )
        for split in SPLITS
    }
    named = {tier.source: tier.source for tier in tiers}
    card = Card(
        task=task,
        source=wanted.source or f"records of others, {file.name}",
        licence=wanted.licence,
        backbone=named if len(models) > 1 else wanted.model,
        recipe=f"recorded, {form} table",
        seed=wanted.seed,
        model=joint_model(models) if len(models) > 1 else next(iter(models.values())),
        exits=records.exits,
        tiers=tiers,
        rows={split: len(trace) for split, trace in traces.items()},
        versions={"dimec": __version__},
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        sha256={},
    )
    whole = write_entry(out, card, traces["validation"], traces["test"])
    return Imported(whole, len(records) - sum(map(len, parts.values())))


def _check_out(out: Path, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / FILE).is_file():
        raise ConfigError(f"{out} is there and holds no traces; choose another {option('out')}")
    if not overwrite:
        raise ConfigError(
            f"{out} holds traces already; choose another {option('out')}, or replace them with "
            "--overwrite"
        )


def _file(table: str) -> tuple[str, Path]:
    found = file_of(table)
    if found is None:
        raise ConfigError(
            f"expected a table such as records.csv or csv:PATH, got {quoted(table, 80)}; kinds are "
            f"{', '.join(KINDS)}"
        )
    return found


def _read(table: str, wanted: Import) -> tuple[Records, str]:
    """The records of one table or of two, and of what form they are."""
    words = {"test": table} | ({"validation": wanted.validation} if wanted.validation else {})
    files = {split: _file(word) for split, word in words.items()}
    tables = {
        split: read_table(path, kind, **wanted.reading) for split, (kind, path) in files.items()
    }
    forms = {split: wanted.form or _form(one, wanted) for split, one in tables.items()}
    form = forms["test"]
    if set(forms.values()) != {form}:
        raise ConfigError(
            f"the tables are {' and '.join(forms.values())} ones by their columns; say which both "
            f"are with {option('form')}"
        )
    refuse_idle_columns(form, wanted.columns)
    if form == "correctness":
        parts = {split: read_models(one, _named(one, wanted)) for split, one in tables.items()}
    else:
        read = read_long if form == "long" else read_wide
        answered: dict[str, Answered] = {
            split: read(one, wanted.columns) for split, one in tables.items()
        }
        names = classes_of(list(answered.values()), wanted.label_names)
        parts = {split: records_of(one, names) for split, one in answered.items()}
        for part in parts.values():
            check_answers(part)
    return (together(parts) if len(parts) > 1 else parts["test"]), form


def _form(table: Table, wanted: Import) -> str:
    return form_of(table, wanted.columns, models=not are_layers(wanted.tiers))


def _named(table: Table, wanted: Import) -> Columns:
    if wanted.tiers is None:
        return wanted.columns
    return replace(wanted.columns, models=models_called(table, wanted.tiers))


def _embeddings(path: Path, size: int) -> Float32Array:
    """(N, D) of a file."""
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise ValueError
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or "it is no array of numbers"
        raise DataError(f"cannot read {path} ({reason}); expected a .npy file") from None
    sound = isinstance(found, np.ndarray) and found.ndim == 2 and found.dtype.kind in "fiu"
    if not (sound and len(found) == size and np.isfinite(found).all()):
        told = f"{found.dtype} of {found.shape}" if isinstance(found, np.ndarray) else "several"
        raise DataError(
            f"{path}: expected finite numbers of the shape ({size}, D), a row for each sample, got "
            f"{told}"
        )
    embeddings: Float32Array = found.astype(np.float32)
    return embeddings


def _parts(records: Records, wanted: Import, table: str) -> dict[str, IntArray]:
    """The rows of each split."""
    if records.splits:
        splits = np.array(records.splits)
        parts = {split: np.flatnonzero(splits == split) for split in SPLITS}
    else:
        parts = dict(zip(SPLITS, halves(records.labels, wanted.share, wanted.seed), strict=True))
    for split, rows in parts.items():
        if len(rows) < _FEWEST:
            raise DataError(
                f"{table}: {len(rows)} {split} rows, of {len(records)} in all; policies are fitted "
                f"on the validation split and measured on the test split, so give {_FEWEST} of "
                "each or more"
            )
    return parts


def _digest(records: Records, source: str) -> str:
    """What stands for a model of which only answers are known."""
    columns = [at for at, name in enumerate(records.sources) if name == source]
    known = [source, [records.exits[at] for at in columns], records.label_names, records.guids]
    digest = hashlib.sha256(json.dumps(known).encode())
    digest.update(np.ascontiguousarray(records.probabilities[:, columns]).tobytes())
    return digest.hexdigest()
