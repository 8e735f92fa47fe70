"""What the rows of dimec's own systems, Ours-F and Ours-D, show: sentences computed from results.

They are parts of :func:`dimec_studies.findings.table_findings`; each is None where the figures that
it speaks of are missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from dimec.cartography.thresholds import PAPER_ALPHAS, PAPER_BETAS
from dimec.policies import system, tagged
from dimec.report.wording import join, number, percent
from dimec.tiers.names import EDGE
from dimec_studies.markdown import MISSING, bounded, count, span, table, value
from dimec_studies.paper import COUNTERPARTS, Paper, PaperTable
from dimec_studies.tables import Row, StoredItem, Task, find_summary, mean_of
from dimec_studies.titles import is_dimec, is_reference, system_title, task_title

_ALL = 0.995  # a tier with this share of the inputs has them all, rounded


def _dimec_rows(item: StoredItem, tasks: Sequence[str]) -> list[tuple[str, Row]]:
    """(task, row) of every Ours-F and Ours-D."""
    return [
        (task, row)
        for task in tasks
        for row in item["tasks"][task]["summary"]
        if is_dimec(row["policy"])
    ]


def claim(
    item: StoredItem, tasks: Sequence[str], paper: Paper, printed: PaperTable | None
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


def _dimec_table(item: StoredItem, tasks: Sequence[str], printed: PaperTable | None) -> str:
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


def unrouted(item: StoredItem, tasks: Sequence[str]) -> str | None:
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


def gains_over_random(item: StoredItem, tasks: Sequence[str]) -> str | None:
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


def dominated(item: StoredItem, tasks: Sequence[str]) -> str | None:
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


def adaptive_gains(
    item: StoredItem, tasks: Sequence[str], printed: PaperTable | None
) -> str | None:
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


def edge_traffic(item: StoredItem, tasks: Sequence[str]) -> str | None:
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
