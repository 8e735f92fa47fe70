"""Whether a served run does what its replay says: the same texts, over processes and sockets.

The first tier runs in this process, every other as a server of its own on this machine. Paths and
costs have to be the replay's to the last digit, and labels the same; probabilities differ by what
two runtimes differ in.

    python -m dimec_studies.live RUN --rows 1000 --out results/live/NAME.json
"""

from __future__ import annotations

import argparse
import datetime
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dimec.base.errors import ConfigError
from dimec.base.progress import RichProgress
from dimec.base.storage import write_json
from dimec.policies.drive import site_of, walked
from dimec.runs.run import Run
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace

if TYPE_CHECKING:
    from dimec.mobile import Prediction

Path_ = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Expected:
    """What the replay says of one text.

    Attributes:
        path: name of each tier visited, from which layer to which.
        label: the answer.
        probabilities: of the classes.
        cost: in units of λ.
    """

    path: Path_
    label: str
    probabilities: tuple[float, ...]
    cost: float


def expected_of(run: Run, rows: int) -> list[Expected]:
    """The replay of a run's policy on the first rows of its test trace."""
    stored, deployment = run.stored_policy(), run.deployment()
    trace = run.trace("test").take(np.arange(rows))
    steps = stored.policy.steps(site_of(trace, deployment))
    costs = stored.policy.replay(trace, deployment).cost.tolist()
    return [_expected(steps, trace, deployment, row, cost) for row, cost in enumerate(costs)]


def _expected(steps: Any, trace: Trace, deployment: Deployment, row: int, cost: float) -> Expected:
    walk, look = walked(steps, trace, deployment, row)
    said = walk.looks[look].probabilities
    path = tuple((deployment.names[v.tier], v.start, v.stop) for v in walk.visits)
    label = trace.label_names[int(said.argmax())]
    return Expected(path, label, tuple(map(float, said)), cost)


def compared(expected: Sequence[Expected], answers: Sequence[Prediction]) -> dict[str, Any]:
    """How the answers differ from the replay.

    Returns:
        JSON values: ``texts``, how many had another ``path``, ``label`` or ``cost`` or a
        ``fallback``, the largest difference of a probability, and who answered.
    """
    pairs = list(zip(expected, answers, strict=True))
    apart = [
        abs(one - two)
        for offline, online in pairs
        for one, two in zip(offline.probabilities, online.probabilities.values(), strict=True)
    ]
    paths = [tuple((stay.tier, stay.start, stay.stop) for stay in one.path) for one in answers]
    return {
        "texts": len(pairs),
        "other_path": sum(path != one.path for path, (one, _) in zip(paths, pairs, strict=True)),
        "other_label": sum(one.label != two.label for one, two in pairs),
        "other_cost": sum(one.cost != two.cost for one, two in pairs),
        "fallbacks": sum(two.fallback_reason is not None for _, two in pairs),
        "largest_difference": max(apart),
        "answered_by": dict(Counter(two.answered_by for _, two in pairs)),
    }


def texts_of(run: Run, rows: int) -> list[Any]:
    """The first texts of the test split, or pairs of texts, in the order of its trace."""
    test = run.splits().test
    if tuple(test.guids[:rows]) != run.trace("test").guids[:rows]:
        raise ConfigError(f"the test split and the test trace of {run.path} differ in rows")
    if test.pairs is None:
        return list(test.texts[:rows])
    return list(zip(test.texts[:rows], test.pairs[:rows], strict=True))


def live(run: Run, rows: int) -> dict[str, Any]:
    """Export a fitted run, serve it, and hold its answers against the replay.

    Args:
        run: fitted.
        rows: at most so many texts of the test split.
    """
    from dimec.mobile import Mobile
    from dimec.serving.local import LocalTiers
    from dimec.training.finish import versions

    texts, record = texts_of(run, rows), run.training()
    expected = expected_of(run, len(texts))
    with tempfile.TemporaryDirectory() as folder, RichProgress() as progress:
        bundle = Path(folder) / "bundle"
        report = run.export(bundle, progress=progress)
        with (
            LocalTiers(bundle) as tiers,
            Mobile.open(bundle, tiers=tiers.urls, state=":memory:", timeout=60.0) as mobile,
        ):
            begun = time.perf_counter()
            answers = list(mobile.predict_many(texts, progress=progress))
            seconds = time.perf_counter() - begun
    own = record.get("own", {})
    return {
        "item": "live",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": versions(),
        "task": record["task"],
        "seed": record["seed"],
        "policy": run.stored_policy().policy.name,
        "lam": run.stored_policy().fitted_on.get("lam"),
        "models": {name: [one["backbone"], one["layers"]] for name, one in own.items()},
        "precision": {tier.tier: tier.precision for tier in report.tiers},
        "parity": {tier.tier: tier.parity.to_dict() for tier in report.tiers},
        **compared(expected, answers),
        "texts_a_second": round(len(texts) / seconds, 1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, help="a run directory, fitted")
    parser.add_argument("--rows", type=int, default=1000, help="texts of its test split")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    given = parser.parse_args(arguments)
    result = live(Run(given.run), given.rows)
    write_json(given.out, result)
    print(given.out)


if __name__ == "__main__":
    main()
