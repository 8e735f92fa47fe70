"""One self-contained HTML page: no script, no other file is needed to read it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any

from dimec.report.curves import contract_sentence, saving_html, saving_note
from dimec.report.inputs import PooledInputs, ReportInputs
from dimec.report.style import Drawing, inline_svg
from dimec.report.wording import (
    METRIC_TITLES,
    exits_told,
    fitted_names,
    interval,
    ledger_notes,
    minus,
    number,
    percent,
    setting,
    summary,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dimec.evaluation.curves import Curves
    from dimec.evaluation.ledger import Ledger, LedgerRow

WIDE_FIGURES = {"accuracy_cost"}

_SETTING_TITLES = {
    "task": "task",
    "source": "source",
    "backbone": "backbone",
    "exits": "exits of {tiers} (layers)",
    "train_rows": "training rows",
    "validation_rows": "validation rows",
    "samples": "test rows",
    "system": "fitted policy",
    "policy": "its row",
    "alpha": "α, confidence threshold",
    "beta": "β, variance threshold",
    "grid": "threshold grid",
    "lam": "λ, weight of cost against confidence",
    "prices": "prices of {tiers} (λ)",
    "cloud_charge": "γ, {last} charge (λ)",
    "draws": "bootstrap draws",
    "seed": "seed",
    "bootstrap_seed": "bootstrap seed",
    "date": "date",
}


def render_page(inputs: ReportInputs, drawings: Sequence[Drawing]) -> str:
    """The whole page; everything that comes from data is escaped."""
    ledger, context = inputs.ledger, inputs.ledger.context
    task = setting(context.get("task", "unnamed task"))
    models = exits_told(context)
    titles = {"date": ""} if models else {"backbone": "Backbone", "exits": "exits", "date": ""}
    told = [(word, setting(context[k])) for k, word in titles.items() if context.get(k) is not None]
    under = [f"Models {models}"] * bool(models) + [
        f"{word} {value}".strip() for word, value in told
    ]
    pools = inputs.pools if isinstance(inputs, PooledInputs) else None
    template = Template(files("dimec.report").joinpath("page.html").read_text("utf-8"))
    return template.substitute(
        style=page_style(),
        title=escape(f"dimec report: {task}"),
        subtitle=escape(" · ".join(under)),
        summary="\n".join(f"<p>{escape(told)}</p>" for told in _summary(ledger, pools)),
        table=ledger_html(ledger),
        savings="" if inputs.curves is None else _savings(inputs.curves),
        notes="\n".join(f"<li>{escape(note)}</li>" for note in ledger_notes(ledger)),
        figures="\n".join(map(figure_html, drawings)),
        settings=_settings(ledger, None if pools is None else len(pools)),
    )


def page_style() -> str:
    """The style sheet of this page and of others that look like it."""
    return files("dimec.report").joinpath("page.css").read_text("utf-8")


def _summary(ledger: Ledger, pools: NDArray[np.int64] | None) -> list[str]:
    told = contract_sentence(ledger.context)
    return [*summary(ledger, pools), *([told] if told else [])]


def _savings(curves: Curves) -> str:
    """The table of savings in a section of its own; nothing where no policy has a knob."""
    if not curves.curves:
        return ""
    return (
        '<section aria-labelledby="curves">\n<h2 id="curves">Curves</h2>\n'
        '<div class="scroll" role="region" aria-label="Curves" tabindex="0">\n'
        f"{saving_html(curves)}\n</div>\n"
        f'<ul class="notes">\n<li>{escape(saving_note(curves))}</li>\n</ul>\n</section>\n'
    )


def ledger_html(ledger: Ledger) -> str:
    """The ledger as an HTML table, intervals below their values."""
    metric = METRIC_TITLES.get(ledger.metric_name, ledger.metric_name)
    titles = [
        "policy",
        "accuracy %",
        *([] if ledger.metric_name == "accuracy" else [metric]),
        "drop, points",
        "cost, λ",
        "reduction %",
        *(f"{tier} %" for tier in ledger.tiers),
    ]
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    routers = set(fitted_names(ledger))
    body = "\n".join(_row(row, ledger, row.policy in routers) for row in ledger.rows)
    return (
        '<table class="ledger">\n<caption>Test split, one row a policy; small print: 95 % '
        f"intervals.</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
    )


def _row(row: LedgerRow, ledger: Ledger, is_router: bool) -> str:
    cells = [
        percent(row.accuracy),
        *([] if ledger.metric_name == "accuracy" else [number(row.metric, 3)]),
        _with_interval(row.drop, row.drop_low, row.drop_high),
        number(row.cost),
        _with_interval(row.reduction, row.reduction_low, row.reduction_high),
        *(percent(row.shares.get(tier, math.nan)) for tier in ledger.tiers),
    ]
    kind = ' class="router"' if is_router else ""
    told = "".join(f"<td>{minus(cell)}</td>" for cell in cells)
    return f'<tr{kind}><th scope="row">{escape(row.policy)}</th>{told}</tr>'


def _with_interval(value: float, low: float, high: float) -> str:
    return f"{percent(value)}<small>{interval(low, high)}</small>"


def figure_html(drawing: Drawing) -> str:
    """A drawing as an element of a page, with its words and the links to its files."""
    kind = ' class="wide"' if drawing.name in WIDE_FIGURES else ""
    name = escape(drawing.name)
    # The description is in the page for readers who cannot see the picture; the SVG points to it.
    return (
        f'<figure{kind} id="figure-{name}">\n'
        f'<h3 id="{name}-title">{escape(drawing.title)}</h3>\n'
        f'<p id="{name}-description" hidden>{escape(drawing.description)}</p>\n'
        f'<div class="picture">{inline_svg(drawing)}</div>\n'
        f"<figcaption><p>{escape(drawing.caption)}</p>"
        f'<p>Files: <a href="{name}.svg">{name}.svg</a>, <a href="{name}.csv">{name}.csv</a></p>'
        "</figcaption>\n</figure>"
    )


def _settings(ledger: Ledger, validation_rows: int | None) -> str:
    """Every setting that the ledger was made with: the known ones first, then the rest."""
    context, words = ledger.context, {"tiers": ", ".join(ledger.tiers), "last": ledger.tiers[-1]}
    known = {"validation_rows": validation_rows, **context}
    told: list[tuple[str, Any]] = []
    for key, title in _SETTING_TITLES.items():
        if key in known and known[key] != "" and known[key] is not None:
            # A seed is a name, not a quantity: no thousands separator.
            told.append((title.format(**words), str(known[key]) if "seed" in key else known[key]))
    for key in sorted(set(context) - set(_SETTING_TITLES)):
        told += _flatten(str(key), context[key])
    rows = "\n".join(
        f'<tr><th scope="row">{escape(title)}</th><td>{escape(setting(value))}</td></tr>'
        for title, value in told
    )
    return f'<table class="settings">\n<tbody>\n{rows}\n</tbody>\n</table>'


def _named_row(name: str, values: Mapping[str, Any]) -> tuple[str, Any]:
    """``("tiers: phone", "layer 1, layer price 1.5")``, without what is empty."""
    told = [
        f"{key.replace('_', ' ')} {setting(value)}"
        for key, value in values.items()
        if key != "name" and value not in ("", None)
    ]
    return f"{name}: {values.get('name', '')}", ", ".join(told)


def _flatten(name: str, value: Any) -> list[tuple[str, Any]]:
    """Nested settings as rows; those that are not set are left out."""
    if value is None:
        return []
    if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        # Tables with names, such as the tiers: a row each.
        return [_named_row(name, one) for one in value]
    if not isinstance(value, Mapping):
        return [(name.replace("_", " "), value)]
    pairs = []
    for key, inner in value.items():
        pairs += _flatten(f"{name} {key}", inner)
    return pairs
