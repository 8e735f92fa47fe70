"""Training rows chosen by where they stand on the data map (paper, section III).

Swayamdipta et al. (Dataset Cartography, 2020, arXiv 2009.10795, section 4) train on the third of
the training rows that is most ambiguous (highest variability), easiest (highest confidence) or
hardest to learn (lowest confidence). Their variability is the standard deviation; ranking by the
variance is the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import IntArray
from dimec.base.errors import ConfigError, MismatchError, option
from dimec.base.storage import atomic_write
from dimec.cartography import DataMap
from dimec.data.dataset import Dataset
from dimec.runs.workspace import RunDirectory

KINDS = ("ambiguous", "easy", "hard", "random")


@dataclass(frozen=True, eq=False)
class Selection:
    """K chosen training rows, the first choice first.

    Attributes:
        by: one of ``KINDS``.
        share: of the training rows that was asked for.
        exit: the layer whose training dynamics made the map.
        of: the number of training rows to choose from.
        rows: the K rows.
        data_map: where they stand on the map.
        kept: names of the classes that would have no row by their rank, and were given one each.
    """

    by: str
    share: float
    exit: int
    of: int
    rows: Dataset
    data_map: DataMap
    kept: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)


def rank_rows(data_map: DataMap, guids: Sequence[str], by: str, *, seed: int = 0) -> IntArray:
    """Positions of all N rows, the first choice first.

    Ambiguous: the standard deviation, descending. Easy: the confidence, descending. Hard: the
    confidence, ascending. Random: by keys drawn from ``seed``. Rows that are equal go by guid, so
    that the order depends on the rows and not on how they came.

    Raises:
        ConfigError: an unknown kind.
    """
    by_guid = np.argsort(sorted(range(len(guids)), key=guids.__getitem__))
    if by == "ambiguous":
        key: npt.NDArray[Any] = -data_map.std
    elif by == "easy":
        key = -data_map.confidence
    elif by == "hard":
        key = data_map.confidence
    elif by == "random":
        # The raw stream, which numpy promises never to change; see dimec.data.splits.
        key = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(len(guids))[by_guid]
    else:
        raise _unknown(by)
    order: IntArray = np.lexsort((by_guid, key)).astype(np.int64)
    return order


def check_choice(by: str, share: float) -> None:
    """Refuse a kind or a share that there is not, before anything is read.

    Raises:
        ConfigError: an unknown kind, or a share outside (0, 1].
    """
    if by not in KINDS:
        raise _unknown(by)
    count_of(share, 1)


def _unknown(by: str) -> ConfigError:
    return ConfigError(f"{option('by')}: rows can be chosen by {', '.join(KINDS)}; got {by!r}")


def count_of(share: float, rows: int) -> int:
    """How many rows a share is: rounded down, at least 1.

    Raises:
        ConfigError: a share outside (0, 1].
    """
    if not 0 < share <= 1:  # NaN is not
        raise ConfigError(
            f"{option('share')} lies above 0 and is at most 1, such as 0.33; got {share:g}"
        )
    return max(1, int(Fraction(repr(float(share))) * rows))  # 0.1 is a tenth here


def choose(order: IntArray, labels: IntArray, count: int) -> tuple[IntArray, IntArray]:
    """The first ``count`` rows, but at least one of each class: the first of its own.

    A training needs rows of every class that it is validated on. Rows that make room for those of
    a class without any are the last ones of classes that have others; where there are more classes
    than ``count``, one row of each is taken.

    Args:
        order: positions of all rows, the first choice first.
        labels: of all rows, by position.
        count: how many to choose.

    Returns:
        The chosen positions, the first choice first, and the codes of the classes that would have
        had none.
    """
    classes, first = np.unique(labels[order], return_index=True)
    needed = np.zeros(len(order), bool)
    needed[first] = True  # ranks of the first row of each class
    others = np.flatnonzero(~needed)[: max(0, count - len(classes))]
    chosen = np.sort(np.concatenate([np.flatnonzero(needed), others]))
    return order[chosen], classes[first >= count].astype(np.int64)


def select_rows(
    run: RunDirectory, *, by: str, share: float, exit_: int | None = None, seed: int = 0
) -> Selection:
    """Choose among the training rows of a run by its training dynamics.

    Every class keeps at least one row, see :func:`choose`.

    Args:
        run: trained with ``record_train``.
        by: ``"ambiguous"``, ``"easy"``, ``"hard"`` or ``"random"``.
        share: of the training rows, above 0 and up to 1.
        exit_: the layer whose dynamics count; the deepest that is recorded by default.
        seed: of the random choice.

    Raises:
        ConfigError: an unknown kind, a share out of range, or no such exit.
        ArtefactError: the run has no dynamics of its training rows, or is damaged.
        DataError: the data can no longer be read.
    """
    check_choice(by, share)
    dynamics = run.dynamics("train")
    exit_ = dynamics.exits[-1] if exit_ is None else exit_
    data_map = dynamics.data_map(exit_)
    train = run.splits().train
    if train.guids != dynamics.guids or not np.array_equal(train.labels, dynamics.labels):
        raise MismatchError(
            f"the training rows of {run.path} and its training dynamics differ; train again with "
            "--overwrite"
        )
    ranked = rank_rows(data_map, train.guids, by, seed=seed)
    order, without = choose(ranked, train.labels, count_of(share, len(train)))
    kept = tuple(train.label_names[code] for code in without)
    chosen = DataMap(
        data_map.confidence[order],
        data_map.variance[order],
        data_map.std[order],
        data_map.correctness[order],
    )
    return Selection(by, share, exit_, len(train), train.take(order), chosen, kept)


def write_selection(selection: Selection, path: Path) -> None:
    """Write the chosen rows as JSON lines, the first choice first.

    Each has ``guid``, ``text`` (and ``pair``), ``label``, and its ``confidence``, ``variability``
    (the standard deviation) and ``correctness``.
    """
    rows, places = selection.rows, selection.data_map
    lines = []
    for row, guid in enumerate(rows.guids):
        record: dict[str, Any] = {"guid": guid, "text": rows.texts[row]}
        if rows.pairs is not None:
            record["pair"] = rows.pairs[row]
        record["label"] = rows.label_names[rows.labels[row]]
        record["confidence"] = float(places.confidence[row])
        record["variability"] = float(places.std[row])
        record["correctness"] = float(places.correctness[row])
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    atomic_write(path, "".join(lines))
