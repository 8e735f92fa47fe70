"""What follows from the paper's prices and its own tables alone, computed and not asserted."""

from __future__ import annotations

from dimec.data.glue import TASKS
from dimec.report.wording import join, number, percent, setting
from dimec.tiers.names import MOBILE
from dimec_studies.markdown import span
from dimec_studies.paper import (
    BASELINE,
    RANDOM,
    Paper,
    PaperTable,
    charge_for_uniform,
    mixed_reduction,
    most_cloud_share,
    most_offloaded_share,
    tier_prices,
    uniform_error,
    uniform_reduction,
)
from dimec_studies.titles import task_title


def paper_facts(paper: Paper) -> list[str]:
    """The paragraphs on uniform Random, on all-mobile, and on split systems."""
    tables = [paper.tables[item] for item in ("table1", "table2")]
    return [random_fact(tables), mobile_fact(tables), split_fact(tables)]


def random_fact(tables: list[PaperTable]) -> str:
    """Uniform Random must cost the same on every task; what the paper prints for it instead."""
    told = []
    for table in tables:
        deployment = table.deployment
        prices = tier_prices(deployment)
        told.append(
            f"With {_where(table)} an answer costs {join([f'{setting(p)}λ' for p in prices])}, "
            f"{number(sum(prices) / 3)}λ on average, which is "
            f"{percent(-uniform_reduction(deployment))} % against the cloud; {table.title} has "
            f"{_printed(table)} for Random."
        )
    first = tables[0]
    task = min(first.tasks, key=lambda name: TASKS[name].train_rows)
    rows = TASKS[task].train_rows // 10
    reductions = first.reductions(RANDOM).values()
    needed = [
        f"{percent(-reduction, 0)} % needs γ = "
        f"{number(charge_for_uniform(first.deployment, reduction), 1)}λ"
        for reduction in (min(reductions), max(reductions))
    ]
    return (
        "**Uniform Random must cost the same on every task.** It looks at nothing, so the mean "
        "cost of an input is the mean of the three prices, whatever the task, under any one cost "
        f"model. {' '.join(told)} The lots that are drawn do not explain such a range: over "
        f"{rows:,} inputs, a tenth of {task_title(task)}'s training file, the smallest, the "
        f"standard error is {number(100 * uniform_error(first.deployment, rows), 1)} points. "
        f"Nor does another γ, which moves all tasks together: {join(needed)}."
    )


def mobile_fact(tables: list[PaperTable]) -> str:
    """What all-mobile saves bounds what any routing among the tiers saves."""
    first, *others = tables
    bound = mixed_reduction(first.deployment, (1.0, 0.0, 0.0))
    system, task, best = best_reduction(first)
    share = most_cloud_share(first.deployment, best)
    text = (
        f"**At γ = {setting(first.deployment.charge)}λ even all-mobile saves only "
        f"{percent(bound)} %**, and no routing among the three tiers can save more: "
        f"{setting(tier_prices(first.deployment)[MOBILE])}λ against "
        f"{setting(tier_prices(first.deployment)[2])}λ. The {percent(best, 0)} % printed for "
        f"{system} on {task_title(task)} leaves at most {percent(share)} % of the inputs for the "
        "cloud, if none at all goes to the edge."
    )
    for table in others:
        system, task, best = best_reduction(table)
        bound = mixed_reduction(table.deployment, (1.0, 0.0, 0.0))
        share = most_cloud_share(table.deployment, best)
        text += (
            f" With {_where(table)} all-mobile saves {percent(bound)} %, and {table.title} has "
            f"{percent(best, 0)} % for {system} on {task_title(task)}: at most "
            f"{percent(max(0.0, share))} % for the cloud, at "
            f"{number(100 * table.drop(system, task), 1)} points below BERT."
        )
    return f"{text} The paper gives no γ; a larger one would lift these bounds."


def split_fact(tables: list[PaperTable]) -> str:
    """A split system has run the mobile's layers before it offloads."""
    table = tables[0]
    prices = tier_prices(table.deployment)
    both = prices[MOBILE] + prices[2]
    reductions = table.reductions("AdaEE")
    task = max(reductions, key=lambda name: reductions[name])
    share = most_offloaded_share(table.deployment, reductions[task])
    return (
        "**A split system pays twice for what it offloads.** It runs the mobile's layers on every "
        f"input: with {_where(table)} an input that AdaEE offloads costs {setting(both)}λ, "
        f"{percent(both / prices[2], 0)} % of the cloud's price. To save the "
        f"{percent(reductions[task], 0)} % printed for {task_title(task)}, it may offload at most "
        f"{percent(share)} % of the inputs."
    )


def best_reduction(table: PaperTable) -> tuple[str, str, float]:
    """System, task and figure of the largest reduction that the table has; BERT's own is 0."""
    cells = [
        (cell.reduction, system, task)
        for system, row in table.systems.items()
        if system != BASELINE
        for task, cell in row.items()
    ]
    reduction, system, task = max(cells)
    return system, task, reduction


def _where(table: PaperTable) -> str:
    """``"BERT-base's exits 4, 6, 12 and γ = 15λ"``."""
    return (
        f"{table.backbone}'s exits {setting(table.exits)} and γ = "
        f"{setting(table.deployment.charge)}λ"
    )


def _printed(table: PaperTable) -> str:
    return span([-r for r in table.reductions(RANDOM).values()], digits=0, unit=" %")
