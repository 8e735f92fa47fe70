"""``dimec profile``: a layer profile, how long an encoder's layers take on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimec.base.errors import ConfigError
from dimec.cli.common import AsJson, print_json, progress_bar, show_columns

if TYPE_CHECKING:
    from dimec.tiers.latency import LayerProfile


def profile(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write it, as JSON.")],
    backbone: Annotated[
        str, typer.Option(help="A folder, a hub name, or the packaged encoder minilm-l6.")
    ] = "minilm-l6",
    tokens: Annotated[
        str | None, typer.Option(help="Lengths to measure, such as 16,64,128.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each length; medians count.")] = 30,
    threads: Annotated[int, typer.Option(min=1, help="Threads that compute.")] = 1,
    note: Annotated[
        str, typer.Option(help="Kept with what was measured: what else ran, say.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Measure an encoder's layer profile, for the policy Neurosurgeon.

    Embedding layer, layers and classifier, one text at a time, on the processor; a curve
    a + b·T + c·T² over the tokens T is fitted to each.
    """
    lengths = None if tokens is None else _lengths(tokens)
    with progress_bar() as progress:
        progress.say("loading torch")
        from dimec.training.layer_profile import DEFAULT_TOKENS, measure_layers

        measured = measure_layers(
            backbone,
            tokens=lengths or DEFAULT_TOKENS,
            repeats=repeats,
            threads=threads,
            note=note,
            progress=progress,
        )
    measured.save(out)
    if as_json:
        print_json({"file": str(out), "machine": measured.machine, "parts": _rows(measured)})
        return
    _show(measured)
    print(f"{measured.machine}, {threads} thread{'s' if threads > 1 else ''}; written to {out}")


def _lengths(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) for part in parts):
        raise ConfigError(f"--tokens: expected lengths such as 16,64,128, got {text!r}")
    return tuple(map(int, parts))


def _rows(measured: LayerProfile) -> list[dict[str, Any]]:
    rows = []
    for part, fitted in measured.regressors.items():
        a, b, c = fitted.coefficients
        rows.append(
            {
                "part": part,
                "a": a,
                "b": b,
                "c": c,
                "r2": fitted.r2,
                "largest_residual": max(map(abs, fitted.residuals)),
                "seconds_at_128": float(fitted.seconds(128)),
            }
        )
    return rows


def _show(measured: LayerProfile) -> None:
    from dimec.report.blocks import Column

    rows = _rows(measured)
    show_columns(
        Column("part", [row["part"] for row in rows], words=True),
        Column("a µs", [f"{1e6 * row['a']:.1f}" for row in rows]),
        Column("b ns", [f"{1e9 * row['b']:.1f}" for row in rows]),
        Column("c ns", [f"{1e9 * row['c']:.3f}" for row in rows]),
        Column("R²", [f"{row['r2']:.4f}" for row in rows]),
        Column("largest\nresidual µs", [f"{1e6 * row['largest_residual']:.1f}" for row in rows]),
        Column("128\ntokens µs", [f"{1e6 * row['seconds_at_128']:.1f}" for row in rows]),
    )
