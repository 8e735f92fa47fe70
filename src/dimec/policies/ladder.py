"""The policies of a system along its knob, from which its whole accuracy-cost curve is drawn.

A knob is what a user turns to trade accuracy for cost: the settings of the system's grid where it
is fitted by trying them, such as a threshold or a patience; else λ, for which it is fitted anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dimec.policies.registry import FitInputs, Fitted, System, validation_reward

LAMBDA = "lambda"
# From where next to nothing is given up for cost to where all is kept on the first tier.
LAMBDAS: tuple[float, ...] = tuple(np.geomspace(0.0002, 0.1, 26).round(6).tolist())


def knob_of(one: System) -> str:
    """``"threshold"``, ``"patience"``, ``"lambda"``; empty for a system that is one point.

    Example:
        >>> from dimec.policies import system
        >>> [knob_of(system(name)) for name in ("pabee", "cascade", "bert-cloud")]
        ['patience', 'lambda', '']
    """
    return LAMBDA if one.fitter is not None else ", ".join(one.grid)


def ladder(
    one: System, inputs: FitInputs, lambdas: Sequence[float] = LAMBDAS
) -> list[tuple[float | None, Fitted]]:
    """Every policy along a system's knob, fitted to the same inputs.

    Args:
        one: the system.
        inputs: what each is fitted to; their λ is not looked at where λ is the knob. Settings that
            are pinned stay.
        lambdas: values of λ, where λ is the knob.

    Returns:
        λ, None where it is not the knob, and what was fitted; none of them twice.

    Raises:
        ConfigError: it cannot be fitted to these inputs.
    """
    one.check_reads(inputs.validation)
    if one.fitter is None:
        return [(None, made) for made in _grid(one, inputs)]
    found: list[tuple[float | None, Fitted]] = []
    for lam, fitted in zip(lambdas, at_lambdas(one, inputs, lambdas), strict=True):
        # Neighbouring λ often choose the same settings, and with them the same policy.
        if not fitted.settings or not found or fitted.settings != found[-1][1].settings:
            found.append((lam, fitted))
    return found


def at_lambdas(one: System, inputs: FitInputs, lambdas: Sequence[float]) -> Sequence[Fitted]:
    """A system fitted for each λ, in their order."""
    if one.along is not None:
        return one.along(inputs, lambdas)
    return [one.fit(replace(inputs, lam=lam)) for lam in lambdas]


def _grid(one: System, inputs: FitInputs) -> list[Fitted]:
    policies = [(one.make(**settings), settings) for settings in one.settings(inputs.pinned)]
    return [
        Fitted(policy, settings, validation_reward(policy, inputs)) for policy, settings in policies
    ]
