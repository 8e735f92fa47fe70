"""Calibration rows: those by which a contract is tested, and nothing is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import IntArray
from dimec.base.errors import ConfigError, DataError, option, shown
from dimec.contract.losses import UNKNOWN
from dimec.traces.trace import Trace

SHARE = 0.5  # of the validation split


@dataclass(frozen=True, eq=False)
class Calibration:
    """Rows that nothing was fitted to.

    Attributes:
        trace: what every exit says of them; its labels are not to be looked at.
        labels: (N,) codes of the classes, :data:`dimec.contract.losses.UNKNOWN` where nobody has
            labelled a row.
        source: where they come from, for a reader.
        file: that they were read from; None for rows of the validation split.
    """

    trace: Trace
    labels: npt.NDArray[np.int64]
    source: str
    file: Path | None = None

    def __len__(self) -> int:
        return len(self.trace)

    @property
    def unlabelled(self) -> bool:
        """Whether no row has a label."""
        return bool((self.labels == UNKNOWN).all())


@dataclass(frozen=True)
class CalibrationFiles:
    """A file of texts to calibrate on, and one of labels for it.

    Raises:
        ConfigError: labels without texts.
    """

    text: Path | str | None
    labels: Path | str | None

    def __post_init__(self) -> None:
        if self.labels is not None and self.text is None:
            raise ConfigError(
                f"{option('calibration_labels')} labels the rows of {option('calibration_text')}; "
                "give both"
            )

    @property
    def given(self) -> bool:
        """Whether there is a file at all."""
        return self.text is not None


@dataclass(frozen=True)
class WorthALabel:
    """Which calibration texts are worth a label.

    Attributes:
        rows: how many.
        of: how many texts there are.
        labels: the model's.
    """

    rows: int
    of: int
    labels: tuple[str, ...]


def check_share(share: float) -> float:
    """A share of the validation split, over 0 and under 1.

    Raises:
        ConfigError: it leaves no rows to fit to, or none to calibrate on.
    """
    if not 0 < share < 1:
        raise ConfigError(
            f"{option('calibration_share')} must be over 0 and under 1, got {share:g}: the fit "
            "takes the other rows of the validation split"
        )
    return float(share)


def parted(size: int, share: float, seed: int) -> tuple[IntArray, IntArray]:
    """Positions of the rows to fit to and of those to calibrate on, drawn from the seed.

    Drawn plainly, and not by class: calibration rows are to be drawn as later texts are.

    Args:
        size: rows of the validation split.
        share: of them that calibrate, in (0, 1).
        seed: of the draw.

    Raises:
        DataError: too few rows for two parts.
    """
    held = round(share * size)
    if held < 1 or size - held < 2:
        raise DataError(
            f"{size} validation rows cannot be parted into some to fit to and a share of {share:g} "
            f"to calibrate on; take more rows, or a file of them with {option('calibration_text')}"
        )
    drawn = np.random.default_rng(seed).permutation(size).astype(np.int64)
    return np.sort(drawn[held:]), np.sort(drawn[:held])


def of_validation(trace: Trace, rows: IntArray) -> Calibration:
    """Some labelled rows of the validation split."""
    part = trace.take(rows)
    return Calibration(part, part.labels, f"{len(rows)} rows of the validation split")


def joined(parts: list[Calibration]) -> Calibration:
    """Several of them as one; the first one's task stands for all.

    Raises:
        DataError: none, or two rows of one name.
    """
    if len(parts) == 1:
        return parts[0]
    first = parts[0].trace
    if not all(one.trace.exits == first.exits and one.trace.model == first.model for one in parts):
        raise DataError("calibration rows of different models cannot be joined")
    trace = Trace(
        embeddings=np.concatenate([one.trace.embeddings for one in parts]),
        probabilities=np.concatenate([one.trace.probabilities for one in parts]),
        labels=np.concatenate([one.trace.labels for one in parts]),
        lengths=np.concatenate([one.trace.lengths for one in parts]),
        guids=tuple(guid for one in parts for guid in one.trace.guids),
        **{
            name: getattr(first, name)
            for name in ("exits", "tiers", "label_names", "task", "split", "metric", "model")
        },
        sources=first.sources,
        tier_sources=first.tier_sources,
        models=first.models,
    )
    labels = np.concatenate([one.labels for one in parts])
    return Calibration(trace, labels, " and ".join(one.source for one in parts))


def refuse_fitted(calibration: Calibration, fitted: dict[str, str]) -> None:
    """Refuse calibration rows that something was fitted to.

    Args:
        calibration: the rows.
        fitted: guid → what was fitted to that row.

    Raises:
        DataError: says how many, and names one.
    """
    seen = [guid for guid in calibration.trace.guids if guid in fitted]
    if seen:
        raise DataError(
            f"{len(seen)} of {len(calibration)} calibration rows were fitted to, such as "
            f"{shown(seen[0], 60)}, a row of the {fitted[seen[0]]}; a contract is tested on rows "
            "that fitted nothing: leave them out"
        )
