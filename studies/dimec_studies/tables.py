"""The tables of the systems: from a stored ``table1`` or ``table2`` to Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean
from typing import Any

from dimec.policies import systems
from dimec.report.wording import METRIC_TITLES, join, number, percent, setting
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec_studies.markdown import (
    MISSING,
    Statistic,
    bounded,
    count,
    significant,
    sizes,
    spread,
    table,
    value,
)
from dimec_studies.paper import COUNTERPARTS, PaperCell, PaperTable
from dimec_studies.titles import cost_title, system_title, task_title

StoredItem = Mapping[str, Any]  # a stored result
Task = Mapping[str, Any]  # one entry of its "tasks"
Row = Mapping[str, Any]  # one entry of a task's "summary"

REFERENCES = {
    "bert-plain": "a plain fine-tuning with one exit, in the cloud",
    "bert-cloud": "the last exit of the model with all exits, in the cloud",
}


def deployment_of(item: StoredItem) -> Deployment:
    """The exits and costs that a result was made with."""
    stored = item["deployment"]
    m, n, l = stored["exits"]  # noqa: E741
    return Deployment.paper((m, n, l), CostModel(**stored["costs"]))


def ordered_tasks(item: StoredItem, paper: PaperTable | None) -> list[str]:
    """The result's tasks, those of the paper first and in its order."""
    known = [task for task in paper.tasks if task in item["tasks"]] if paper else []
    return known + [task for task in item["tasks"] if task not in known]


def find_summary(task: Task, policy: str) -> Row | None:
    """The summary of that policy, or None."""
    return next((row for row in task["summary"] if row["policy"] == policy), None)


def policies_of(tasks: Iterable[Task]) -> list[str]:
    """Every policy that has a row, in the order of the rows; those of later tasks come last."""
    return list(dict.fromkeys(row["policy"] for task in tasks for row in task["summary"]))


def item_caption(item: StoredItem) -> str:
    """When a result was made, and with what."""
    parts = [f"Made {item['date']}{_versions(item.get('versions', {}))}"]
    if trained := item.get("trained_with"):
        parts.append(f"Trained on {_trained(trained)}")
    return ". ".join(parts) + "."


def _versions(versions: Mapping[str, Any]) -> str:
    return f" with {join([f'{name} {which}' for name, which in versions.items()])}" * bool(versions)


def _trained(trained: Mapping[str, Sequence[str]]) -> str:
    """``"cpu (float32), torch 2.13.0, 2026-05-01 to 2026-05-03"``."""
    where = f"{' or '.join(trained['device'])} ({' or '.join(trained['precision'])})"
    dates = sorted(trained["date"])
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return f"{where}, torch {' or '.join(trained['torch'])}, {when}"


def deployment_caption(item: StoredItem) -> str:
    """Where the exits stand, the prices, the charge γ and whose it is, and λ."""
    stored = item["deployment"]
    costs = stored["costs"]
    prices = [
        f"{cost_title(name)}: {setting(float(costs[name]))}λ"
        for name in ("mobile_layer", "edge_layer", "offload_edge", "offload_cloud")
    ]
    whose = (
        "dimec's choice, λ_m·l - o_c, since the paper gives none"
        if costs.get("cloud_charge") is None
        else "set by the plan"
    )
    answers = [
        f"{setting(float(price))}λ {where}"
        for price, where in zip(
            stored["prices"], ("from the mobile", "from the edge", "from the cloud"), strict=True
        )
    ]
    return (
        f"Exits {setting(stored['exits'])} (mobile, edge, cloud). Prices: {'; '.join(prices)}; "
        f"γ = {setting(float(stored['charge']))}λ ({whose}). So an answer costs {join(answers)}. "
        f"The reward weighs one unit of cost with λ = {setting(float(item['lam']))}."
    )


def task_caption(task: Task) -> str:
    """Rows used, their source, seeds and reference of one task."""
    seeds = task["seeds"]
    rows = [
        f"{sizes(seed['rows'][split] for seed in seeds)} {words}"
        for split, words in (("train", "training"), ("validation", "validation"), ("test", "test"))
    ]
    return (
        f"`{task['task']}`: {join(rows)} rows; data: {task['source']}. {seeds_phrase(seeds)}. "
        "Reference of drop and reduction, the better of two: "
        f"{REFERENCES.get(task['reference'], task['reference'])}."
    )


def seeds_phrase(seeds: Sequence[Mapping[str, Any]]) -> str:
    """``"Seeds 0, 1 and 2"``."""
    names = [str(seed["seed"]) for seed in seeds]
    return f"Seed {names[0]}" if len(names) == 1 else f"Seeds {join(names)}"


def task_table(task: Task) -> str:
    """One row a policy: accuracy, GLUE's metric, drop, gain, cost, reduction, shares."""
    own_metric = task["metric"] != "accuracy"
    metric = [f"{METRIC_TITLES.get(task['metric'], task['metric'])} × 100"] if own_metric else []
    header = ["system", "accuracy %", *metric, "drop, points", "gain over random@, points"]
    header += ["cost, λ", "reduction %", "mobile / edge / cloud %"]
    rows = []
    for row in task["summary"]:
        scores = [spread(row["accuracy"]), *([spread(row["metric"])] if own_metric else [])]
        rows.append(
            [
                system_title(row["policy"]),
                *scores,
                bounded(row["drop"], digits=2),
                bounded(row.get("gain"), digits=2),
                value(row["cost"], 1, 2),
                bounded(row["reduction"]),
                " / ".join(percent(share, 0) for share in row["shares"]),
            ]
        )
    return table(header, rows)


def overview(item: StoredItem, paper: PaperTable | None) -> str:
    """The paper's own table, and under each of its rows dimec's figures for the same system.

    A cell holds the score (GLUE's metric, times 100) and the change of cost against the reference.
    """
    tasks = ordered_tasks(item, paper)
    header = ["system", "whose figures"]
    for task in tasks:
        metric = item["tasks"][task]["metric"]
        header.append(f"{task_title(task)} ({METRIC_TITLES.get(metric, metric)})")
    present = set(policies_of(item["tasks"].values()))
    rows = []
    for system, counterparts in COUNTERPARTS.items():
        if paper is not None:
            printed = paper.systems[system]
            cells = [_paper_cell(printed.get(task)) for task in tasks]
            rows.append([system, f"paper, {paper.backbone}", *cells])
        for policy in counterparts:
            if policy in present:
                found = [find_summary(item["tasks"][task], policy) for task in tasks]
                rows.append([system_title(policy), "dimec", *map(_overview_cell, found)])
    return table(header, rows, texts=2)


def _paper_cell(cell: PaperCell | None) -> str:
    return MISSING if cell is None else _score_and_change(cell.score, cell.reduction, 0)


def _overview_cell(row: Row | None) -> str:
    if row is None:
        return MISSING
    return _score_and_change(float(row["metric"]["mean"]), float(row["reduction"]["mean"]), 1)


def _score_and_change(score: float, reduction: float, digits: int) -> str:
    """``"93.2, -61 %"``."""
    return f"{percent(score)}, {percent(-reduction, digits)} %"


def scenario_table(tasks: Mapping[str, Task]) -> str | None:
    """Milliseconds, millijoules and dollars of each policy under each scenario.

    Means over the tasks; a policy that some task lacks is left out, since its mean would be one
    of other tasks. None where nothing is stored.
    """
    found: dict[str, list[Mapping[str, Mapping[str, float]]]] = {}
    for task in tasks.values():
        for row in task["summary"]:
            if row.get("scenarios"):
                found.setdefault(row["policy"], []).append(row["scenarios"])
    complete = {policy: rows for policy, rows in found.items() if len(rows) == len(tasks)}
    if not complete:
        return None
    names = list(dict.fromkeys(n for rows in complete.values() for row in rows for n in row))
    rows = [
        [system_title(policy), *(_scenario_cell(rows, name) for name in names)]
        for policy, rows in complete.items()
    ]
    return table(["system", *names], rows)


def _scenario_cell(rows: Sequence[Mapping[str, Mapping[str, float]]], name: str) -> str:
    if any(name not in row for row in rows):
        return MISSING
    figures = [
        significant(mean(float(row[name][part]) for row in rows))
        for part in ("milliseconds", "millijoules", "usd_per_1000")
    ]
    return f"{figures[0]} ms, {figures[1]} mJ, ${figures[2]}"


def settings_table(task: Task) -> str:
    """What was chosen for each policy on the validation split, a column a seed."""
    seeds = task["seeds"]
    names = list(dict.fromkeys(row["policy"] for seed in seeds for row in seed["policies"]))
    rows = []
    for name in names:
        cells = []
        for seed in seeds:
            row = next((row for row in seed["policies"] if row["policy"] == name), None)
            chosen = (row.get("settings") or {}) if row else {}
            cells.append("; ".join(f"{key} {setting(told)}" for key, told in chosen.items()))
        if any(cells):
            rows.append([system_title(name), *cells])
    return table(["system", *(f"seed {s['seed']}" for s in seeds)], rows, texts=1 + len(seeds))


def recipes_table(task: Task) -> str:
    """How each model was trained, and the accuracy of its exits on the test split."""
    exits = sorted(
        {int(e) for s in task["seeds"] for run in s["runs"].values() for e in run["exit_accuracy"]}
    )
    rows = [
        [
            recipe,
            str(seed["seed"]),
            setting(run.get("epochs")),
            setting(run.get("best_epoch")),
            *(_exit(run["exit_accuracy"], layer) for layer in exits),
        ]
        for seed in task["seeds"]
        for recipe, run in seed["runs"].items()
    ]
    header = ["recipe", "seed", "epochs", "best epoch (from 0)", *(f"exit {e} %" for e in exits)]
    return table(header, rows)


def _exit(accuracies: Mapping[str, Any], layer: int) -> str:
    found = accuracies.get(str(layer))
    return MISSING if found is None else percent(float(found))


def systems_table(items: Iterable[StoredItem]) -> str:
    """Every row of the tables: its title, its name in the JSON, its training and its source."""
    seen: dict[str, Row] = {}
    for item in items:
        for task in item["tasks"].values():
            for row in task["summary"]:
                seen.setdefault(row["policy"], row)
    registered = systems()
    rows = []
    for policy, row in seen.items():
        known = registered.get(row.get("system") or policy)
        rows.append(
            [
                system_title(policy),
                f"`{policy}`",
                row.get("recipe") or MISSING,
                known.source if known else MISSING,
            ]
        )
    return table(["system", "name", "training", "source"], rows, texts=4)


def limits_sentence(item: StoredItem) -> str:
    """How many tasks and seeds a table holds, and how many rows it was trained on."""
    tasks = item["tasks"]
    seeds = sorted({len(task["seeds"]) for task in tasks.values()})
    trained = [int(s["rows"]["train"]) for task in tasks.values() for s in task["seeds"]]
    low, high = min(trained), max(trained)
    rows = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    how_many = join([str(size) for size in seeds])
    return (
        f"{count(len(tasks), 'task')}, {how_many} {'seed' if seeds == [1] else 'seeds'} each, "
        f"trained on {rows} rows; test split only, settings chosen on the validation split."
    )


def mean_of(statistic: Statistic) -> float:
    """The mean of a stored statistic."""
    return float(statistic["mean"])


def wide_range(figures: Sequence[float], digits: int = 2) -> str:
    """``"1.50 to 9.00"``."""
    return f"{number(min(figures), digits)} to {number(max(figures), digits)}"
