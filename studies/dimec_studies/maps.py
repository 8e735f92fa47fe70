"""Figures 1, 3, 4 and 5: data maps, shares, single tiers, embeddings, and one cost at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dimec.cartography import DataMap, build_pools, pool_sizes
from dimec.cartography.thresholds import Grid
from dimec.evaluation.evaluate import evaluate
from dimec.policies import FitInputs, system
from dimec.runs.run import Run
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from dimec_studies.runs import RunSpec, Workshop
from dimec_studies.study import deployment_of, header

Record = dict[str, Any]
GRIDS: tuple[Grid, ...] = ("paper", "quantile")
TSNE_TASKS = ("qnli", "sst2")  # those of the paper's figures 4b and 4c
FIG1_TASK = "sst2"
SWEPT = "dimec-fixed-quantile"  # the policy of figure 5
POINTS = 1000  # of a drawn data map or projection; pools and thresholds rest on all samples
_SILHOUETTE_POINTS = 1500


def _joint_runs(workshop: Workshop, tasks: Sequence[str], seeds: Sequence[int]) -> list[Run]:
    return workshop.train([RunSpec(task, "joint", seed) for seed in seeds for task in tasks])


def fig1(workshop: Workshop) -> Record:
    """Figure 1: the data map of one task's validation split."""
    task = FIG1_TASK if FIG1_TASK in workshop.plan.tasks else next(iter(workshop.plan.tasks))
    seed = workshop.plan.seeds[0]
    runs = _joint_runs(workshop, [task], [seed])
    deployment = deployment_of(workshop.plan, runs[0])
    record = header("fig1", workshop.plan, deployment, runs)
    record["maps"] = [_map(workshop, runs[0], task, seed, deployment, grid) for grid in GRIDS]
    return record


def fig3(workshop: Workshop) -> Record:
    """Figure 3: pools of every task's validation split, and their shares for every seed."""
    plan = workshop.plan
    runs = _joint_runs(workshop, list(plan.tasks), plan.seeds)
    deployment = deployment_of(plan, runs[0])
    record = header("fig3", plan, deployment, runs)
    record["maps"] = [
        _map(workshop, run, task, plan.seeds[0], deployment, "quantile")
        for task, run in zip(plan.tasks, runs[: len(plan.tasks)], strict=True)
    ]
    record["shares"] = []
    for seed in plan.seeds:
        for task in plan.tasks:
            run = workshop.run(RunSpec(task, "joint", seed))
            for grid in GRIDS:
                _, pools, alpha, beta = _pools(run, deployment, plan.lam, grid)
                shares = (np.array(pool_sizes(pools)) / len(pools)).tolist()
                record["shares"].append(
                    {"task": task, "seed": seed, "grid": grid, "pools": shares}
                    | {"alpha": alpha, "beta": beta}
                )
    return record


def _pools(
    run: Run, deployment: Deployment, lam: float, grid: Grid
) -> tuple[DataMap, npt.NDArray[np.int64], float, float]:
    """Data map and pools of a run's validation split, at thresholds fitted to it."""
    data_map = run.dynamics().data_map(deployment.exits[0])
    inputs = FitInputs(run.trace("validation"), deployment, lam, data_map)
    chosen = system(f"dimec-fixed-{grid}").fit(inputs).settings
    pools = build_pools(data_map, chosen["alpha"], chosen["beta"])
    return data_map, pools, chosen["alpha"], chosen["beta"]


def _map(
    workshop: Workshop, run: Run, task: str, seed: int, deployment: Deployment, grid: Grid
) -> Record:
    from dimec.report.projection import sample_rows

    data_map, pools, alpha, beta = _pools(run, deployment, workshop.plan.lam, grid)
    rows = sample_rows(len(pools), seed, POINTS)
    return {
        "task": task,
        "seed": seed,
        "grid": grid,
        "alpha": alpha,
        "beta": beta,
        "samples": len(pools),
        "confidence": _rounded(data_map.confidence[rows]),
        "variance": _rounded(data_map.variance[rows], 8),
        "pools": pools[rows].tolist(),
    }


def _rounded(values: npt.NDArray[np.floating], digits: int = 5) -> list[float]:
    return [round(float(value), digits) for value in values]


def fig4(workshop: Workshop) -> Record:
    """Figure 4: accuracies of the exits beside dimec's, and the pools' embeddings by t-SNE."""
    plan = workshop.plan
    runs = _joint_runs(workshop, list(plan.tasks), plan.seeds)
    deployment = deployment_of(plan, runs[0])
    record = header("fig4", plan, deployment, runs)
    record["exits"] = [
        _exits(workshop.run(RunSpec(task, "joint", seed)), task, seed, deployment, plan.lam)
        for seed in plan.seeds
        for task in plan.tasks
    ]
    record["tsne"] = []
    for task in TSNE_TASKS:
        if task in plan.tasks:
            workshop.progress.say(f"fig4: t-SNE of {task}")
            run = workshop.run(RunSpec(task, "joint", plan.seeds[0]))
            record["tsne"].append(_tsne(run, task, plan.seeds[0], deployment, plan.lam))
    return record


def _exits(run: Run, task: str, seed: int, deployment: Deployment, lam: float) -> Record:
    validation, test = run.trace("validation"), run.trace("test")
    data_map = run.dynamics().data_map(deployment.exits[0])
    inputs = FitInputs(validation, deployment, lam, data_map)
    names = [f"dimec-{kind}-quantile" for kind in ("fixed", "adaptive")]
    policies = [system(name).fit(inputs).policy for name in names]
    ledger = evaluate(test, policies, deployment, draws=1, matched=[])
    accuracies = test.correct.mean(axis=0).tolist()
    return {
        "task": task,
        "seed": seed,
        "samples": len(test),
        "tiers": list(deployment.exits),
        "exit_accuracy": dict(zip(map(str, test.exits), accuracies, strict=True)),
        "policies": {name: ledger.row(name).accuracy for name in names},
    }


def _tsne(run: Run, task: str, seed: int, deployment: Deployment, lam: float) -> Record:
    from dimec.report.projection import project, sample_rows

    _, pools, _, _ = _pools(run, deployment, lam, "quantile")
    embeddings = run.trace("validation").embeddings
    rows = sample_rows(len(pools), seed, POINTS)
    plane = project(embeddings[rows], seed)
    some = sample_rows(len(pools), seed, _SILHOUETTE_POINTS)
    return {
        "task": task,
        "seed": seed,
        "samples": len(pools),
        "x": _rounded(plane[:, 0], 2),
        "y": _rounded(plane[:, 1], 2),
        "pools": pools[rows].tolist(),
        "silhouette": silhouette(embeddings[some], pools[some]),
    }


def silhouette(embeddings: npt.NDArray[np.floating], pools: npt.NDArray[np.integer]) -> float:
    """Mean silhouette (Rousseeuw 1987) of the pools in the space of the embeddings, -1 to 1.

    Near 0 the pools overlap wherever they lie. Members of a pool of one count as 0; with fewer
    than two pools there is nothing to tell apart: 0.
    """
    x = np.asarray(embeddings, np.float64)
    squares = (x**2).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * x @ x.T, 0))
    np.fill_diagonal(distances, 0)
    kinds = np.unique(pools)
    if len(kinds) < 2:
        return 0.0
    member = np.asarray(pools)[:, None] == kinds[None]
    sizes = member.sum(axis=0)
    sums = distances @ member
    own = (sums * member).sum(axis=1) / np.maximum((sizes * member).sum(axis=1) - 1, 1)
    other = np.where(member, np.inf, sums / sizes).min(axis=1)
    alone = (sizes * member).sum(axis=1) == 1
    most = np.maximum(own, other)
    scores = np.where(alone | (most == 0), 0.0, (other - own) / np.where(most == 0, 1, most))
    return float(scores.mean())


Cost = Literal["mobile_layer", "edge_layer", "offload_edge", "offload_cloud", "cloud_charge"]
COSTS: tuple[Cost, ...] = (
    "mobile_layer",
    "edge_layer",
    "offload_edge",
    "offload_cloud",
    "cloud_charge",
)


def fig5(workshop: Workshop) -> Record:
    """Figure 5: one cost varied at a time, the others (γ too) held, thresholds fitted again."""
    plan = workshop.plan
    runs = _joint_runs(workshop, list(plan.tasks), plan.seeds)
    deployment = deployment_of(plan, runs[0])
    record = header("fig5", plan, deployment, runs)
    record["curves"] = []
    for seed in plan.seeds:
        for task in plan.tasks:
            run = workshop.run(RunSpec(task, "joint", seed))
            splits = run.trace("validation"), run.trace("test")
            data_map = run.dynamics().data_map(deployment.exits[0])
            for cost in COSTS:
                values = getattr(plan.sweep, cost)
                points = sweep(*splits, data_map, deployment, plan.lam, cost, values)
                record["curves"].append(
                    {"task": task, "seed": seed, "cost": cost, "points": points} | {"policy": SWEPT}
                )
    return record


def sweep(
    validation: Trace,
    test: Trace,
    data_map: DataMap,
    deployment: Deployment,
    lam: float,
    cost: Cost,
    values: Sequence[float],
) -> list[Record]:
    """Accuracy and cost on the test split of a router fitted at each value of one cost.

    γ stays what it is at the deployment's own prices, also where it is by default a function of
    λ_m and o_c: one cost is varied, and no other.
    """
    held = CostModel(**(asdict(deployment.costs) | {"cloud_charge": deployment.charge}))
    points = []
    for value in values:
        changed = Deployment.paper(deployment.exits, replace(held, **{cost: value}))
        fitted = system(SWEPT).fit(FitInputs(validation, changed, lam, data_map))
        row = evaluate(test, [fitted.policy], changed, draws=1, matched=[]).row(SWEPT)
        points.append(
            {
                "value": value,
                "accuracy": row.accuracy,
                "drop": row.drop,
                "reduction": row.reduction,
                "mean_cost": row.cost,
                "shares": [row.share_mobile, row.share_edge, row.share_cloud],
                "alpha": fitted.settings["alpha"],
                "beta": fitted.settings["beta"],
            }
        )
    return points
