"""The page of a simulation: tables of what came of it, and how it went over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from dimec.report.html import figure_html, page_style
from dimec.report.style import Drawing, Series, drawing_style, new_axes, tier_marks, to_svg


def draw_pictures(result: Mapping[str, Any]) -> list[Drawing]:
    """Latency, queues, servers, and accuracy with cost, each over the hours.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    hours, tiers = result["result"]["hours"], result["tiers"][1:]
    return [
        _lines("latency", "Latency over time", "milliseconds", hours, {"mean": "latency_ms"}),
        _lines("queue", "Who waits", "askings", hours, {name: f"queue_{name}" for name in tiers}),
        _lines(
            "servers",
            "Servers over time",
            "servers",
            hours,
            {name: f"servers_{name}" for name in tiers},
        ),
        _lines("accuracy", "Accuracy over time", "share right", hours, {"answers": "accuracy"}),
        _lines("cost", "Cost over time", "λ an answer", hours, {"answers": "cost"}),
    ]


def _lines(
    name: str, title: str, unit: str, hours: Mapping[str, Sequence[float]], lines: Mapping[str, str]
) -> Drawing:
    columns = {"hour": hours["hour"], **{key: hours[key] for key in lines.values()}}
    with drawing_style(name):
        figure, axes = new_axes()
        marks = tier_marks(max(2, len(lines)))
        for mark, (told, key) in zip(marks, lines.items(), strict=False):
            axes.plot(hours["hour"], hours[key], color=mark.colour, linewidth=1.3, label=told)
        axes.set_xlabel("hour")
        axes.set_ylabel(unit)
        if len(lines) > 1:
            axes.legend(loc="best")
        svg = to_svg(figure)
    told = "; ".join(
        f"{word}: from {min(hours[key]):.4g} to {max(hours[key]):.4g}"
        for word, key in lines.items()
    )
    caption = f"Equal stretches of the time simulated. {told}."
    return Drawing(name, title, caption, f"Line plot. {told}.", svg, Series(columns))


def page_of(result: Mapping[str, Any], drawings: Sequence[Drawing]) -> str:
    """The whole page; everything that comes from data is escaped."""
    told = result["result"]
    template = Template(files("dimec.fleet").joinpath("page.html").read_text("utf-8"))
    settings = result["settings"]
    return template.substitute(
        style=page_style(),
        subtitle=escape(
            f"{settings['mobiles']:,} mobiles · {settings['hours']:g} hours · "
            f"{settings['policy']['system']} · seed {settings['seed']}"
        ),
        summary="\n".join(f"<p>{escape(line)}</p>" for line in sentences(result)),
        tiers=_table(*_tier_rows(result)),
        populations=_table(
            ["population", "texts", "accuracy %", "cost, λ", "latency p95, ms"],
            [
                [
                    name,
                    f"{one['inputs']:,}",
                    f"{100 * one['accuracy']:.1f}",
                    f"{one['cost']:.3g}",
                    f"{one['latency_p95_ms']:.4g}",
                ]
                for name, one in told["populations"].items()
            ],
        ),
        studies=_sharing(result["sharing"]) + _layers(result["layers"]),
        figures="\n".join(map(figure_html, drawings)),
        settings=_table(["setting", "value"], [[k, str(v)] for k, v in settings.items()]),
    )


def sentences(result: Mapping[str, Any]) -> list[str]:
    """What came of it, for a reader."""
    told = result["result"]
    late = told["latency_ms"]
    shares = ", ".join(f"{100 * v:.1f} % {k}" for k, v in told["answered_by"].items())
    return [
        f"{told['inputs']:,} texts. Answers took {late['p50']:.4g} ms at the median, "
        f"{late['p95']:.4g} at the 95th percentile, {late['p99']:.4g} at the 99th.",
        f"{100 * told['accuracy']:.2f} % were right (the last tier alone: "
        f"{100 * told['accuracy_last_tier']:.2f} %), at {told['cost']:.3g} λ a text, "
        f"{100 * told['reduction']:.1f} % less than the last tier alone.",
        f"Answered by: {shares}. {100 * told['stood_in_for']:.2f} % had another tier stand in, "
        f"{100 * told['cut_short']:.2f} % kept what an exit had said before a tier failed.",
        f"{told['millijoules']:.4g} mJ of the phone a text, {told['usd_per_1000']:.4g} USD for "
        "1,000 texts: servers by the hour, busy or not, and mobile data.",
    ]


def _tier_rows(result: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    head = [
        "tier",
        "askings",
        "refused",
        "lost",
        "given up",
        "wait p50, ms",
        "wait p99, ms",
        "utilisation %",
        "servers",
        "most",
        "queue, mean",
        "to be sized for",
    ]
    rows = []
    for name, one in result["result"]["tiers"].items():
        out, wait, size = one["outcomes"], one["wait_ms"], result["sizing"][name]
        rows.append(
            [
                name,
                f"{one['askings']:,}",
                f"{out['overloaded']:,}",
                f"{out['unreachable']:,}",
                f"{out['timeout']:,}",
                f"{wait['p50']:.4g}",
                f"{wait['p99']:.4g}",
                f"{100 * one['utilisation']:.3g}",
                f"{one['servers_mean']:.3g}",
                f"{one['servers_most']}",
                f"{one['queue_mean']:.3g}",
                f"{size['stations']} × {size['servers']}",
            ]
        )
    return head, rows


def _sharing(worlds: Mapping[str, Any]) -> str:
    head = ["centres", "accuracy %", "cost, λ", "reward", "reward, first hour", "dispersion"]
    parts = []
    for name, ways in worlds.items():
        rows = [
            [
                way,
                f"{100 * one['accuracy']:.2f}",
                f"{one['cost']:.4g}",
                f"{one['reward']:.4f}",
                f"{one['reward_first_hour']:.4f}",
                " / ".join("–" if v is None else f"{v:.3g}" for v in one["dispersion"]),
            ]
            for way, one in ways.items()
        ]
        parts.append(_section(f"Shared centres: {name}", _table(head, rows)))
    return "".join(parts)


def _layers(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    tiers = list(rows[0]["answered_by"])
    head = [
        "m",
        "n",
        "accuracy %",
        "cost, λ",
        "p50, ms",
        "p99, ms",
        *(f"{t} %" for t in tiers),
        *(f"{t} load %" for t in tiers[1:]),
    ]
    body = [
        [
            str(one["m"]),
            str(one["n"]),
            f"{100 * one['accuracy']:.2f}",
            f"{one['cost']:.3g}",
            f"{one['latency_p50_ms']:.4g}",
            f"{one['latency_p99_ms']:.4g}",
            *(f"{100 * one['answered_by'][t]:.1f}" for t in tiers),
            *(f"{100 * one['utilisation'][t]:.3g}" for t in tiers[1:]),
        ]
        for one in rows
    ]
    return _section("Layer distribution", _table(head, body))


def _section(title: str, table: str) -> str:
    return (
        f"<section>\n<h2>{escape(title)}</h2>\n"
        f'<div class="scroll" role="region" aria-label="{escape(title)}" tabindex="0">\n'
        f"{table}\n</div>\n</section>\n"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    titles = "".join(f'<th scope="col">{escape(one)}</th>' for one in head)
    body = "\n".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for first, *cells in rows
    )
    return f"<table>\n<thead><tr>{titles}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
