"""What determines a compressed model of a run, its folder in the run directory, and its traces.

Compressing is in ``dimec.training.compression.make``. Apart from it, so that wrong settings are
refused, and the traces replayed, without torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, Self

from dimec.base.errors import ConfigError, option
from dimec.runs.side_folder import SideFolder
from dimec.settings.option import Option
from dimec.tiers.names import MOBILE

Method = Literal["magnitude", "heads", "int8", "student"]
METHODS: tuple[Method, ...] = ("magnitude", "heads", "int8", "student")
AGAIN = "make it again with: dimec compress --overwrite"

_KEYS = {"model", "fingerprint", "settings", "layers", "layers_worth", "scores", "rows"}


@dataclass(frozen=True)
class CompressionSettings:
    """Everything that determines a compressed model of a run.

    Raises:
        ConfigError: out of range, or a student without its run.
    """

    method: Annotated[
        Method,
        Option(
            "magnitude: small weights go, step by step, while the model is trained on (Zhu and "
            "Gupta). heads: the attention heads that matter least go, without training (Michel et "
            "al.). int8: 8-bit weights, as dimec export --int8 makes. student: the first tier of "
            "a run of own tiers, see --student."
        ),
    ] = "magnitude"
    layer: Annotated[
        int | None,
        Option(
            "Whose layers' operations the whole model is to fit; default: the mobile's exit.",
        ),
    ] = None
    sparsity: Annotated[
        float | None,
        Option(
            "Share of weights, or of heads, that goes; default: what makes the whole model's "
            "operations those of the mobile's layers."
        ),
    ] = None
    epochs: Annotated[int, Option("Of training while weights go, and as long after.")] = 4
    batch_size: Annotated[int, Option("Texts a step.")] = 32
    learning_rate: Annotated[
        float | None, Option("Its peak, from which it falls to 0; default: the run's own.")
    ] = None
    prunings: Annotated[
        int, Option("In how many steps the small weights go, in the first half of training.")
    ] = 100
    max_train_rows: Annotated[
        int | None, Option("Train on a stratified sample of the training rows.")
    ] = None
    rows: Annotated[int, Option("Training rows that tell how much a head matters.")] = 512
    student: Annotated[
        str | None,
        Option(
            "Run directory of own tiers (dimec train --recipe own) whose first tier is the "
            "student; it must have been trained on the same rows.",
            path=True,
        ),
    ] = None
    seed: Annotated[int, Option("Of samples of rows, the order and the dropout.")] = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(
                f"{option('method')} must be one of {', '.join(METHODS)}, got {self.method!r}"
            )
        least = {"layer": 1, "epochs": 1, "batch_size": 1, "prunings": 1, "rows": 1, "seed": 0}
        for name, low in {**least, "max_train_rows": 1}.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise ConfigError(f"{option(name)} must be at least {low}, got {value}")
        for name in ("sparsity", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and 0 < value < 1):
                raise ConfigError(f"{option(name)} must lie between 0 and 1, got {value!r}")
        if self.method == "student" and self.student is None:
            raise ConfigError(
                "a distilled student is the first tier of a run of own tiers; name that run with "
                f"{option('student')}, made by: dimec train --recipe own"
            )

    def for_run(self, tiers: Sequence[int], layers: int, learning_rate: float) -> Self:
        """The same with nothing left open but the sparsity, which follows from the operations.

        Args:
            tiers: exits of the run's tiers.
            layers: of its model.
            learning_rate: that it was trained with.

        Raises:
            ConfigError: more layers than the model has.
        """
        layer = int(tiers[MOBILE]) if self.layer is None else self.layer
        if layer > layers:
            raise ConfigError(
                f"expected {option('layer')} from 1 to {layers}, the model's last, got {layer}"
            )
        rate = learning_rate if self.learning_rate is None else self.learning_rate
        return replace(self, layer=layer, learning_rate=rate)

    @property
    def fitted_layer(self) -> int:
        """m, of settings that spell it out."""
        if self.layer is None:
            raise ConfigError("these settings leave the layer open; see for_run")
        return self.layer

    @property
    def folder_name(self) -> str:
        """Of the compressed model's folder in the run directory, and what its system needs."""
        return f"compressed-{self.method}"


class CompressedFolder(SideFolder):
    """Paths and readers of one compressed model's folder; ``model/`` where it was pruned.

    Its traces have one exit, the last.
    """

    RECORD = "compressed.json"
    KEYS = _KEYS
    COMMAND = "dimec compress"
    WHAT = "compressed model"
    CHANGED = "the model behind it has changed since"

    @property
    def model_path(self) -> Path:
        return self.path / "model"
