"""Rerun committed experiments, store their results as JSON, and rebuild the tables made of them.

``python tools/experiments.py run NAME`` trains ``experiments/NAME.toml`` with each of its seeds (or
goes on where it was), fits and evaluates it in each of the ways that the file lists, and writes
``experiments/results/NAME.json``. ``python tools/experiments.py tables`` puts the tables into the
Markdown files between lines ``<!-- table: NAME -->`` and ``<!-- end -->``, those of the stored
benchmarks (``benchmarks/markdown.py``) too.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from dimec.base.errors import DimecError
from dimec.base.storage import atomic_write, read_json, write_json

ROOT = Path(__file__).resolve().parent.parent
EXPERIMENTS = ROOT / "experiments"
RESULTS = EXPERIMENTS / "results"
WITH_TABLES = (
    ROOT / "README.md",
    ROOT / "docs" / "results.md",
    ROOT / "docs" / "performance.md",
)


def run_experiment(name: str, runs: Path) -> Path:
    """Train, fit and evaluate as ``experiments/NAME.toml`` says; returns the results file."""
    from dimec.base.progress import RichProgress
    from dimec.runs.run import Run
    from dimec.settings.run import RunSettings
    from dimec.training import train_run

    plan = tomllib.loads((EXPERIMENTS / f"{name}.toml").read_text("utf-8"))
    entries = []
    for seed in plan["seeds"]:
        settings = RunSettings.of({**plan["settings"], "seed": seed})
        with RichProgress() as progress:
            path = train_run(settings, runs / f"{name}-seed{seed}", progress=progress).path
        run = Run(path)
        fits = []
        for options in plan["fit"]:
            given = {key: value for key, value in options.items() if key != "name"}
            fit = run.fit(**given)
            ledger = run.evaluate()
            fits.append(
                {
                    "name": options["name"],
                    "fit": asdict(fit),
                    "context": dict(ledger.context),
                    "ledger": ledger.to_dicts(),
                }
            )
        entries.append({"seed": seed, "training": run.training(), "fits": fits})
    path = RESULTS / f"{name}.json"
    write_json(path, {"experiment": name, "plan": plan, "runs": entries})
    return path


def experiment_table(result: Mapping[str, Any]) -> str:
    """Markdown tables of a result, one for each way of fitting; figures are means over the seeds.

    With one seed the drop and the reduction carry their bootstrap intervals; with several, every
    figure carries its standard deviation over the seeds.
    """
    runs = result["runs"]
    parts = []
    for position, options in enumerate(result["plan"]["fit"]):
        fits = [run["fits"][position] for run in runs]
        context = fits[0]["context"]
        parts.append(
            f"{context['task']}, {context['train_rows']:,} training and {context['samples']:,} "
            f"test rows, encoder {context['backbone']} with exits "
            f"{', '.join(map(str, context['exits']))}, {options['name']}, "
            + _seeds([run["seed"] for run in runs])
            + ":\n\n"
            + _table([fit["ledger"] for fit in fits])
        )
    return "\n\n".join(parts)


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    return f"mean ± standard deviation over seeds {', '.join(map(str, seeds))}"


def _table(ledgers: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    columns = (
        "policy",
        "accuracy %",
        "drop, points",
        "gain over random@, points",
        "cost, λ",
        "reduction %",
        "mobile / edge / cloud %",
    )
    lines = ["| " + " | ".join(columns) + " |", "|---" + "|---:" * (len(columns) - 1) + "|"]
    for rows in zip(*ledgers, strict=True):
        shares = [
            f"{100 * mean(row[f'share_{tier}'] for row in rows):.0f}"
            for tier in ("mobile", "edge", "cloud")
        ]
        cells = [
            rows[0]["policy"],
            _cell(rows, "accuracy", 100, 1),
            _cell(rows, "drop", 100, 2),
            _cell(rows, "gain", 100, 2),
            _cell(rows, "cost", 1, 2),
            _cell(rows, "reduction", 100, 1),
            " / ".join(shares),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(rows: Sequence[Mapping[str, Any]], key: str, factor: float, digits: int) -> str:
    if any(row[key] is None for row in rows):
        return ""
    values = [factor * row[key] for row in rows]
    text = f"{mean(values):.{digits}f}"
    if len(rows) > 1:
        spread = stdev(values)
        return f"{text} ± {spread:.{digits}f}" if round(spread, digits) else text
    low, high = rows[0].get(f"{key}_low"), rows[0].get(f"{key}_high")
    if low is None or high is None or round(low - high, 9) == 0:
        return text
    return f"{text} ({factor * low:.{digits}f} to {factor * high:.{digits}f})"


def with_tables(text: str, tables: Mapping[str, str]) -> str:
    """``text`` with what stands between table markers replaced by the tables of those names."""

    def replaced(match: re.Match[str]) -> str:
        return f"<!-- table: {match[1]} -->\n\n{tables[match[1]]}\n\n<!-- end -->"

    return re.sub(r"<!-- table: ([\w-]+) -->.*?<!-- end -->", replaced, text, flags=re.DOTALL)


def all_tables() -> dict[str, str]:
    """The table of every stored result, of experiments and of benchmarks."""
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
    from benchmarks.markdown import benchmark_tables

    experiments = {
        path.stem: experiment_table(read_json(path, "tools/experiments.py run"))
        for path in sorted(RESULTS.glob("*.json"))
    }
    return experiments | benchmark_tables()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("run", help="train, fit and evaluate one experiment")
    one.add_argument("name", choices=sorted(p.stem for p in EXPERIMENTS.glob("*.toml")))
    one.add_argument("--runs", type=Path, default=ROOT / "runs" / "experiments")
    commands.add_parser("tables", help="rebuild the tables in the Markdown files")
    given = parser.parse_args(arguments)
    try:
        if given.command == "run":
            print(run_experiment(given.name, given.runs))
        else:
            tables = all_tables()
            for path in WITH_TABLES:
                atomic_write(path, with_tables(path.read_text("utf-8"), tables))
    except DimecError as error:
        print(f"experiments: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
