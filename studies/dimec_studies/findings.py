"""Where dimec's figures differ from the paper's, and why: sentences computed from the results.

Every number in them comes from a stored result, from ``paper.toml`` or from the price arithmetic
of :mod:`dimec_studies.paper`; a sentence whose figures are missing is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from typing import Any

from dimec.data.glue import TASKS
from dimec.report.wording import join, number, percent, setting
from dimec_studies.markdown import MISSING, count, span, table
from dimec_studies.own_findings import (
    adaptive_gains,
    claim,
    dominated,
    edge_traffic,
    gains_over_random,
    unrouted,
)
from dimec_studies.paper import BASELINE, COUNTERPARTS, Paper, PaperTable, uniform_reduction
from dimec_studies.tables import (
    StoredItem,
    deployment_of,
    find_summary,
    mean_of,
    ordered_tasks,
)
from dimec_studies.titles import is_reference, task_title


def table_findings(item: StoredItem, paper: Paper) -> list[str]:
    """The paragraphs and tables on one stored table; ``paper`` has its counterpart or not."""
    printed = paper.tables.get(item["item"])
    tasks = ordered_tasks(item, printed)
    parts: tuple[Callable[[], str | None], ...] = (
        lambda: _sizes(item, tasks, printed),
        lambda: claim(item, tasks, paper, printed),
        lambda: unrouted(item, tasks),
        lambda: gains_over_random(item, tasks),
        lambda: dominated(item, tasks),
        lambda: adaptive_gains(item, tasks, printed),
        lambda: edge_traffic(item, tasks),
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


def _sizes(item: StoredItem, tasks: Sequence[str], printed: PaperTable | None) -> str | None:
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


def _encoder(item: StoredItem, printed: PaperTable | None) -> str:
    backbone = find_setting(item.get("plan", {}), "backbone")
    ours = f"Our encoder is `{backbone}`, with" if backbone else "Our encoder has"
    text = f"{ours} exits {setting(item['deployment']['exits'])}"
    if printed is None:
        return f"{text}."
    return f"{text}; the paper's is {printed.backbone} with exits {setting(printed.exits)}."


def _split_systems(
    item: StoredItem, tasks: Sequence[str], printed: PaperTable | None
) -> str | None:
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


def _random(item: StoredItem) -> str | None:
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


def _precision(item: StoredItem) -> str | None:
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
