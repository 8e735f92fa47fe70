"""Tables I and II: every task and every system, over the seeds of a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from dimec.evaluation.evaluate import draw_up
from dimec.runs.bottleneck import Objective
from dimec.runs.run import Run
from dimec.tiers.deployment import Deployment
from dimec.tiers.latency import ModelShape
from dimec.tiers.scenario_file import Scenarios
from dimec.tiers.scenarios import scenario_table
from dimec_studies.plan import Plan
from dimec_studies.rows import LAST_EXIT, PLAIN, Row, load_traces, rows_of
from dimec_studies.runs import RunSpec, Workshop
from dimec_studies.study import deployment_of, header, run_record
from dimec_studies.summary import SeedReplays, summarise

Record = dict[str, Any]


def table(item: str, workshop: Workshop, tasks: Sequence[str]) -> Record:
    """Train what is missing, replay every system, and put the figures together.

    Args:
        item: ``table1`` or ``table2``.
        workshop: with the plan.
        tasks: short names.
    """
    plan = workshop.plan
    specs = [
        RunSpec(task, recipe, seed)
        for seed in plan.seeds
        for recipe in plan.recipes
        for task in tasks
    ]
    runs = workshop.train(specs)
    deployment = deployment_of(plan, runs[0])
    record = header(item, plan, deployment, runs)
    record["tasks"] = {}
    for number, task in enumerate(tasks, start=1):
        workshop.progress.say(f"{item}: replaying {task}, task {number} of {len(tasks)}")
        record["tasks"][task] = task_table(workshop, task, deployment)
    return record


def task_table(workshop: Workshop, task: str, deployment: Deployment) -> Record:
    """All seeds of one task, and the summary over them."""
    plan = workshop.plan
    rows_by_seed: dict[int, list[Row]] = {}
    records: dict[int, Mapping[str, Any]] = {}
    shapes: dict[int, tuple[Any, ModelShape]] = {}
    for seed in plan.seeds:
        folders = _folders(workshop, task, seed)
        traces = load_traces(folders, seed, deployment)
        rows_by_seed[seed] = rows_of(traces, deployment, plan.lam)
        records[seed] = _seed_record(folders)
        joint = traces.test["joint"]
        shapes[seed] = (joint.lengths, Run(folders["joint"]).shape())
    reference = better_reference(rows_by_seed)
    metric = Run(workshop.folder / RunSpec(task, "joint", plan.seeds[0]).folder).training()
    everyone = [
        SeedReplays(seed, _row(rows, reference), [row.replay for row in rows])
        for seed, rows in rows_by_seed.items()
    ]
    summary = summarise(everyone, metric["metric"], plan.draws)
    prices = {seed: _scenario_prices(plan, rows_by_seed[seed], *shapes[seed]) for seed in shapes}
    for k, line in enumerate(summary):
        row = rows_by_seed[plan.seeds[0]][k]
        line |= {"system": row.system, "recipe": row.recipe}
        line["scenarios"] = _mean_prices([prices[seed][line["policy"]] for seed in plan.seeds])
    return {
        "task": metric["task"],
        "metric": metric["metric"],
        "source": metric["source"],
        "reference": reference,
        "seeds": [
            {
                "seed": one.seed,
                **records[one.seed],
                "policies": _policies(one, rows_by_seed[one.seed], metric["metric"], plan),
            }
            for one in everyone
        ],
        "summary": summary,
    }


def better_reference(rows_by_seed: Mapping[int, Sequence[Row]]) -> str:
    """The plain fine-tuning or the multi-exit model's last exit: the one that is right more often.

    So training for the early exits cannot flatter itself by a weaker cloud. One reference for all
    seeds of a task, by the mean of their test accuracies.
    """
    means = {}
    for name in (PLAIN, LAST_EXIT):
        found = [
            row.replay.right.mean()
            for rows in rows_by_seed.values()
            for row in rows
            if row.replay.policy == name
        ]
        if len(found) == len(rows_by_seed):
            means[name] = float(np.mean(found))
    return max(means, key=lambda name: (means[name], name == LAST_EXIT))


def _row(rows: Sequence[Row], name: str) -> Any:
    return next(row.replay for row in rows if row.replay.policy == name)


def _folders(workshop: Workshop, task: str, seed: int) -> dict[str, Path]:
    """Recipe → folder, of the runs of the plan and of the bottlenecks that were trained."""
    folders: dict[str, Path] = {
        recipe: workshop.folder / RunSpec(task, recipe, seed).folder
        for recipe in workshop.plan.recipes
    }
    for objective in workshop.plan.bottleneck.objectives:
        folders[f"bottleneck-{objective}"] = _bottleneck(workshop, folders["joint"], objective)
    return folders


def _bottleneck(workshop: Workshop, folder: Path, objective: Objective) -> Path:
    """Train a bottleneck on a run, unless it is there."""
    from dimec.training.bottleneck.train import BottleneckSettings, train_bottleneck

    plan = workshop.plan.bottleneck
    run = Run(folder)
    settings = BottleneckSettings(
        objective=objective,
        width=plan.width,
        bits=plan.bits,
        epochs=plan.epochs,
        max_train_rows=plan.max_train_rows,
        train_tail=plan.train_tail,
        seed=run.training()["seed"],
    )
    return train_bottleneck(run, settings, progress=workshop.progress)


def _seed_record(folders: Mapping[str, Path]) -> Record:
    runs = {recipe: Run(path) for recipe, path in folders.items() if "bottleneck" not in recipe}
    rows = runs["joint"].training()["rows"]
    return {"rows": rows, "runs": {recipe: run_record(run) for recipe, run in runs.items()}}


def _policies(one: SeedReplays, rows: Sequence[Row], metric: str, plan: Plan) -> list[Record]:
    ledger = draw_up(one.replays, one.reference, metric=metric, draws=plan.draws, seed=one.seed)
    return [
        {
            **asdict(line),
            "system": row.system,
            "recipe": row.recipe,
            "settings": dict(row.settings),
        }
        for line, row in zip(ledger.rows, rows, strict=True)
    ]


def _scenario_prices(
    plan: Plan, rows: Sequence[Row], lengths: Any, shape: ModelShape
) -> dict[str, dict[str, dict[str, float]]]:
    """Policy → scenario → mean milliseconds, millijoules and dollars."""
    every = Scenarios.load()
    chosen = [every.scenario(name) for name in plan.scenarios]
    table: dict[str, dict[str, dict[str, float]]] = {row.replay.policy: {} for row in rows}
    for line in scenario_table([row.replay for row in rows], lengths, shape, chosen):
        figures = {key: line[key] for key in ("milliseconds", "millijoules", "usd_per_1000")}
        table[line["policy"]][line["scenario"]] = figures
    return table


def _mean_prices(seeds: Sequence[Mapping[str, Mapping[str, float]]]) -> Record:
    return {
        name: {key: float(np.mean([one[name][key] for one in seeds])) for key in seeds[0][name]}
        for name in seeds[0]
    }
