"""Golden vectors: what a bundle makes of some inputs, for whoever runs it in another language.

``golden.json`` lies beside the tiers' folders and in none of them: it holds texts of the run's own
data, and no device needs it. The bundle's manifest lists it; bundles of earlier versions have none.

A text goes through the tokenizer, the embedding layer, the exits of every tier and the policy, and
the file says what each of them makes of it. How each is to be compared is in ``docs/serving.md``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from dimec.base.storage import atomic_write, read_json
from dimec.base.validating import from_file
from dimec.bundle.manifest import GOLDEN, Precision

_MADE_BY = "dimec export"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class First(_Frozen):
    """The policy's first step, as :class:`dimec.policies.step.Go`.

    Attributes:
        tier, layer: where it goes.
        scores: one a tier, None for infinity; empty where the policy measures none.
        margin: between the two lowest scores; None where there are none.
    """

    tier: str
    layer: int
    scores: tuple[float | None, ...]
    margin: float | None


class Stay(_Frozen):
    """A visit to a tier: the layers that had run before it, and at its end, and what was sent."""

    tier: str
    start: int
    stop: int
    payload: Literal["text", "hidden"] | None


class Way(_Frozen):
    """Where the policy leads an input, while no tier fails.

    Attributes:
        first: its first step.
        seen: (tier, layer) of the exits that spoke, in order.
        path: the visits to tiers, in order.
        answered_by: (tier, layer) of the exit that answers.
        label: its most probable class.
        cost: in units of λ.
        clear: False where values that differ by what is allowed would go another way, or give
            another label.
    """

    first: First
    seen: tuple[tuple[str, int], ...]
    path: tuple[Stay, ...]
    answered_by: tuple[str, int]
    label: str
    cost: float
    clear: bool


class ExitValues(_Frozen):
    """What an exit says: (C,) float32 probabilities, in the order of the labels."""

    tier: str
    layer: int
    probabilities: tuple[float, ...]


class GoldenInput(_Frozen):
    """One input, and what the bundle makes of it.

    Attributes:
        of: ``data`` for a text of the run's data; else what was made up.
        text, pair: the text, or the two of a pair.
        input_ids: as the device's graphs get them, cut; no padding, so the mask is all ones.
        token_type_ids: likewise; None where the graphs take none.
        embedding: (D,) float32, pooled: what the policy decides on.
        exits: of the device from layer 0 on, if it has an exit 0, then of each other tier its own.
        alone: with the policy as it was fitted.
        learning: the same where the policy learns from each input, in the order of the file; None
            where it cannot learn.
    """

    of: str
    text: str
    pair: str | None
    input_ids: tuple[int, ...]
    token_type_ids: tuple[int, ...] | None
    embedding: tuple[float, ...]
    exits: tuple[ExitValues, ...]
    alone: Way
    learning: Way | None


class GoldenPolicy(_Frozen):
    """Kind and name of the policy."""

    kind: str
    name: str


class Golden(_Frozen):
    """The content of ``golden.json``.

    Attributes:
        policy: that of the device.
        learns: when it learns, where it is made to.
        adaptive: whether it was fitted to learn.
        tiers: their names, in order.
        versions, precisions: of the tiers, by name.
        labels: the C classes.
        inputs: in an order that matters to a policy that learns.
    """

    kind: Literal["dimec golden vectors"] = "dimec golden vectors"
    format: Literal[1] = 1
    policy: GoldenPolicy
    learns: Literal["never", "deciding", "answered"]
    adaptive: bool
    tiers: tuple[str, ...]
    versions: dict[str, str]
    precisions: dict[str, Precision]
    labels: tuple[str, ...]
    inputs: tuple[GoldenInput, ...] = Field(min_length=1)

    def save(self, folder: Path) -> None:
        """Write ``golden.json``, an input a line.

        Raises:
            StorageError: the disk is full or refuses to write.
        """
        whole = self.model_dump(mode="json")
        inputs = ",\n  ".join(_compact(each) for each in whole.pop("inputs"))
        fields = [f"{json.dumps(name)}: {_compact(value)}" for name, value in whole.items()]
        fields.append(f'"inputs": [\n  {inputs}\n ]')
        atomic_write(folder / GOLDEN, "{" + ",\n ".join(fields) + "}\n")

    @classmethod
    def load(cls, folder: Path | str) -> Golden:
        """Read the ``golden.json`` of a bundle.

        Raises:
            MissingArtefactError: the bundle has none.
            CorruptArtefactError: it holds something else.
        """
        path = Path(folder) / GOLDEN
        value = read_json(path, _MADE_BY)
        remedy = f"make the bundle again with: {_MADE_BY}"
        return from_file(cls, value, f"{path} holds no golden vectors", remedy)


def as_floats(values: npt.NDArray[np.float32]) -> tuple[float, ...]:
    """Float32 values as numbers of as few digits as give the same float32 again.

    Example:
        >>> as_floats(np.array([0.1, 1 / 3], np.float32))
        (0.1, 0.33333334)
    """
    return tuple(float(str(value)) for value in np.asarray(values, np.float32))


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
