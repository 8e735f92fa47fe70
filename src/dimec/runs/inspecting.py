"""What each tier of a trained run is and takes: model, size, operations, milliseconds, price."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dimec.base.errors import CorruptArtefactError, MissingArtefactError, shown
from dimec.runs.deploying import basis_of
from dimec.runs.own_tiers import measured_profile
from dimec.runs.workspace import RunDirectory
from dimec.tiers.deployment import Deployment
from dimec.tiers.latency import PARTS, RATE_TOKENS, ModelShape

_LAYER = re.compile(r"\.(\d+)\.")  # of an encoder's weight; the first number is its layer, from 0
_BITS = re.compile(r"\d+")


@dataclass(frozen=True)
class TierFacts:
    """A tier of a run.

    Attributes:
        tier: its name.
        model: its encoder, or the classifier that was taken as it is.
        layers: that run here.
        exits: at which it can stop, exit 0 among them; on any tier but the first only its own.
        shape: of a layer.
        parameters: of the embedding layer, these layers, and the classifiers of these exits.
        weight_bytes: of these, as they are stored.
        operations: of an answer of 128 tokens; of its layers alone.
        milliseconds: of an answer of 128 tokens on the machine of the layer profile, with embedding
            layer and one classifier; None where none was measured.
        machine: of the layer profile; empty where there is none.
        price: of an answer from here, in λ.
    """

    tier: str
    model: str
    layers: int
    exits: tuple[int, ...]
    shape: ModelShape
    parameters: int
    weight_bytes: int
    operations: float
    milliseconds: float | None
    machine: str
    price: float


def inspected(run: RunDirectory) -> tuple[Deployment, list[TierFacts]]:
    """Every tier of a trained run, nearest first, and the tiers at their prices.

    They are those of the fitted policy; of a run that is not fitted those of training, at the
    paper's prices.

    Raises:
        ArtefactError: the run is not trained, or damaged.
    """
    fitted = run.policy_path.exists()
    deployment = run.deployment() if fitted else basis_of(run, None, None, None).deployment
    return deployment, [_facts(run, deployment, k) for k in range(len(deployment))]


def _facts(run: RunDirectory, deployment: Deployment, k: int) -> TierFacts:
    tier = deployment.tiers[k]
    own = run.tier_runs().get(tier.source, run)
    record, shape = own.training(), own.shape()
    trained = [int(layer) for layer in record["exits"]]
    stops = [layer for layer in trained if layer <= tier.layer] if k == 0 else [tier.layer]
    parameters, size = _weights(own.model_path, tier.layer, stops)
    profile = measured_profile(own, str(record["backbone"]))
    milliseconds = None
    if profile is not None:
        rate = profile.flops_per_second
        embed, layer, head = (profile.seconds(one, RATE_TOKENS, shape, rate) for one in PARTS)
        milliseconds = 1e3 * float(embed + tier.layer * layer + head)
    return TierFacts(
        tier=tier.name,
        model=str(record["backbone"]),
        layers=tier.layer,
        exits=tuple([0, *stops] if k == 0 and own.exit0_path.exists() else stops),
        shape=shape,
        parameters=parameters,
        weight_bytes=size,
        operations=tier.layer * float(shape.layer_flops(RATE_TOKENS)),
        milliseconds=milliseconds,
        machine="" if profile is None else profile.machine,
        price=tier.price,
    )


def _weights(folder: Path, layers: int, exits: list[int]) -> tuple[int, int]:
    """How many parameters the first layers and these exits of a model have, and their bytes."""
    parameters = size = 0
    for name, shape, bits in _tensors(folder):
        kind, _, rest = name.partition(".")
        if kind == "heads":
            wanted = int(rest.partition(".")[0]) in exits
        else:
            number = _LAYER.search(rest)
            wanted = kind == "encoder" and (number is None or int(number[1]) < layers)
        if wanted:
            count = 1
            for axis in shape:
                count *= axis
            parameters, size = parameters + count, size + count * bits // 8
    return parameters, size


def _tensors(folder: Path) -> list[tuple[str, list[int], int]]:
    """Name, shape and bits a number of every tensor of a model, from the headers of its files.

    Raises:
        ArtefactError: there are none, or they cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise MissingArtefactError(f"{folder} holds no weights; train again with: dimec train")
    found: list[tuple[str, list[int], int]] = []
    for file in files:
        try:
            with safe_open(file, "numpy") as held:
                for name in held.keys():  # noqa: SIM118  (it is no dictionary)
                    part: Any = held.get_slice(name)
                    found.append((name, part.get_shape(), _bits(part.get_dtype())))
        except (SafetensorError, OSError) as error:
            raise CorruptArtefactError(
                f"{file} holds no weights ({shown(str(error), 80)}); train again with: dimec train"
            ) from None
    return found


def _bits(dtype: str) -> int:
    """``32`` of ``F32``."""
    number = _BITS.search(dtype)
    return int(number[0]) if number else 8
