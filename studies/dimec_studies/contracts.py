"""How often the tests of a contract accept, and how soon its monitor speaks: no training, no data.

Rows are drawn from shares that are known, so it is known too which contracts hold. The share of
acceptances of a test that looks at counts alone is summed over all counts; that of betting, which
looks at the order too, is simulated.
"""

from __future__ import annotations

import datetime
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from dimec.__about__ import __version__
from dimec.base.arrays import FloatArray, IntArray
from dimec.base.storage import write_json
from dimec.contract import betting, binomial, exact, hoeffding_bentkus
from dimec.contract.losses import Losses
from dimec.contract.monitor import STAKES, bet, cash

PROFILE, ITEM = "simulations", "contract"  # where the result lies

Accepts = Callable[[int, int, int, float, float], bool]  # n, plus, minus, Δ, α


class ContractPlan(BaseModel):
    """What is drawn. Shares, not points.

    Attributes:
        seeds: of all that is drawn.
        alpha: one minus the confidence.
        rows: numbers of calibration rows.
        discordant: shares of rows on which only one of policy and reference is right.
        max_drops: Δ.
        true_drops: in shares of Δ; 1 is on the boundary, where a contract is just violated.
        draws: calibrations drawn for each combination, where they are.
        boundary: shares of discordant rows, from Δ to the largest of the above, of which the worst
            on the boundary is sought.
        audited: rows that a monitor sees at most.
        peace: rows before the drift.
        streams: drawn for each monitor.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seeds: tuple[int, ...] = (0,)
    alpha: float = 0.05
    rows: tuple[int, ...] = (1_000, 5_463, 20_000)
    discordant: tuple[float, ...] = (0.01, 0.02, 0.05)
    max_drops: tuple[float, ...] = (0.005, 0.01)
    true_drops: tuple[float, ...] = (0.0, 0.5, 1.0)
    draws: int = 2_000
    boundary: int = 25
    audited: int = 20_000
    peace: tuple[int, ...] = (0, 5_000)
    streams: int = 1_000


def contract(plan: ContractPlan) -> dict[str, Any]:
    """The record: acceptances of every test, and alarms of the monitors."""
    rng = np.random.default_rng(plan.seeds)
    return {
        "item": ITEM,
        "profile": PROFILE,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": {
            "dimec": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
        "plan": plan.model_dump(mode="json"),
        "tests": list(_tests(plan, rng)),
        "monitors": list(_monitors(plan, rng)),
    }


def make(results: Path, plan: ContractPlan | None = None) -> Path:
    """Simulate and store; returns the path under ``results``, the folder of the studies."""
    path = results / PROFILE / f"{ITEM}.json"
    write_json(path, contract(plan or ContractPlan()))
    return path


# --- Tests ---------------------------------------------------------------------------------------


def _exact(n: int, plus: int, minus: int, delta: float, alpha: float) -> bool:
    return exact.p_of_counts(n, plus, minus, delta, at=alpha) <= alpha


def _pair(n: int, plus: int, minus: int, delta: float, alpha: float) -> bool:
    # By its two bounds, each of which is remembered, as its p-value would have to be sought.
    return binomial.upper(plus, n, alpha / 2) - binomial.lower(minus, n, alpha / 2) <= delta


def _bentkus(n: int, plus: int, minus: int, delta: float, alpha: float) -> bool:
    return hoeffding_bentkus.p_of_counts(n, plus, minus, delta) <= alpha


def _different(n: int, plus: int, minus: int, delta: float, alpha: float) -> bool:
    """Without labels, at best: answers differ only where one of them is right."""
    return binomial.at_most(plus + minus, n)(delta) <= alpha


def _normal(n: int, plus: int, minus: int, delta: float, alpha: float) -> bool:
    """The textbook's interval, mean plus 1.64 standard errors: no valid test, for comparison."""
    drop = (plus - minus) / n
    error = np.sqrt(max(0.0, (plus + minus) / n - drop**2) / n)
    return bool(drop + 1.6448536269514722 * error <= delta) if alpha == 0.05 else False


COUNTED: dict[str, Accepts] = {
    "exact": _exact,
    "clopper-pearson": _pair,
    "hoeffding-bentkus": _bentkus,
    "disagreement": _different,
    "normal": _normal,
}


def _tests(plan: ContractPlan, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    for n in plan.rows:
        most = int(n * max(plan.discordant) + 8 * np.sqrt(n * max(plan.discordant)) + 10)
        for delta in plan.max_drops:
            limits = {
                name: _limits(accepts, n, most, delta, plan.alpha)
                for name, accepts in COUNTED.items()
            }
            worst = np.geomspace(delta, max(plan.discordant), plan.boundary)
            yield {
                "rows": n,
                "max_drop": delta,
                "discordant": None,  # the worst
                "true_drop": delta,
                "accepted": {
                    name: max(_chance(limit, n, float(share), delta) for share in worst)
                    for name, limit in limits.items()
                },
            }
            for share in plan.discordant:
                for part in plan.true_drops:
                    drop = part * delta
                    accepted = {
                        name: _chance(limit, n, share, drop) for name, limit in limits.items()
                    }
                    accepted["betting"] = _betting(plan, rng, n, share, drop, delta)
                    yield {
                        "rows": n,
                        "max_drop": delta,
                        "discordant": share,
                        "true_drop": drop,
                        "accepted": accepted,
                    }


def _limits(accepts: Accepts, n: int, most: int, delta: float, alpha: float) -> IntArray:
    """(most + 1,) for each number of discordant rows, the most rows lost that are accepted; or -1.

    A test that accepts accepts with fewer rows lost, too, and the limit moves little from one
    number to the next: so it is sought from there.
    """
    found = np.empty(min(n, most) + 1, np.int64)
    k = -1
    for m in range(len(found)):
        while k < m and accepts(n, k + 1, m - k - 1, delta, alpha):
            k += 1
        while k >= 0 and not accepts(n, k, m - k, delta, alpha):
            k -= 1
        found[m] = k
    return found


def _chance(limits: IntArray, n: int, share: float, drop: float) -> float:
    """The probability of the outcomes within the limits."""
    lost = min(1.0, (share + drop) / (2 * share))  # of the discordant rows
    weights = binomial.probabilities(np.arange(len(limits)), n, share)
    below = [
        binomial.at_most(int(k), m)(lost) if k >= 0 else 0.0 for m, k in enumerate(limits.tolist())
    ]
    return float(weights @ np.array(below))


def _betting(
    plan: ContractPlan, rng: np.random.Generator, n: int, share: float, drop: float, delta: float
) -> float:
    chances = [(share + drop) / 2, (share - drop) / 2, 1 - share]
    passed = 0
    for counts in rng.multinomial(n, chances, size=plan.draws):
        losses = Losses(np.repeat(np.array([1, -1, 0], np.int8), counts))
        # Shuffled by betting itself, here by another order each time.
        seed = int(rng.integers(2**32))
        passed += betting.p_value(losses, delta, seed=seed) <= plan.alpha
    return passed / plan.draws


# --- Monitors ------------------------------------------------------------------------------------

# Title, bound b, least value, (p₊, p₋) in peace and after the drift.
_DRIFTS: tuple[tuple[str, float, int, tuple[float, float], tuple[float, float]], ...] = (
    ("differences", 0.02, 0, (0.02, 0.0), (0.02, 0.0)),
    ("differences", 0.02, 0, (0.01, 0.0), (0.03, 0.0)),
    ("differences", 0.02, 0, (0.01, 0.0), (0.04, 0.0)),
    ("differences", 0.02, 0, (0.01, 0.0), (0.08, 0.0)),
    ("drops", 0.005, -1, (0.0125, 0.0075), (0.0125, 0.0075)),
    ("drops", 0.005, -1, (0.01, 0.01), (0.02, 0.01)),
    ("drops", 0.005, -1, (0.01, 0.01), (0.03, 0.01)),
    ("drops", 0.005, -1, (0.01, 0.01), (0.06, 0.01)),
)


def _monitors(plan: ContractPlan, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    for what, bound, low, before, after in _DRIFTS:
        for peace in plan.peace if before != after else (0,):
            alarms = _alarms(plan, rng, bound, low, peace, before, after)
            early = alarms <= peace
            delays = np.where(early, np.inf, alarms - peace)
            yield {
                "what": what,
                "bound": bound,
                "before": before[0] - before[1],
                "after": after[0] - after[1],
                "peace": peace,
                "false_alarms": float((early if before != after else np.isfinite(alarms)).mean()),
                "spoken": float(np.isfinite(delays).mean()),
                "delay": [_finite(np.quantile(delays, q, method="lower")) for q in (0.1, 0.5, 0.9)],
            }


def _alarms(
    plan: ContractPlan,
    rng: np.random.Generator,
    bound: float,
    low: int,
    peace: int,
    before: tuple[float, float],
    after: tuple[float, float],
) -> FloatArray:
    """(streams,) the row of each stream's alarm; infinite where there is none."""
    invested = np.zeros((plan.streams, STAKES))
    alarms = np.full(plan.streams, np.inf)
    for row in range(1, peace + plan.audited + 1):
        plus, minus = before if row <= peace else after
        u = rng.random(plan.streams)
        values = (u < plus).astype(np.float64) - (u > 1 - minus)
        invested = bet(invested, row, values, bound, low)
        reached = invested.sum(axis=1) + cash(row) >= 1 / plan.alpha
        alarms[reached & np.isinf(alarms)] = row
        if np.isfinite(alarms).all():
            break
    return alarms


def _finite(value: float) -> int | None:
    return int(value) if np.isfinite(value) else None
