"""The texts on which an export compares the tiers with the trained model; training keeps them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dimec.base.errors import DataError, MismatchError
from dimec.base.storage import load_arrays, save_arrays
from dimec.data import Dataset, Splits
from dimec.runs.workspace import RunDirectory
from dimec.training.exit0.run import exit0_of

_KIND = "parity rows"
_ROWS = 1000
_CHARACTERS = 64  # a token, of the longest texts; what lies behind is cut off anyway, or nearly so


@dataclass(frozen=True)
class ParityRows:
    """N texts, or pairs of texts.

    Attributes:
        texts: the N texts.
        pairs: the N second texts; None where the task has none.
    """

    texts: Sequence[str]
    pairs: Sequence[str] | None

    def __len__(self) -> int:
        return len(self.texts)


def choose_rows(splits: Splits, max_tokens: int) -> ParityRows:
    """At most 1,000 rows of a run: of its validation split, then of the test, then of the training.

    No label is needed, and a small validation split alone would not tell 99 % from 95 %.
    """
    texts: list[str] = []
    pairs: list[str] = []
    rng = np.random.default_rng(0)
    for split in (splits.validation, splits.test, splits.train):
        chosen = np.sort(rng.permutation(len(split))[: _ROWS - len(texts)]).astype(np.int64)
        part: Dataset = split.take(chosen)
        texts += [text[: _CHARACTERS * max_tokens] for text in part.texts]
        pairs += [text[: _CHARACTERS * max_tokens] for text in part.pairs or ()]
    return ParityRows(texts, pairs if splits.validation.pairs is not None else None)


def save_rows(run: RunDirectory, rows: ParityRows, fingerprint: str) -> None:
    """Keep the rows with the run, under the name of its model."""
    columns = {"texts": rows.texts} | ({} if rows.pairs is None else {"pairs": rows.pairs})
    arrays: dict[str, npt.NDArray[np.integer]] = {}
    for name, texts in columns.items():
        # A lone surrogate is no UTF-8; a file may hold one all the same.
        parts = [text.encode("utf-8", "surrogatepass") for text in texts]
        arrays[name] = np.frombuffer(b"".join(parts), np.uint8)
        arrays[f"{name}.ends"] = np.cumsum([len(part) for part in parts], dtype=np.int64)
    save_arrays(run.parity_path, _KIND, arrays, {"model": fingerprint})


def load_rows(run: RunDirectory, max_tokens: int) -> ParityRows:
    """The rows that a run keeps; a run of an earlier version keeps none, its data is read again.

    Raises:
        ArtefactError: the file is damaged, or of another model.
        DataError, MismatchError: the data of an earlier version's run is gone or has changed.
    """
    if not run.parity_path.exists():
        return _from_the_data(run, max_tokens)
    again = f"dimec train --out {run.typed}"
    arrays, header = load_arrays(run.parity_path, _KIND, again)
    if header.get("model") != run.training()["model"]:
        raise MismatchError(
            f"{run.parity_path} belongs to another model than that of {run.told}; remove it, and "
            f"make it again with: {again} --config {shlex.quote(str(run.trained.config_path))}"
        )

    def column(name: str) -> list[str]:
        whole, ends = arrays[name].tobytes(), arrays[f"{name}.ends"].tolist()
        return [
            whole[start:end].decode("utf-8", "surrogatepass")
            for start, end in zip([0, *ends[:-1]], ends, strict=True)
        ]

    return ParityRows(column("texts"), column("pairs") if "pairs" in arrays else None)


def takes_pairs(run: RunDirectory) -> bool | None:
    """Whether the model of a finished run, or each tier's, takes pairs of texts.

    Returns:
        None where nothing tells: exit 0, the rows that the run keeps, or its data. A run that was
        pulled has the first of them alone.

    Raises:
        ArtefactError: what tells it is damaged.
    """
    first = next(iter(run.tier_runs().values()), run)
    if (exit0 := exit0_of(first)) is not None:
        return exit0.pairs
    try:
        return load_rows(first, first.settings().model.max_tokens).pairs is not None
    except (DataError, MismatchError):
        return None


def _from_the_data(run: RunDirectory, max_tokens: int) -> ParityRows:
    try:
        return choose_rows(run.splits(), max_tokens)
    except (DataError, MismatchError) as error:
        raise type(error)(
            "export compares the tiers with the model on the run's texts, and this run of an "
            f"earlier version has kept none: {error}"
        ) from None
