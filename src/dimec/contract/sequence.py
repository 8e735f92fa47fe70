"""From the safest policy to the cheapest: how far the promise goes, and what would carry it on.

Fixed-sequence testing (Maurer, Hothorn and Lehmacher (1995); in Learn then Test, arXiv 2110.01052,
for hyperparameters): hypotheses "this policy's drop exceeds Δ" are tested each at the full level α,
in an order that was fixed before these rows were seen, until the first that is not rejected. To
accept a violating policy, the first violating one on the path must be rejected: that happens with
probability α at most. So the error of the whole path is α, whatever its length, and however the
policies depend on each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

from dimec.base.errors import ConfigError
from dimec.contract.losses import Losses, Terms
from dimec.contract.registry import DEFAULT, contract_test
from dimec.contract.score import restricted

POWER = 0.8  # with which "that many rows" would settle it


@dataclass(frozen=True)
class Shortfall:
    """How near the first policy came that was not accepted.

    Attributes:
        drop: its drop on these rows, a share; where there are no labels, the share of different
            answers.
        bound: the upper confidence bound of the drop; the contract asks for Δ.
        p_value: of its test; the contract asks for α.
        rows: about how many rows in all would show it with a probability of :data:`POWER`, if
            these rows are typical. None where no number would: the drop seen is not under Δ.
    """

    drop: float
    bound: float
    p_value: float
    rows: int | None


@dataclass(frozen=True)
class Verdict:
    """What a path of policies may promise.

    Attributes:
        accepted: how many of the path's policies, from its beginning, keep the terms.
        p_values: of all that were tested; the last one may be that of the first refused.
        shortfall: of the first refused one; None where the whole path was accepted.
    """

    accepted: int
    p_values: tuple[float, ...]
    shortfall: Shortfall | None


def fixed_sequence(path: Iterable[Losses], terms: Terms, test: str = DEFAULT) -> Verdict:
    """Test a path until the first policy whose drop may exceed Δ.

    Args:
        path: losses of each policy on the same calibration rows, from the safest to the cheapest:
            an order learnt on other rows. Later ones are not asked for once one is refused.
        terms: Δ and α.
        test: a name of :data:`dimec.contract.registry.TESTS`.

    Raises:
        ConfigError: there is no such test, or no policy.
        DataError: too few rows for these terms, or no labels where the test needs them.
    """
    chosen = contract_test(test)
    p_values: list[float] = []
    for losses in path:
        terms.check_rows(len(losses))
        p_values.append(chosen.p_value(losses, terms.delta))
        if p_values[-1] > terms.alpha:
            bound = chosen.upper(losses, terms.alpha)
            near = shortfall(losses, terms, bound, p_values[-1], labels=chosen.labels)
            return Verdict(len(p_values) - 1, tuple(p_values), near)
    if not p_values:
        raise ConfigError("a contract needs at least one policy to test, got an empty path")
    return Verdict(len(p_values), tuple(p_values), None)


def shortfall(
    losses: Losses, terms: Terms, bound: float, p_value: float, labels: bool = True
) -> Shortfall:
    """What is said of a policy that was refused.

    Args:
        losses: of N rows.
        terms: Δ and α.
        bound: upper confidence bound of the drop.
        p_value: of the test.
        labels: whether the test is of the drop, and not of the share of different answers.
    """
    n = len(losses)
    plus, minus = (losses.plus, losses.minus) if labels else (losses.differing, 0)
    return Shortfall((plus - minus) / n, bound, p_value, rows_needed(n, plus, minus, terms))


def rows_needed(n: int, plus: int, minus: int, terms: Terms, power: float = POWER) -> int | None:
    """About how many rows would show "drop ≤ Δ", if the shares of these n rows are the true ones.

    By the normal approximation of the score test (Nam 1997, Biometrics 53), with the drop d, the
    variance of a row v = p₊ + p₋ - d² under these shares, and v₀ under the nearest ones whose drop
    is Δ (:func:`dimec.contract.score.restricted`),

        N = ((z₁₋α √v₀ + z_power √v) / (Δ - d))².

    Never under n + 1, as n rows have not shown it, nor under the fewest of the terms.

    Args:
        n: rows seen.
        plus: of them those on which only the reference is right.
        minus: those on which only the policy is right.
        terms: Δ and α.
        power: the probability with which that many rows show it, in [0.5, 1).

    Returns:
        None where the drop seen is not under Δ: then more rows would, on the whole, not help.
    """
    drop = (plus - minus) / n
    if drop >= terms.delta:
        return None
    here = (plus + minus) / n - drop**2
    lost = float(restricted(plus, minus, n, terms.delta))
    there = 2 * lost + terms.delta - terms.delta**2
    normal = NormalDist()
    reach = normal.inv_cdf(1 - terms.alpha) * math.sqrt(there)
    reach += normal.inv_cdf(power) * math.sqrt(here)
    return max(n + 1, terms.fewest_rows(), math.ceil((reach / (terms.delta - drop)) ** 2))
