"""What determines a bottleneck of a run; training it is in ``dimec.training.bottleneck.train``.

Apart from it, so that wrong settings are refused before torch is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from dimec.base.errors import ConfigError, option
from dimec.policies.literature.bottleneck import CODE_BITS, CODE_WIDTH, token_code_bytes
from dimec.settings.option import Option
from dimec.tiers.names import MOBILE

Objective = Literal["task", "distil", "reconstruction", "head-distillation"]
OBJECTIVES: tuple[Objective, ...] = ("task", "distil", "reconstruction", "head-distillation")
# The loss is taken at the split: what lies behind it learns nothing.
AT_THE_SPLIT: tuple[Objective, ...] = ("reconstruction", "head-distillation")


@dataclass(frozen=True)
class BottleneckSchedule:
    """How to train; see :class:`BottleneckSettings`."""

    objective: Objective
    train_tail: bool
    epochs: int
    batch_size: int
    learning_rate: float
    tail_learning_rate: float
    seed: int

    @property
    def first_stage(self) -> int:
        """Epochs of the first stage: half of them, rounded up."""
        return (self.epochs + 1) // 2

    def stage(self, epoch: int) -> int:
        """0 or 1."""
        return int(epoch >= self.first_stage)

    def stage_name(self, stage: int) -> str:
        """What a stage learns, for the record."""
        if self.objective == "distil":
            return ("hidden states", "answers")[stage]
        if self.objective == "head-distillation":
            return ("bottleneck", "bottleneck and head")[stage]
        return "bottleneck and tail" if stage == 1 and self.train_tail else "bottleneck"

    def stage_epochs(self, stage: int) -> int:
        """Epochs of a stage."""
        return self.first_stage if stage == 0 else self.epochs - self.first_stage


@dataclass(frozen=True)
class BottleneckSettings:
    """Everything that determines a bottleneck of a run.

    The papers: BottleFit trains 10 + 10 epochs, Adam at 1e-3 in the first stage; BottleNet++ trains
    with Adam at 1e-4 to 1e-3 and batches of 32.

    Raises:
        ConfigError: out of range.
    """

    layer: Annotated[int | None, Option("Of the split; default: the mobile's exit.")] = None
    width: Annotated[int, Option("Numbers in the code of a token.")] = CODE_WIDTH
    bits: Annotated[int, Option("Of each number, 1 to 16; 32 leaves them in fp32.")] = CODE_BITS
    objective: Annotated[
        Objective,
        Option(
            "task: the labels (BottleNet++). distil: the full model's hidden states, then its "
            "answers (BottleFit). reconstruction: the hidden states at the split alone (CDE). "
            "head-distillation: the same, and the mobile's layers learn to give them too (HND)."
        ),
    ] = "task"
    train_tail: Annotated[
        bool,
        Option(
            "Train the layers behind the split too, in the second half of the epochs, as both "
            "papers do. The mobile's layers stay as they are, but for head-distillation."
        ),
    ] = False
    epochs: Annotated[int, Option("At least 2.")] = 6
    batch_size: Annotated[int, Option("Texts a step.")] = 32
    learning_rate: Annotated[float, Option("Of the bottleneck.")] = 1e-3
    tail_learning_rate: Annotated[float, Option("Of the model's layers that learn.")] = 5e-5
    max_train_rows: Annotated[
        int | None, Option("Train on a stratified sample of the training rows.")
    ] = None
    seed: Annotated[int, Option("Of the sample, the order and the dropout.")] = 0

    def __post_init__(self) -> None:
        token_code_bytes(self.width, self.bits)
        if self.objective not in OBJECTIVES:
            raise ConfigError(
                f"{option('objective')} must be one of {', '.join(OBJECTIVES)}, got "
                f"{self.objective!r}"
            )
        if self.train_tail and self.objective in AT_THE_SPLIT:
            raise ConfigError(
                f"{option('train_tail')} does nothing with {option('objective')} {self.objective}, "
                "whose loss is taken at the split; leave it out"
            )
        least = {"layer": 1, "epochs": 2, "batch_size": 1, "max_train_rows": 1, "seed": 0}
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise ConfigError(f"{option(name)} must be at least {low}, got {value}")
        for name in ("learning_rate", "tail_learning_rate"):
            if not (math.isfinite(rate := getattr(self, name)) and 0 < rate < 1):
                raise ConfigError(f"{option(name)} must lie between 0 and 1, got {rate!r}")

    def for_tiers(self, tiers: Sequence[int]) -> BottleneckSettings:
        """The same with the split spelt out: the mobile's exit where none is given."""
        return self if self.layer is not None else replace(self, layer=int(tiers[MOBILE]))

    def check_fit(self, layers: int, hidden: int) -> None:
        """Refuse settings that do not fit a model of so many layers with states of that width.

        Raises:
            ConfigError: no layer behind the split, or a code wider than the hidden states.
        """
        if self.split >= layers:
            raise ConfigError(
                f"the bottleneck must lie before the last layer, {layers}, or nothing is left to "
                f"run behind it; got --layer {self.split}"
            )
        if self.width > hidden:
            raise ConfigError(
                f"a bottleneck is no wider than the hidden states, {hidden}; got --width "
                f"{self.width}"
            )

    @property
    def split(self) -> int:
        """The layer of the split, of settings that spell it out."""
        if self.layer is None:
            raise ConfigError("these settings leave the split open; see for_tiers")
        return self.layer

    @property
    def folder_name(self) -> str:
        """Of the bottleneck's folder in the run directory."""
        tail = "-tail" if self.train_tail else ""
        return f"bottleneck-{self.split}-{self.width}-{self.bits}-{self.objective}{tail}"

    @property
    def schedule(self) -> BottleneckSchedule:
        """What the epochs need to know."""
        return BottleneckSchedule(
            self.objective,
            self.train_tail,
            self.epochs,
            self.batch_size,
            self.learning_rate,
            self.tail_learning_rate,
            self.seed,
        )
