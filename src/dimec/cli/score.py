"""``dimec score``: what a policy answers to millions of texts, file by file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimec.base.errors import ArtefactError, ConfigError, DataError
from dimec.cli.common import AsJson, open_run, print_json, progress_bar
from dimec.cli.engines import ENGINES, check_choice, ended_in_order, engine_of

if TYPE_CHECKING:
    from dimec.base.progress import Progress
    from dimec.runs.run import Run
    from dimec.scoring.job import Job
    from dimec.scoring.run import Scored

PRECISIONS = ("fp32", "int8")
_SHOWN = 5  # files that are left out, of which the reason is told
COLUMNS = "Columns"


def score(
    texts: Annotated[
        list[str],
        typer.Argument(
            metavar="TEXTS...",
            help="Files (.parquet, .jsonl, else a text a line; all but Parquet may be .gz), "
            "folders of such, or patterns in quotes, such as 'in/**/*.parquet'.",
        ),
    ],
    run: Annotated[
        Path, typer.Option("--run", metavar="RUN", help="The fitted run whose models answer.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="A file of answers for each file of texts.")
    ],
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="In place of the run's fitted policy: a system for the same tiers, fitted now, or "
            "all-TIER, such as all-cloud. {policies}",
        ),
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Column of the text.", rich_help_panel=COLUMNS)
    ] = None,
    pair_column: Annotated[
        str | None, typer.Option(help="Column of a second text.", rich_help_panel=COLUMNS)
    ] = None,
    keep: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Columns to write beside the answers, such as date,label, or all. id is kept "
            "anyway; one of an answer's name is written as given_NAME.",
            rich_help_panel=COLUMNS,
        ),
    ] = "",
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities",
            help="Write the probability of every class, not of the label alone.",
            rich_help_panel=COLUMNS,
        ),
    ] = False,
    write: Annotated[
        str | None,
        typer.Option(
            help="parquet or jsonl; default: Parquet for Parquet, else JSON lines.",
            rich_help_panel=COLUMNS,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes, each with the models in memory; default: one a core."),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="local, or ray: the cluster that RAY_ADDRESS names, else this machine. All "
            "machines need the same folders under the same paths."
        ),
    ] = "local",
    precision: Annotated[
        str,
        typer.Option(
            help="fp32, or int8: 8-bit weights as of dimec export --int8, faster; refused where "
            "labels or first steps differ on more than 1 % of rows of the run."
        ),
    ] = "fp32",
    force: Annotated[
        bool,
        typer.Option("--force", help="Take int8 also where it is refused."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Answer files of texts as the run's policy would, all tiers being here: label, path and cost.

    A text runs through as many layers as its path has, and texts of like length run together, so
    that much text takes a fraction of what predict takes. Nothing is sent, and nothing learnt: a
    policy that learns stays as it was fitted.

    Each file of answers appears whole. The same command goes on where it was killed, leaves out
    files that are done, and refuses a folder with answers of another run, policy or setting. A
    file with a row that cannot be answered is left out, and the others go on.

    Examples:

        dimec score reviews/ --run runs/mine --out scored

        dimec score 'in/**/*.parquet' --run runs/mine --out scored --keep date,label

        dimec score texts.jsonl --run runs/mine --out full --policy all-cloud --probabilities
    """
    from dimec.scoring.job import Job
    from dimec.scoring.layout import Layout
    from dimec.scoring.run import score as score_files
    from dimec.scoring.shards import find_shards

    check_choice("--engine", engine, ENGINES)
    check_choice("--precision", precision, PRECISIONS)
    opened = open_run(run)
    names = tuple(dict.fromkeys(name.strip() for name in keep.split(",") if name.strip()))
    layout = Layout(text_column, pair_column, names, write, probabilities)  # type: ignore[arg-type]
    shards = find_shards(texts, layout, out)
    execute = engine_of(engine, workers)
    if pair_column is not None:
        _check_pairs(opened, out)
    with ended_in_order(), progress_bar() as progress:
        identity, make = _scorer(opened, policy, precision, force)
        with Job.held(out, identity, layout) as job:
            _have_scorer(job, make, progress)
            scored = score_files(job, shards, execute, progress)
    _tell(scored, out, as_json)


Make = Callable[[Path, "Progress"], Any]


def _scorer(
    run: Run, policy: str | None, precision: str, force: bool
) -> tuple[Mapping[str, Any], Make]:
    """Whose the answers are, and what makes the graphs where they are not there yet."""
    from importlib.metadata import version

    from dimec.runs.scoring import policy_digest, policy_to_score
    from dimec.scoring.scorer import PACKAGES, settled

    stored = policy_to_score(run, policy)
    stored = replace(stored, policy=settled(stored.policy))
    identity = {
        "run": str(run.training()["model"]),
        "policy": f"{stored.policy.name}, sha256 {policy_digest(stored)}",
        "precision": precision,
        "packages": {name: version(name) for name in PACKAGES},
    }

    def make(folder: Path, progress: Progress) -> None:
        progress.say("loading torch")
        from dimec.training.scorer import make_scorer

        chosen: Any = precision  # checked
        make_scorer(run, stored, folder, progress, chosen, force)

    return identity, make


def _have_scorer(job: Job, make: Make, progress: Progress) -> None:
    """Make the graphs, unless they are there."""
    from dimec.scoring.scorer import Scorer

    try:
        Scorer.open(job.scorer_path)
    except ArtefactError:
        make(job.scorer_path, progress)


def _check_pairs(run: Run, out: Path) -> None:
    """Refuse --pair-column for a model of one text, before anything is made for it."""
    from dimec.scoring.job import INNER, SCORER_FOLDER
    from dimec.scoring.scorer import Scorer

    try:
        pairs: bool | None = Scorer.open(out / INNER / SCORER_FOLDER).manifest.pairs
    except ArtefactError:
        from dimec.training.export.parity_rows import takes_pairs

        pairs = takes_pairs(run)
    if pairs is False:
        raise ConfigError(
            "--pair-column does nothing: this model takes one text; leave it out, and name the "
            "text's column by --text-column"
        )


def _tell(scored: Scored, out: Path, as_json: bool) -> None:
    summary = scored.summary
    if as_json:
        told = {"out": str(out), **summary, "answered_now": scored.rows, "failed": scored.failed}
        print_json(told)
    else:
        rows, answered = summary["rows"], summary["tiers"]
        print(f"{out}: {rows:,} answers in {len(summary['files']):,} files")
        if scored.rows and scored.seconds:
            rate = scored.rows / scored.seconds
            print(f"now: {scored.rows:,} in {scored.seconds:,.1f} s, {rate:,.0f} a second")
        if rows:
            shares = [f"{name} {100 * n / rows:.1f} %" for name, n in answered.items()]
            mean = summary["cost"] / rows
            print(f"answered by: {', '.join(shares)}; mean cost {mean:.3g} lambda")
    if scored.failed:
        for path, problem in list(scored.failed.items())[:_SHOWN]:
            print(problem if path in problem else f"{path}: {problem}", file=sys.stderr)
        raise DataError(
            f"{len(scored.failed):,} files have no answers, see above; put them right and run the "
            "same command again, which leaves out what is done"
        )
