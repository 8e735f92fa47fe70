"""Beyond the paper: routers under a change of domain, and pools against human raters.

Four domains of one task (VADER's): a model and its routers are made on one and stream another.
Does the adaptive router follow the shift better than the fixed one, and by how much? And do the
pools, which a model made, agree with how much human raters disagreed about the same texts?
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray
from dimec.cartography import build_pools
from dimec.evaluation.bootstrap import LEVEL, bootstrap_means
from dimec.evaluation.replay import Replay, matched_name, replay
from dimec.policies import FitInputs, RandomPolicy, RouterPolicy, system
from dimec.routing import SingleTierRouter
from dimec.runs.run import Run
from dimec.settings.data import DataSettings
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from dimec_studies.rows import LAST_EXIT
from dimec_studies.runs import RunSpec, Workshop
from dimec_studies.study import deployment_of, header
from dimec_studies.summary import SeedReplays, summarise

Record = dict[str, Any]
RATERS = "rating_std"  # the column of a trace that tells how far human raters were apart
FIXED, ADAPTIVE = "dimec-fixed-quantile", "dimec-adaptive-quantile"


def robustness(workshop: Workshop) -> Record:
    """Every pair of domains, and the raters of each."""
    plan = workshop.plan
    specs = [RunSpec(name, "joint", seed) for seed in plan.seeds for name in plan.domains]
    runs = workshop.train(specs)
    deployment = deployment_of(plan, runs[0])
    record = header("robustness", plan, deployment, runs)
    record["domains"] = list(plan.domains)
    record["cells"] = []
    for trained in plan.domains:
        for streamed in plan.domains:
            workshop.progress.say(f"robustness: trained on {trained}, streaming {streamed}")
            record["cells"].append(_cell(workshop, trained, streamed, deployment))
    record["raters"] = [
        _raters(run, spec, deployment, plan.lam, plan.draws)
        for run, spec in zip(runs, specs, strict=True)
        if RATERS in run.trace("validation").extra
    ]
    return record


def stream_of(workshop: Workshop, trained: str, streamed: str, seed: int) -> Trace:
    """The trace of another domain by a trained model, recorded once and kept beside the run.

    A domain's own stream is the test split: the model has seen the rest.
    """
    run = workshop.run(RunSpec(trained, "joint", seed))
    if trained == streamed:
        return run.trace("test")
    path = run.path / "streams" / f"{streamed}.safetensors"
    if path.exists():
        trace = Trace.load(path)
        trace.require_model(run.training()["model"], str(run.path))
        return trace
    from dimec.training.transfer import record_other

    data = DataSettings(task=workshop.plan.task(streamed).task)
    trace = record_other(run, data, rows="all", limit=workshop.plan.stream_rows, seed=seed)
    trace.save(path)
    return trace


def _cell(workshop: Workshop, trained: str, streamed: str, deployment: Deployment) -> Record:
    plan = workshop.plan
    seeds = []
    for seed in plan.seeds:
        run = workshop.run(RunSpec(trained, "joint", seed))
        stream = stream_of(workshop, trained, streamed, seed)
        seeds.append(_replays(run, stream, deployment, plan.lam, seed))
    summary = summarise(seeds, "accuracy", plan.draws)
    return {
        "train": trained,
        "stream": streamed,
        "seeds": list(plan.seeds),
        "samples": [len(one.reference.labels) for one in seeds],
        "policies": {line.pop("policy"): line for line in summary},
        "adaptive_minus_fixed": difference(seeds, ADAPTIVE, FIXED, plan.draws),
    }


def _replays(run: Run, stream: Trace, deployment: Deployment, lam: float, seed: int) -> SeedReplays:
    data_map = run.dynamics().data_map(deployment.exits[0])
    inputs = FitInputs(run.trace("validation"), deployment, lam, data_map)
    cloud = replay(system(LAST_EXIT).make(), stream, deployment)
    mobile = replay(RouterPolicy("all-mobile", SingleTierRouter(0)), stream, deployment)
    replays = [cloud, mobile]
    for name in (FIXED, ADAPTIVE):
        one = replay(system(name).fit(inputs).policy, stream, deployment)
        twin = RandomPolicy(matched_name(name), one.tiers.mean(axis=0).tolist())
        replays += [one, replay(twin, stream, deployment)]
    return SeedReplays(seed, cloud, replays)


def difference(
    seeds: Sequence[SeedReplays], one: str, other: str, draws: int
) -> dict[str, dict[str, float]]:
    """Accuracy and cost of ``one`` minus those of ``other``: mean over seeds and 95 % interval.

    Paired: the two replayed the same samples, and every draw takes the same ones of both.
    """
    points, drawn = [], []
    for seed in seeds:
        mine, theirs = _named(seed.replays, one), _named(seed.replays, other)
        columns = np.stack([mine.right - theirs.right, mine.cost - theirs.cost], axis=1)
        points.append(columns.mean(axis=0))
        drawn.append(bootstrap_means(columns, draws, seed.seed))
    mean, table = np.mean(points, axis=0), np.mean(drawn, axis=0)
    return {
        name: _interval(float(mean[k]), table[:, k]) for k, name in enumerate(("accuracy", "cost"))
    }


def _named(replays: Sequence[Replay], name: str) -> Replay:
    return next(one for one in replays if one.policy == name)


def _interval(value: float, drawn: FloatArray, key: str = "mean") -> dict[str, float]:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {key: value, "low": float(low), "high": float(high)}


def _raters(run: Run, spec: RunSpec, deployment: Deployment, lam: float, draws: int) -> Record:
    """Rank correlation of the raters' deviation with what the model made of the same texts."""
    validation = run.trace("validation")
    data_map = run.dynamics().data_map(deployment.exits[0])
    inputs = FitInputs(validation, deployment, lam, data_map)
    chosen = system(FIXED).fit(inputs).settings
    mobile = validation.columns(deployment.exits)[0]
    measures: Mapping[str, FloatArray] = {
        "spearman_confidence": data_map.confidence,
        "spearman_variance": data_map.variance,
        "spearman_pool": build_pools(data_map, chosen["alpha"], chosen["beta"]).astype(np.float64),
        "spearman_mobile_confidence": validation.confidences[:, mobile],
    }
    raters = validation.extra[RATERS]
    return {
        "domain": spec.task,
        "seed": spec.seed,
        "samples": len(validation),
        **{name: correlate(values, raters, draws, spec.seed) for name, values in measures.items()},
    }


def correlate(
    one: npt.NDArray[np.floating], other: npt.NDArray[np.floating], draws: int, seed: int
) -> dict[str, float]:
    """Spearman's rank correlation and its 95 % percentile bootstrap interval over the samples."""
    rng = np.random.default_rng(seed)
    n = len(one)
    drawn = np.empty(draws)
    for draw in range(draws):
        rows = rng.integers(0, n, n)
        drawn[draw] = spearman(one[rows], other[rows])
    return _interval(spearman(one, other), drawn, "value")


def spearman(one: npt.NDArray[np.floating], other: npt.NDArray[np.floating]) -> float:
    """Pearson's correlation of the ranks, ties sharing their mean rank; 0 where one is constant."""
    a, b = _ranks(one), _ranks(other)
    a, b = a - a.mean(), b - b.mean()
    spread = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / spread if spread > 0 else 0.0


def _ranks(values: npt.NDArray[np.floating]) -> FloatArray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle: FloatArray = last - (counts - 1) / 2
    return middle[inverse]
