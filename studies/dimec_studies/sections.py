"""One section of the page for each stored item: its captions, tables, sentences and figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dimec.report.style import Drawing
from dimec.report.wording import percent
from dimec_studies.figure_tables import (
    curve_findings,
    curves_table,
    exits_table,
    grouped,
    maps_table,
    shares_table,
    tsne_sentence,
)
from dimec_studies.figures import (
    draw_curves,
    draw_exits,
    draw_maps,
    draw_shares,
    draw_tsne,
)
from dimec_studies.markdown import details
from dimec_studies.paper import Paper
from dimec_studies.study_figures import draw_raters, draw_selections, draw_streams
from dimec_studies.study_tables import (
    raters_findings,
    raters_table,
    selection_findings,
    selection_table,
    stream_findings,
    stream_table,
)
from dimec_studies.tables import (
    StoredItem,
    deployment_caption,
    deployment_of,
    item_caption,
    limits_sentence,
    ordered_tasks,
    recipes_table,
    scenario_table,
    settings_table,
    task_caption,
    task_table,
)
from dimec_studies.titles import task_title

Block = str | Drawing

_PAPERS_CURVES = (
    "In the paper accuracy rises slightly with λ_m and with λ_e, and falls with o_c. Here, from "
    "the lowest to the highest value of each cost:"
)
_ENDS = "Arrows go from the lowest to the highest value of the cost."


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        deployment: exits and prices that it rests on.
        blocks: Markdown and figures in the order in which they stand.
    """

    deployment: str
    blocks: tuple[Block, ...]

    @property
    def drawings(self) -> list[Drawing]:
        """Its figures."""
        return [block for block in self.blocks if isinstance(block, Drawing)]


def section(item: StoredItem, paper: Paper) -> Section:
    """The section of a stored result; its figures are named ``PROFILE-…``.

    Raises:
        KeyError, TypeError, ValueError, IndexError: the result is not what its item says.
        MissingExtraError: matplotlib is not installed.
    """
    blocks = _SECTIONS[item["item"]](item, paper)
    return Section(deployment_caption(item), (item_caption(item), *blocks))


def bullets(sentences: list[str]) -> str:
    """A list, one sentence an entry."""
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _name(item: StoredItem, figure: str) -> str:
    return f"{item['profile']}-{figure}"


def _table(item: StoredItem, paper: Paper) -> list[Block]:
    blocks: list[Block] = [limits_sentence(item)]
    tasks = {name: item["tasks"][name] for name in ordered_tasks(item, paper.tables[item["item"]])}
    for name, task in tasks.items():
        blocks += [f"#### {task_title(name)} ({item['profile']}, {_short(item)})"]
        blocks += [task_caption(task), task_table(task)]
        more = [recipes_table(task), settings_table(task)]
        if costs := scenario_table({name: task}):
            more.append(costs)
        title = f"{task_title(name)}: trainings, settings chosen on validation, scenarios"
        blocks.append(details(title, "\n\n".join(more)))
    if costs := scenario_table(tasks):
        blocks += [
            f"#### Time, energy and money ({item['profile']}, {_short(item)})",
            "The same decisions in milliseconds until the answer is on the phone, millijoules of "
            "the phone's battery, and US dollars for 1,000 answers, under each scenario: means "
            f"over {', '.join(map(task_title, tasks))}. What the scenarios rest on, source by "
            "source: [scenarios.md](scenarios.md).",
            costs,
        ]
    return blocks


def _short(item: StoredItem) -> str:
    return {"table1": "Table 1", "table2": "Table 2"}[item["item"]]


def _fig1(item: StoredItem, paper: Paper) -> list[Block]:
    maps = item["maps"]
    return [draw_maps(_name(item, "fig1"), maps), maps_table(maps)]


def _fig3(item: StoredItem, paper: Paper) -> list[Block]:
    return [
        draw_maps(_name(item, "fig3-maps"), item["maps"]),
        maps_table(item["maps"]),
        draw_shares(_name(item, "fig3-shares"), item["shares"]),
        shares_table(item["shares"]),
    ]


def _fig4(item: StoredItem, paper: Paper) -> list[Block]:
    blocks: list[Block] = [
        draw_exits(_name(item, "fig4a"), item["exits"]),
        exits_table(item["exits"]),
    ]
    if item["tsne"]:
        blocks += [draw_tsne(_name(item, "fig4bc"), item["tsne"]), tsne_sentence(item["tsne"])]
    return blocks


def _fig5(item: StoredItem, paper: Paper) -> list[Block]:
    deployment = deployment_of(item)
    defaults = dict(item["deployment"]["costs"]) | {"cloud_charge": deployment.charge}
    blocks: list[Block] = []
    groups = grouped(item["curves"], "policy")
    for (policy,), curves in groups.items():
        name = "fig5" if len(groups) == 1 else f"fig5-{policy}"
        drawing = draw_curves(_name(item, name), curves, defaults)
        blocks += [drawing, _PAPERS_CURVES, bullets(curve_findings(curves)), _ENDS]
        blocks.append(curves_table(curves))
    return blocks


def _cartography(item: StoredItem, paper: Paper) -> list[Block]:
    rows = item["rows"]
    return [
        f"The last exit after training on all rows of `{item['task']}`, and on the "
        f"{percent(float(item['share']), 0)} % of them that the map of the training split calls "
        "most ambiguous (largest variability), easiest (largest confidence) or hardest, or that "
        "chance picks. In brackets: the seeds' smallest and largest.",
        draw_selections(_name(item, "cartography"), rows),
        selection_table(rows),
        selection_findings(rows),
    ]


def _robustness(item: StoredItem, paper: Paper) -> list[Block]:
    cells = item["cells"]
    blocks: list[Block] = [
        "Model, pools and thresholds are made on one domain; a stream of another arrives. A cell "
        "holds accuracy and cost reduction in percent, against the same model's last exit.",
        draw_streams(_name(item, "streams"), cells),
        bullets(stream_findings(cells)),
        stream_table(cells),
    ]
    if raters := item["raters"]:
        blocks += [
            "Human raters gave every text a score. Spearman's rank correlation of the spread of "
            "their scores with what the model made of the same validation texts, 95 % bootstrap "
            "intervals:",
            draw_raters(_name(item, "raters"), raters),
            bullets(raters_findings(raters)),
            raters_table(raters),
        ]
    return blocks


_SECTIONS: Mapping[str, Callable[[StoredItem, Paper], list[Block]]] = MappingProxyType(
    {
        "table1": _table,
        "table2": _table,
        "fig1": _fig1,
        "fig3": _fig3,
        "fig4": _fig4,
        "fig5": _fig5,
        "cartography": _cartography,
        "robustness": _robustness,
    }
)
