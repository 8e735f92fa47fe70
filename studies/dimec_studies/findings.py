"""Where dimec's figures differ from the paper's, and why: sentences computed from the results.

Every number in them comes from a stored result, from ``paper.toml`` or from the price arithmetic
of :mod:`dimec_studies.paper`; a sentence whose figures are missing is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from typing import Any

from dimec.cartography.thresholds import PAPER_ALPHAS, PAPER_BETAS
from dimec.data.glue import TASKS
from dimec.policies import system, tagged
from dimec.report.wording import join, number, percent, setting
from dimec.tiers.names import EDGE
from dimec_studies.markdown import MISSING, bounded, count, span, table, value
from dimec_studies.paper import BASELINE, COUNTERPARTS, Paper, PaperTable, uniform_reduction
from dimec_studies.tables import (
    Item,
    Row,
    Task,
    deployment_of,
    find_summary,
    mean_of,
    ordered_tasks,
)
from dimec_studies.titles import is_dimec, is_reference, system_title, task_title

_ALL = 0.995  # a tier with this share of the inputs has them all, rounded


def table_findings(item: Item, paper: Paper) -> list[str]:
    """The paragraphs and tables on one stored table; ``paper`` has its counterpart or not."""
    printed = paper.tables.get(item["item"])
    tasks = ordered_tasks(item, printed)
    parts: tuple[Callable[[], str | None], ...] = (
        lambda: _sizes(item, tasks, printed),
        lambda: _claim(item, tasks, paper, printed),
        lambda: _unrouted(item, tasks),
        lambda: _gains(item, tasks),
        lambda: _dominated(item, tasks),
        lambda: _adaptive(item, tasks, printed),
        lambda: _edge_traffic(item, tasks),
        lambda: _split_systems(item, tasks, printed),
        lambda: _random(item),
        lambda: _precision(item),
    )
    return [text for part in parts if (text := part())]


def find_setting(nested: Any, key: str) -> Any:
    """The first value of that key in nested mappings and lists, or None."""
    if isinstance(nested, Mapping):
        if key in nested:
            return nested[key]
        nested = list(nested.values())
    if isinstance(nested, list):
        for one in nested:
            if (found := find_setting(one, key)) is not None:
                return found
    return None


def _dimec_rows(item: Item, tasks: Sequence[str]) -> list[tuple[str, Row]]:
    """(task, row) of every Ours-F and Ours-D."""
    return [
        (task, row)
        for task in tasks
        for row in item["tasks"][task]["summary"]
        if is_dimec(row["policy"])
    ]


def _sizes(item: Item, tasks: Sequence[str], printed: PaperTable | None) -> str | None:
    """Encoder and rows, and what they leave of BERT's score."""
    rows, shares, behind = [], [], []
    for name in tasks:
        task = item["tasks"][name]
        trained = mean(int(seed["rows"]["train"]) for seed in task["seeds"])
        tested = mean(int(seed["rows"]["test"]) for seed in task["seeds"])
        glue = TASKS.get(name)
        share = trained / glue.train_rows if glue else None
        shares += [share] if share is not None else []
        reference = find_summary(task, task["reference"])
        ours = None if reference is None else mean_of(reference["metric"])
        cell = printed.systems[BASELINE].get(name) if printed else None
        gap = None if ours is None or cell is None else cell.score - ours
        behind += [gap] if gap is not None else []
        rows.append(
            [
                task_title(name),
                f"{trained:,.0f}",
                MISSING if share is None else f"{percent(share)} %",
                f"{tested:,.0f}",
                MISSING if ours is None else percent(ours),
                MISSING if cell is None else percent(cell.score),
                MISSING if gap is None else number(100 * gap, 1),
            ]
        )
    header = ["task", "training rows", "of GLUE's training file", "test rows", "our reference"]
    text = f"**Encoder and rows.** {_encoder(item, printed)}"
    if shares:
        text += (
            f" Its training rows are {span(shares)} % of those in GLUE's training files; the paper "
            "trains on 80 % of each data set."
        )
    if behind:
        text += (
            f" Before anything is routed, the whole model lies {span(behind)} points of the score "
            "behind the paper's BERT (below 0: ahead of it)."
        )
    body = table([*header, "BERT in the paper", "behind, points"], rows)
    return f"{text} The reference is the whole model, in GLUE's score times 100.\n\n{body}"


def _encoder(item: Item, printed: PaperTable | None) -> str:
    backbone = find_setting(item.get("plan", {}), "backbone")
    ours = f"Our encoder is `{backbone}`, with" if backbone else "Our encoder has"
    text = f"{ours} exits {setting(item['deployment']['exits'])}"
    if printed is None:
        return f"{text}."
    return f"{text}; the paper's is {printed.backbone} with exits {setting(printed.exits)}."


def _claim(
    item: Item, tasks: Sequence[str], paper: Paper, printed: PaperTable | None
) -> str | None:
    """How often more than 43 % less cost at under half a point is reached, there and here."""
    rows = _dimec_rows(item, tasks)
    if not rows:
        return None
    met = [
        f"{system_title(row['policy'])} on {task_title(task)}"
        for task, row in rows
        if paper.meets_claim(mean_of(row["drop"]), mean_of(row["reduction"]))
    ]
    drops = [mean_of(row["drop"]) for _, row in rows]
    reductions = [mean_of(row["reduction"]) for _, row in rows]
    text = (
        f"**The claim.** The abstract says more than {percent(paper.claimed_reduction, 0)} % less "
        f"cost at under {number(100 * paper.claimed_drop, 1)} points of accuracy. Here Ours-F and "
        f"Ours-D save {span(reductions, unit=' %')} at a drop of {span(drops, digits=2)} points; "
        f"{len(met)} of {count(len(rows), 'pair')} of row and task reach the claim"
        + (f" ({join(met)})." if met else ".")
    )
    if printed is not None:
        told = [
            task
            for task in printed.tasks
            if paper.meets_claim(
                printed.drop("Ours-D", task), printed.systems["Ours-D"][task].reduction
            )
        ]
        text += (
            f" In the paper's own {printed.title}, Ours-D reaches it on {len(told)} of "
            f"{count(len(printed.tasks), 'task')}."
        )
    return f"{text}\n\n{_dimec_table(item, tasks, printed)}"


def _dimec_table(item: Item, tasks: Sequence[str], printed: PaperTable | None) -> str:
    """Drop, reduction and gain of Ours-F and Ours-D, the paper's figures in the last columns."""
    rows = []
    for task, row in _dimec_rows(item, tasks):
        theirs = next((s for s, ours in COUNTERPARTS.items() if row["policy"] in ours), None)
        cell = printed.systems[theirs].get(task) if printed and theirs else None
        rows.append(
            [
                task_title(task),
                system_title(row["policy"]),
                bounded(row["drop"], digits=2),
                bounded(row["reduction"]),
                bounded(row.get("gain"), digits=2),
                MISSING
                if cell is None or printed is None or theirs is None
                else number(100 * printed.drop(theirs, task), 1),
                MISSING if cell is None else percent(cell.reduction, 0),
            ]
        )
    header = ["task", "system", "drop, points", "reduction %", "gain over random@, points"]
    return table([*header, "the paper's drop", "the paper's reduction %"], rows, texts=2)


def _unrouted(item: Item, tasks: Sequence[str]) -> str | None:
    """Where one tier gets everything, and where the mobile alone is as accurate as the cloud."""
    told = []
    for k, where in enumerate(("to the mobile", "to the edge", "to the cloud")):
        found = []
        for name in tasks:
            rows = [row for task, row in _dimec_rows(item, tasks) if task == name]
            alone = sum(row["shares"][k] >= _ALL for row in rows)
            found += [f"{task_title(name)} ({alone} of {count(len(rows), 'row')})"] * bool(alone)
        if found:
            told.append(f"{where} on {join(found)}")
    text = ""
    if told:
        text = (
            f"Ours-F and Ours-D send at least {percent(_ALL)} % of the inputs {join(told)}: "
            "nothing is routed there, and neither cost nor accuracy says anything of the router. "
            "The pools rest on the mobile's confidence in the gold label; where it seldom reaches "
            f"the smallest α, {min(PAPER_ALPHAS)}, nearly every sample is hard."
        )
    free = [
        f"{task_title(name)} ({value(mobile['accuracy'])} against {value(cloud['accuracy'])} %)"
        for name in tasks
        if (mobile := find_summary(item["tasks"][name], "all-mobile"))
        and (cloud := find_summary(item["tasks"][name], item["tasks"][name]["reference"]))
        and mean_of(mobile["accuracy"]) >= mean_of(cloud["accuracy"])
    ]
    if free:
        text += (
            f" The mobile's exit alone is no less accurate than the reference on {join(free)}: "
            "there accuracy is no reason to send anything anywhere, and the task's metric tells "
            "more."
        )
    return f"**Where nothing is decided.** {text.strip()}" if text else None


def _gains(item: Item, tasks: Sequence[str]) -> str | None:
    """What the routers' choice of which inputs go where is worth."""
    gains = [row["gain"] for _, row in _dimec_rows(item, tasks) if row.get("gain") is not None]
    if not gains:
        return None
    above = sum(gain["low"] > 0 for gain in gains)
    below = sum(gain["high"] < 0 for gain in gains)
    return (
        f"**What the embedding tells.** Against random routing with the same tier shares the "
        f"routers gain {span([mean_of(gain) for gain in gains], digits=2)} points of accuracy, "
        f"{number(100 * mean(map(mean_of, gains)))} on average; of {count(len(gains), 'interval')} "
        f"{above} {'lies' if above == 1 else 'lie'} above 0 and {below} below. The paper compares "
        "with uniform random routing only, which has other shares and therefore another cost."
    )


def _dominated(item: Item, tasks: Sequence[str]) -> str | None:
    """Systems that are at least as accurate and no dearer than Ours-F or Ours-D."""
    policies = list(dict.fromkeys(row["policy"] for _, row in _dimec_rows(item, tasks)))
    if not policies:
        return None
    body, beaten, pairs = [], 0, 0
    for policy in policies:
        cells = []
        for task in tasks:
            row = find_summary(item["tasks"][task], policy)
            better = [] if row is None else better_systems(item["tasks"][task], row)
            beaten, pairs = beaten + bool(better), pairs + (row is not None)
            cells.append(", ".join(map(system_title, better)) or "none")
        body.append([system_title(policy), *cells])
    text = (
        "**Who does better.** Systems whose mean accuracy and GLUE metric are no lower and whose "
        "mean cost is no higher than dimec's, one of them strictly: there is one in "
        f"{beaten} of {count(pairs, 'pair')} of row and task (means over the seeds; rows that see "
        "labels or borrow a router's shares do not count)."
    )
    return f"{text}\n\n{table(['row', *map(task_title, tasks)], body, texts=1 + len(tasks))}"


def better_systems(task: Task, row: Row) -> list[str]:
    """Policies that no figure puts behind ``row``: accuracy, GLUE's metric, cost; and one ahead.

    The metric keeps out systems that are as accurate because they always answer the same class.
    """
    mine = _merits(row)
    found = []
    for other in task["summary"]:
        if is_reference(other["policy"]) or is_dimec(other["policy"]):
            continue
        theirs = _merits(other)
        if theirs != mine and all(a >= b for a, b in zip(theirs, mine, strict=True)):
            found.append(other["policy"])
    return found


def _merits(row: Row) -> tuple[float, float, float]:
    """Accuracy, metric and cost, the larger the better."""
    return mean_of(row["accuracy"]), mean_of(row["metric"]), -mean_of(row["cost"])


def _adaptive(item: Item, tasks: Sequence[str], printed: PaperTable | None) -> str | None:
    """Ours-D minus Ours-F, by grid."""
    told = []
    for one in tagged("ours", "fixed"):
        (grid,) = one.tags - {"ours", "fixed"}
        (other,) = tagged("ours", "adaptive", grid)
        pairs = [
            (fixed, adaptive)
            for task in tasks
            if (fixed := find_summary(item["tasks"][task], one.name))
            and (adaptive := find_summary(item["tasks"][task], other.name))
        ]
        if pairs:
            accuracy, reduction = (
                mean(mean_of(d[key]) - mean_of(f[key]) for f, d in pairs)
                for key in ("accuracy", "reduction")
            )
            told.append(
                f"{100 * accuracy:+.2f} points of accuracy and {100 * reduction:+.1f} of reduction "
                f"({grid})"
            )
    if not told:
        return None
    text = f"**Ours-D minus Ours-F**, on average over the tasks: {join(told)}."
    if printed is not None:
        leads = [
            printed.systems["Ours-D"][task].score - printed.systems["Ours-F"][task].score
            for task in printed.tasks
        ]
        text += (
            f" In the paper Ours-D is ahead on {sum(lead > 0 for lead in leads)} of "
            f"{count(len(leads), 'task')}, by {100 * mean(leads):.2f} points on average."
        )
    return text


def _edge_traffic(item: Item, tasks: Sequence[str]) -> str | None:
    """How much goes to the edge with the paper's thresholds and with quantiles."""
    names = {
        "paper grid": "the paper's values of α and β",
        "quantile grid": "β from the data's quantiles",
    }
    shares: dict[str, list[float]] = {}
    for _, row in _dimec_rows(item, tasks):
        for grid in names.keys() & system(row["policy"]).tags:
            shares.setdefault(grid, []).append(float(row["shares"][EDGE]))
    if not shares:
        return None
    told = [f"{span(found, unit=' %')} with {names[grid]}" for grid, found in shares.items()]
    return (
        f"**The medium pool.** Of Ours-F and Ours-D the edge answers {join(told)}. The smallest β "
        f"of the paper is {min(PAPER_BETAS)}; where few variances lie above it, the medium pool is "
        "small or empty, and the edge gets nothing."
    )


def _split_systems(item: Item, tasks: Sequence[str], printed: PaperTable | None) -> str | None:
    """AdaEE and I-SplitEE pay the mobile's layers for every input, and the cloud on top."""
    told = []
    for name in ("AdaEE", "I-SplitEE"):
        found = [
            mean_of(row["reduction"])
            for policy in COUNTERPARTS[name]
            for task in tasks
            if (row := find_summary(item["tasks"][task], policy))
        ]
        if not found:
            continue
        theirs = list(printed.reductions(name).values()) if printed else []
        beside = f" (the paper: {span(theirs, digits=0, unit=' %')})" if theirs else ""
        told.append(f"{name} saves {span(found, unit=' %')}{beside}")
    if not told:
        return None
    mobile, _, cloud = item["deployment"]["prices"]
    both = float(mobile) + float(cloud)
    return (
        f"**Split systems.** {join(told)}; below 0 is dearer than all-cloud. They run the mobile's "
        "layers on every input and pay o_c + γ for what they offload: with the mobile's exit as "
        f"the split, {setting(both)}λ, {percent(both / float(cloud), 0)} % of all-cloud."
    )


def _random(item: Item) -> str | None:
    """Uniform random routing costs the same on every task here."""
    found = [
        mean_of(row["reduction"])
        for task in item["tasks"].values()
        if (row := find_summary(task, "random"))
    ]
    if not found:
        return None
    return (
        f"**Random.** Uniform random routing saves {span(found, unit=' %')} on "
        f"{count(len(found), 'task')} here; the mean of the three prices gives "
        f"{percent(uniform_reduction(deployment_of(item)))} %."
    )


def _precision(item: Item) -> str | None:
    """How wide the intervals of a drop are."""
    halves = [
        (float(row["drop"]["high"]) - float(row["drop"]["low"])) / 2
        for task in item["tasks"].values()
        for row in task["summary"]
        if not is_reference(row["policy"]) and row["drop"].get("low") is not None
    ]
    halves = [half for half in halves if half > 0]
    if not halves:
        return None
    return (
        f"**Precision.** The 95 % interval of a drop reaches {span(halves, digits=2)} points to "
        "either side, depending on the task and the system. The paper gives neither intervals nor "
        "a number of seeds."
    )
