"""``dimec trace import``: others' records become traces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimec.base.errors import ConfigError, quoted
from dimec.cli.command import Command
from dimec.cli.common import AsJson, print_json, print_next
from dimec.cli.options import Taken, takes
from dimec.cli.trace import trace_app

if TYPE_CHECKING:
    from dimec.runs.importing import Imported
    from dimec.settings.option import Setting

COLUMNS, TIERS, CARD = "Columns", "Tiers and costs", "Card"


def _settings() -> list[Setting]:
    """How a file is written."""
    from dimec.settings.data import DataSettings
    from dimec.settings.option import settings_in

    settings = settings_in(DataSettings)
    return [settings[name] for name in ("delimiter", "encoding")]


def _named(help_: str, panel: str, metavar: str | None = None) -> Any:
    return typer.Option(help=help_, rich_help_panel=panel, metavar=metavar)


@trace_app.command("import", cls=Command)
@takes(Taken(_settings, before="as_json"))
def import_(
    table: Annotated[
        str,
        typer.Argument(
            metavar="TABLE",
            help="Others' records: a file of CSV, TSV, JSON, JSON lines, Parquet or Arrow, by "
            "its ending, or csv:FILE.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the traces go.")],
    form: Annotated[
        str | None,
        typer.Option(
            help="long: a row for each sample and exit. wide: a row for each sample, a column for "
            "each exit. correctness: a row for each prompt, a column for each model, 1 where it "
            "was right. Default: told from the columns.",
        ),
    ] = None,
    sample_column: Annotated[
        str | None, _named("Default: sample, id, guid, idx or sample_id.", COLUMNS)
    ] = None,
    exit_column: Annotated[
        str | None, _named("Of a long table; default: exit or layer.", COLUMNS)
    ] = None,
    prediction_column: Annotated[
        str | None, _named("Of a long table; default: prediction or pred.", COLUMNS)
    ] = None,
    label_column: Annotated[str | None, _named("Default: label or gold.", COLUMNS)] = None,
    confidence_column: Annotated[
        str | None,
        _named(
            "Of a long table, the probability of the prediction; default: confidence or score. "
            "Columns prob_CLASS or p_CLASS go before it.",
            COLUMNS,
        ),
    ] = None,
    split_column: Annotated[
        str | None,
        _named("Puts each sample in validation (val, dev, eval) or test; default: none.", COLUMNS),
    ] = None,
    length_column: Annotated[
        str | None, _named("Tokens of each sample; default: none.", COLUMNS)
    ] = None,
    cost_column: Annotated[
        str | None, _named("Of a long table: of an answer from the exit.", COLUMNS)
    ] = None,
    exits: Annotated[
        str | None,
        _named(
            "Of a wide table; default: columns called like exit_2, layer3 or pred_6.",
            COLUMNS,
            "COLUMN=LAYER,...",
        ),
    ] = None,
    confidences: Annotated[
        str | None,
        _named(
            "Of a wide table; default: columns called like exit_2_confidence or confidence_2.",
            COLUMNS,
            "COLUMN=LAYER,...",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        _named("Of a correctness table of scores: from which on an answer is right.", COLUMNS),
    ] = None,
    tiers: Annotated[
        str | None,
        _named(
            "Exits such as 2,3,6 or phone=2,dc=6. Of a correctness table the columns of models, or "
            "NAME=COLUMN,..., the nearest first. Default: three exits; all models from the "
            "cheapest on.",
            TIERS,
        ),
    ] = None,
    costs: Annotated[
        list[str] | None,
        typer.Option(
            "--cost",
            metavar="TIER=NUMBER",
            help="Of an answer from a tier. May be repeated. Default: the mean of its column, "
            "MODEL_cost, MODEL|total_cost or exit_2_cost; of exits without one the paper's prices.",
            rich_help_panel=TIERS,
        ),
    ] = None,
    per: Annotated[
        int, typer.Option(min=1, help="Tell costs per so many answers.", rich_help_panel=TIERS)
    ] = 1,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A .npy file, (samples, D), in the table's order: what a policy may look at "
            "before any answer, as knn does.",
        ),
    ] = None,
    validation: Annotated[
        str | None,
        typer.Option(
            metavar="TABLE", help="The validation rows; those of the first table are the test rows."
        ),
    ] = None,
    validation_share: Annotated[
        float, typer.Option(help="Of the rows, stratified, where nothing says which they are.")
    ] = 0.5,
    seed: Annotated[int, typer.Option(min=0, help="Of that.")] = 0,
    task: Annotated[str | None, _named("Default: the file's name.", CARD)] = None,
    metric: Annotated[str, _named("accuracy, f1 or matthews.", CARD)] = "accuracy",
    label_names: Annotated[
        str | None, _named("The classes in order; default: sorted.", CARD, "NAME,...")
    ] = None,
    model: Annotated[str, _named("What is cut, in words.", CARD)] = "unknown",
    source: Annotated[str | None, _named("Where the records come from, in words.", CARD)] = None,
    licence: Annotated[str | None, _named("Of the texts, in words.", CARD)] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the traces that are there.")
    ] = False,
    as_json: AsJson = False,
    **reading: Any,
) -> None:
    """Make traces of what others recorded, for any policy to be fitted to and compared on.

    A table of answers without confidences serves the policies that need none; one of which models
    were right those that look at inputs, and the single tiers.

    Examples:

        dimec trace import exits.csv --out records/exits

        dimec trace import routerbench.parquet --out records/routers --threshold 0.5 --per 1000
    """
    from dimec.data.recorded import Columns
    from dimec.runs.importing import Import, import_table

    told = {} if licence is None else {"licence": licence}
    columns = Columns(
        sample_column=sample_column,
        exit_column=exit_column,
        prediction_column=prediction_column,
        label_column=label_column,
        confidence_column=confidence_column,
        split_column=split_column,
        length_column=length_column,
        cost_column=cost_column,
        exits=_layers_by_column("--exits", exits),
        confidences=_layers_by_column("--confidences", confidences),
        threshold=threshold,
    )
    wanted = Import(
        form=form,
        columns=columns,
        tiers=tiers,
        costs=_costs_of(costs or ()),
        per=per,
        validation=validation,
        embeddings=embeddings,
        share=validation_share,
        seed=seed,
        task=task,
        source=source,
        model=model,
        metric=metric,
        label_names=() if label_names is None else tuple(map(str.strip, label_names.split(","))),
        reading={name: value for name, value in reading.items() if value is not None},
        **told,
    )
    made = import_table(table, out, wanted, overwrite=overwrite)
    if as_json:
        card = made.card.model_dump(mode="json")
        print_json({"trace": str(out), "left_out": made.left_out, **card})
        return
    _tell(out, made)
    _tell_lambda(made)
    print_next("evaluate", "--trace", out, "--systems", "all")


def _tell(out: Path, made: Imported) -> None:
    from dimec.traces.card import exit_name

    card = made.card
    rows = " and ".join(f"{count:,} {split}" for split, count in card.rows.items())
    left = f", {made.left_out:,} of training left out" if made.left_out else ""
    print(f"{out}: {rows} rows of {card.task}{left}")
    shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in card.test_accuracy.items())
    if not made.by_model:
        print(f"  right at the exits: {shares}")
    for tier in card.tiers:
        share = card.test_accuracy[exit_name(tier.layer, tier.source)]
        price = "the paper's price" if tier.price is None else f"{sum(tier.price):.4g} an answer"
        where = "" if made.by_model else f" (exit {tier.layer})"
        print(f"  {tier.name}{where}: right on {100 * share:.1f} % of the test rows, {price}")


def _tell_lambda(made: Imported) -> None:
    """Prices of one's own are in any unit, so that the usual λ may weigh them like nothing."""
    last = made.card.tiers[-1]
    price = 0.0 if last.price is None else sum(last.price)
    if price:
        told = (
            f"--lambda {0.1 / price:.3g} weighs an answer of {last.name} like 10 points of accuracy"
        )
        print(f"  in dimec fit, {told}")


def _layers_by_column(option: str, text: str | None) -> dict[str, int]:
    """``{"pred_a": 2}`` for ``pred_a=2``."""
    found: dict[str, int] = {}
    for part in () if text is None else text.split(","):
        name, equals, layer = part.strip().rpartition("=")
        if not (equals and name and layer.strip().isdecimal()):
            raise ConfigError(
                f"{option}: expected columns with their layers, such as first=2,last=6, got "
                f"{quoted(text, 80)}"
            )
        found[name] = int(layer)
    return found


def _costs_of(words: Sequence[str]) -> dict[str, float]:
    """``{"gpt-4": 0.02}`` for ``gpt-4=0.02``."""
    from dimec.settings.lists import pairs_of

    found = {}
    for name, text in pairs_of("--cost", words).items():
        try:
            found[name] = float(text)
        except ValueError:
            raise ConfigError(f"--cost {name}: expected a number, got {quoted(text)}") from None
    return found
