"""Prometheus's text exposition format, version 0.0.4, for what runs without its client library.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})
_LABEL = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


@dataclass(frozen=True)
class Family:
    """A metric, and its values by labels.

    Attributes:
        name: with its unit, and ``_total`` for a counter.
        kind: whether it only grows.
        help: what it is, for a reader.
        labels: names of the labels.
        samples: value of each label, in that order → the value.

    Example:
        >>> answers = Family("answers_total", "counter", "Given.", ("tier",), {("edge",): 3})
        >>> print(exposition([answers]), end="")
        # HELP answers_total Given.
        # TYPE answers_total counter
        answers_total{tier="edge"} 3
    """

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...]
    samples: Mapping[tuple[str, ...], float]


def exposition(families: Iterable[Family]) -> str:
    """The families in their order; one without samples is left out."""
    lines = []
    for family in families:
        if family.samples:
            lines.append(f"# HELP {family.name} {family.help.translate(_HELP)}")
            lines.append(f"# TYPE {family.name} {family.kind}")
            for values, value in family.samples.items():
                labels = zip(family.labels, values, strict=True)
                lines.append(f"{family.name}{_labelled(labels)} {_number(value)}")
    return "".join(f"{line}\n" for line in lines)


def _labelled(labels: Iterable[tuple[str, str]]) -> str:
    """``{tier="edge"}``; nothing where there is no label."""
    told = ",".join(f'{name}="{value.translate(_LABEL)}"' for name, value in labels)
    return f"{{{told}}}" if told else ""


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(int(value))  # a bool too
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(float(value))
