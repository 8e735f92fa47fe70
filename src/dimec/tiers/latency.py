"""How long a model's parts take, by the number of tokens: measured, fitted, carried elsewhere.

Source: Kang et al., Neurosurgeon (ASPLOS 2017, doi 10.1145/3037697.3037698): one regression for
each type of layer, fitted once on a device, predicts the latency of any split before inference. An
encoder's layers are all of one type and differ in nothing but the text's length T, so

    seconds(T) = a + b·T + c·T²,    a, b, c ≥ 0

stands for its linear work (b), its attention (c) and the overhead of a call (a).

What is measured on one machine is carried to another by the ratio of the two effective rates, in
operations a second; and to an encoder of another shape by the ratio of its operations.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray
from dimec.base.errors import ConfigError, CorruptArtefactError, DataError, MissingArtefactError
from dimec.base.storage import read_json, write_json

Part = Literal["embed", "layer", "head"]

PARTS: tuple[Part, ...] = ("embed", "layer", "head")
RATE_TOKENS = 128  # at which a machine's rate is taken, as the scenarios' rates are
# The layer profile that stands in for encoders without one; it comes with dimec.
STAND_IN = "minilm-l6"
_MADE_BY = "dimec profile"
_KIND = "layer profile"
_FORMAT = 1


@dataclass(frozen=True)
class ModelShape:
    """What the operations of an encoder's layer follow from.

    Attributes:
        width: w, numbers in a token's hidden state.
        intermediate: i, numbers in the layer of the feed-forward network between.

    Raises:
        ConfigError: either is not positive.
    """

    width: int
    intermediate: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.intermediate < 1:
            raise ConfigError(
                f"a model's width and intermediate size must be positive, got {self.width} and "
                f"{self.intermediate}"
            )

    @classmethod
    def of_width(cls, width: int) -> Self:
        """The usual shape, i = 4·w: BERT, RoBERTa, MiniLM, MPNet."""
        return cls(width, 4 * width)

    def layer_flops(self, tokens: npt.NDArray[np.integer] | int) -> FloatArray:
        """Operations of one layer on texts of T tokens: 2·T·(4·w² + 2·w·i) + 4·T²·w.

        A multiplication and its addition are two. The first term is the four projections of the
        attention and the two layers of the feed-forward network, the second the attention's two
        products, of queries with keys and of weights with values. Softmax, normalisation and
        activation are left out, less than 1 % at the usual widths.

        Args:
            tokens: any shape.

        Returns:
            The same shape, float64.
        """
        t, w = np.asarray(tokens, np.float64), float(self.width)
        return np.asarray(2 * t * (4 * w * w + 2 * w * self.intermediate) + 4 * t * t * w)


@dataclass(frozen=True)
class Measurement:
    """One measured latency.

    Attributes:
        part: ``embed``, the embedding layer; ``layer``; ``head``, an exit's pooling and classifier.
        index: which layer, from 1; 0 for the other parts.
        tokens: T, the length of the one text in the batch.
        seconds: median.
    """

    part: Part
    index: int
    tokens: int
    seconds: float


@dataclass(frozen=True)
class Regressor:
    """seconds(T) = a + b·T + c·T² for one part.

    Attributes:
        coefficients: (a, b, c), none negative.
        r2: share of the measurements' variance that it explains; 1 where they do not vary.
        residuals: measured minus fitted, in seconds, one for each measurement, in their order.
    """

    coefficients: tuple[float, float, float]
    r2: float
    residuals: tuple[float, ...]

    def seconds(self, tokens: npt.NDArray[np.integer] | int) -> FloatArray:
        """Predicted latency, of the shape of ``tokens``."""
        a, b, c = self.coefficients
        t = np.asarray(tokens, np.float64)
        return np.asarray(a + b * t + c * t * t)


def fit_regressor(tokens: Sequence[int], seconds: Sequence[float]) -> Regressor:
    """Least squares with coefficients of at least 0.

    Of three coefficients some are 0 in the solution and the rest solve the plain problem, so all
    seven choices are solved and the best of those without a negative coefficient is taken: exact.

    Args:
        tokens: lengths, positive; at least one.
        seconds: as many latencies.

    Raises:
        DataError: different numbers of values, none, or one that is not finite or negative.
    """
    t, y = np.asarray(tokens, np.float64), np.asarray(seconds, np.float64)
    if t.shape != y.shape or t.ndim != 1 or len(t) == 0:
        raise DataError(f"expected as many latencies as lengths, got {y.shape} and {t.shape}")
    if not (np.isfinite(y).all() and (y >= 0).all() and (t > 0).all()):
        raise DataError("latencies must be finite and not negative, lengths positive")
    scale = t.max()  # columns of like size: T² would outweigh the rest
    columns = np.stack([np.ones_like(t), t / scale, (t / scale) ** 2], axis=1)
    best, least = np.zeros(3), float(y @ y)
    for size in (1, 2, 3):
        for chosen in itertools.combinations(range(3), size):
            solution = np.linalg.lstsq(columns[:, chosen], y, rcond=None)[0]
            error = float(((columns[:, chosen] @ solution - y) ** 2).sum())
            if (solution >= 0).all() and error < least:
                best, least = np.zeros(3), error
                best[list(chosen)] = solution
    a, b, c = (best / [1.0, scale, scale**2]).tolist()
    spread = float(((y - y.mean()) ** 2).sum())
    residuals = y - columns @ best
    return Regressor((a, b, c), 1 - least / spread if spread > 0 else 1.0, tuple(residuals))


@dataclass(frozen=True)
class LayerProfile:
    """The latencies of one encoder's parts on one machine.

    Attributes:
        backbone: the encoder's name.
        shape: its layers'.
        layers: how many it has.
        machine: processor, software and precision, in words.
        threads: that computed.
        note: how it was measured.
        rows: measurements; every part at least once.

    Raises:
        DataError: a part without measurements.
    """

    backbone: str
    shape: ModelShape
    layers: int
    machine: str
    threads: int
    note: str
    rows: tuple[Measurement, ...]

    def __post_init__(self) -> None:
        for part in PARTS:
            if not any(row.part == part for row in self.rows):
                raise DataError(f"a layer profile needs measurements of every part, not of {part}")

    @cached_property
    def regressors(self) -> dict[str, Regressor]:
        """One for each part; all layers share theirs."""
        fitted: dict[str, Regressor] = {}
        for part in PARTS:
            rows = [row for row in self.rows if row.part == part]
            fitted[part] = fit_regressor(
                [row.tokens for row in rows], [row.seconds for row in rows]
            )
        return fitted

    @property
    def flops_per_second(self) -> float:
        """The machine's effective rate on a layer, at 128 tokens as the scenarios' rates."""
        seconds = float(self.regressors["layer"].seconds(RATE_TOKENS))
        if seconds <= 0:
            raise DataError(
                f"by the layer profile of {self.backbone} its layers take no time at all"
            )
        return float(self.shape.layer_flops(RATE_TOKENS)) / seconds

    def seconds(
        self,
        part: Part,
        tokens: npt.NDArray[np.integer] | int,
        shape: ModelShape,
        flops_per_second: float,
    ) -> FloatArray:
        """Latency of a part on a device of that rate, in an encoder of that shape.

        The regression's value, times the ratio of the two machines' rates, times the ratio of the
        two shapes' operations: of a layer's at that length, of the widths for embedding and head.

        Args:
            part: which.
            tokens: T, any shape.
            shape: of the encoder that is to run.
            flops_per_second: the device's effective rate.
        """
        if part == "layer":
            ratio = shape.layer_flops(tokens) / self.shape.layer_flops(tokens)
        else:
            ratio = np.asarray(shape.width / self.shape.width)
        machines = self.flops_per_second / flops_per_second
        return self.regressors[part].seconds(tokens) * machines * ratio

    def save(self, path: Path) -> None:
        """Write the layer profile as JSON."""
        fields = {**asdict(self), "rows": [asdict(row) for row in self.rows]}
        write_json(path, {"kind": _KIND, "format": _FORMAT, **fields})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            ArtefactError: missing, or not a layer profile.
        """
        return cls._of(read_json(path, _MADE_BY), str(path))

    @classmethod
    def packaged(cls, name: str) -> Self:
        """A layer profile that comes with dimec.

        Raises:
            MissingArtefactError: none of that name; says which there are.
        """
        folder = Path(str(files("dimec.tiers") / "layer_profiles"))
        names = sorted(path.stem for path in folder.glob("*.json"))
        if name not in names:
            raise MissingArtefactError(
                f"no layer profile named {name!r} comes with dimec (there are {', '.join(names)}); "
                f"measure one with: {_MADE_BY} --backbone {name} --out FILE"
            )
        return cls.load(folder / f"{name}.json")

    @classmethod
    def _of(cls, value: Any, where: str) -> Self:
        try:
            if (value["kind"], value["format"]) != (_KIND, _FORMAT):
                raise ValueError(f"kind {value['kind']!r}, format {value['format']!r}")
            fields = {key: v for key, v in value.items() if key not in ("kind", "format")}
            fields["shape"] = ModelShape(**fields["shape"])
            fields["rows"] = tuple(Measurement(**row) for row in fields["rows"])
            profile = cls(**fields)
            profile.regressors  # noqa: B018 (checks the numbers)
            return profile
        except (KeyError, TypeError, ValueError, ConfigError, DataError) as error:
            raise CorruptArtefactError(
                f"{where} is not a layer profile ({error}); make it again with: {_MADE_BY}"
            ) from None
