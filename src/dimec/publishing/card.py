"""The card, ``README.md`` on the hub: what it is, how good it is, and how to use it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dimec.base.errors import ConfigError, MismatchError, MissingExtraError, option
from dimec.base.storage import read_json
from dimec.bundle.folders import read_manifest
from dimec.contract.promise import promise_in
from dimec.evaluation.curves import Curves
from dimec.evaluation.ledger import Ledger
from dimec.hub.names import HubName
from dimec.publishing.parcel import Parcel
from dimec.publishing.private import without_path, without_paths
from dimec.report.policy_plane import policy_plane_png
from dimec.report.wording import METRIC_TITLES, interval, ledger_notes, number, percent
from dimec.runs.paths import RunPaths
from dimec.tiers.deployment import Deployment
from dimec.traces.card import FILE, Card

FIGURE = "accuracy_cost.png"
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$!&])")


@dataclass(frozen=True)
class CardOptions:
    """What a card says that no file knows.

    Attributes:
        licence: as the hub names it, such as ``apache-2.0``; None leaves it out.
        datasets: names on the hub of what was trained on.
        run: whose ledger a bundle's card shows; that of a run is its own.
    """

    licence: str | None = None
    datasets: Sequence[str] = ()
    run: Path | None = None


@dataclass(frozen=True)
class Written:
    """A card, and the figure beside it.

    Attributes:
        text: Markdown with front matter.
        figure: PNG; None where there is no ledger, or nothing to draw with.
        notes: what a reader of the command should know of it.
    """

    text: str
    figure: bytes | None
    notes: tuple[str, ...] = ()


def write_card(parcel: Parcel, name: HubName, options: CardOptions) -> Written:
    """The card of what is to be pushed.

    Raises:
        ConfigError: a run for what is no bundle.
        MismatchError: a run of another model than the bundle's.
        ArtefactError: a file that it is made of is damaged.
    """
    if options.run is not None and parcel.holds != "bundle":
        raise ConfigError(f"{option('run')} is for the card of a bundle; this is of {parcel.holds}")
    if parcel.holds == "traces":
        return Written(_whole(name, parcel, options, {}, _of_traces(parcel)), None)
    record = _record(parcel)
    ledger, curves = _ledger(parcel, options, record)
    figure, notes = _figure(ledger, curves)
    parts = [_facts(record), _tiers(parcel, ledger), _contract(parcel)]
    if ledger is None:
        parts.append("No ledger: it was not evaluated where it was pushed from.")
    else:
        parts.append(table_of(ledger, figure is not None))
    return Written(_whole(name, parcel, options, record, parts), figure, notes)


def escaped(text: object) -> str:
    """A name of someone else's in a line of Markdown: nothing in it is a link, a tag or a cell."""
    one_line = " ".join(str(text).split())
    return _SPECIAL.sub(r"\\\1", one_line)


def _whole(
    name: HubName,
    parcel: Parcel,
    options: CardOptions,
    record: Mapping[str, Any],
    parts: Sequence[str],
) -> str:
    what = {"run": "A run", "bundle": "A bundle", "traces": "Recorded traces"}[parcel.holds]
    told = f"{what} of dimec, which decides where a text is classified before a layer has run."
    left = [f"- `{file}`: {why}" for file, why in parcel.left_out.items()]
    blocks = [
        _front(name, parcel, options, record),
        f"# {escaped(name.repo.partition('/')[2])}",
        told,
        *(part for part in parts if part),
        f"## How to use it\n\n{_use(name, parcel)}",
        "Every file has its size and SHA-256 in `dimec.json`, and is checked when it is pulled.",
    ]
    if left:
        blocks.append("## Left out\n\n" + "\n".join(left))
    return "\n\n".join(blocks) + "\n"


def _front(name: HubName, parcel: Parcel, options: CardOptions, record: Mapping[str, Any]) -> str:
    """YAML front matter; texts as JSON has them, which YAML reads alike."""
    lines = []
    if options.licence is not None:
        lines.append(f"license: {json.dumps(options.licence)}")
    if parcel.holds == "traces":
        lines += ["task_categories:", "- text-classification"]
    else:
        lines += ["library_name: dimec", "pipeline_tag: text-classification"]
    lines += ["tags:", "- dimec", "- early-exit", "- edge-computing", f"- dimec-{parcel.holds}"]
    if options.datasets:
        lines += ["datasets:", *(f"- {json.dumps(one)}" for one in options.datasets)]
    return "---\n" + "\n".join(lines) + "\n---"


def _use(name: HubName, parcel: Parcel) -> str:
    short = name.repo.partition("/")[2]
    if parcel.holds == "bundle":
        return (
            "```python\nfrom dimec import Mobile  # pip install 'dimec[hub]'\n\n"
            f'with Mobile.open("hub:{name.repo}") as mobile:  # pin it: hub:{name.repo}@COMMIT\n'
            '    print(mobile.predict("a moving film"))\n```'
        )
    place, then = f"runs/{short}", f"dimec evaluate runs/{short}"
    if parcel.holds == "traces":
        place, then = short, f"dimec evaluate --trace {short} --systems all"
        if FILE not in parcel.files:
            then = f"DIMEC_TRACES={short} dimec traces list"
    return f"```sh\npip install 'dimec[hub]'\ndimec pull {name} {place}\n{then}\n```"


def _record(parcel: Parcel) -> dict[str, Any]:
    """What training, or a bundle's manifest, tells of the model."""
    if parcel.holds == "run":
        record: Any = read_json(parcel.files["training.json"], "dimec train")
        return dict(record)
    manifest = read_manifest(parcel.folder)
    return {**manifest.provenance, "labels": manifest.labels}


def _facts(record: Mapping[str, Any]) -> str:
    rows = record.get("rows") or {}
    told = {
        "task": without_path(str(record.get("task", ""))),
        "encoder": without_paths(record.get("backbone")),
        "recipe": record.get("recipe"),
        "classes": ", ".join(map(str, record.get("labels", ()))),
        "rows": ", ".join(f"{count:,} {split}" for split, count in dict(rows).items()),
        "model": str(record.get("model", ""))[:12],
    }
    lines = [f"| {key} | {escaped(_flat(value))} |" for key, value in told.items() if value]
    return "\n".join(["| | |", "|---|---|", *lines])


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {one}" for key, one in value.items())
    return str(value)


def _policy(parcel: Parcel) -> dict[str, Any]:
    """The stored policy as JSON; empty where none was fitted."""
    first = "policy.json"
    if parcel.holds == "bundle":
        first = f"{read_manifest(parcel.folder).names[0]}/{first}"
    if first not in parcel.files:
        return {}
    return dict(read_json(parcel.files[first], "dimec fit"))


def _tiers(parcel: Parcel, ledger: Ledger | None) -> str:
    if parcel.holds == "bundle":
        deployment = read_manifest(parcel.folder).deployment
    else:
        tiers = _policy(parcel).get("fitted_on", {}).get("tiers")
        if tiers is None:
            return "No policy was fitted yet: `dimec fit` fits one."
        deployment = Deployment.of_json(tiers)
    rows = [
        f"| {escaped(tier.name)} | {tier.layer} | {tier.price:.4g} |" for tier in deployment.tiers
    ]
    policy = escaped(_policy(parcel).get("name", "-"))
    head = ["## Tiers", "", "| tier | layers | an answer, λ |", "|---|---|---|"]
    return "\n".join([*head, *rows, "", f"Policy: {policy}."])


def _contract(parcel: Parcel) -> str:
    promise = promise_in(_policy(parcel).get("fitted_on", {}))
    return "" if promise is None else f"Contract: {escaped(promise.told())}."


def _ledger(
    parcel: Parcel, options: CardOptions, record: Mapping[str, Any]
) -> tuple[Ledger | None, Curves | None]:
    run = RunPaths(options.run or parcel.folder)
    if not (run.report_path / "ledger.json").is_file():
        if options.run is not None:
            raise ConfigError(
                f"{run.path} has no ledger; draw it up with: dimec evaluate {run.typed}"
            )
        return None, None
    ledger = Ledger.load(run.report_path)
    made_by = read_json(run.training_path, "dimec train").get("model")
    if options.run is not None and made_by != record.get("model"):
        raise MismatchError(f"{run.path} is of another model than {parcel.folder}")
    return ledger, Curves.load(run.report_path) if Curves.stored(run.report_path) else None


def _figure(ledger: Ledger | None, curves: Curves | None) -> tuple[bytes | None, tuple[str, ...]]:
    if ledger is None:
        return None, ("the card has no table: nothing was evaluated",)
    try:
        return policy_plane_png(ledger, curves), ()
    except MissingExtraError as error:
        return None, (f"the card has no figure: {error}",)


def table_of(ledger: Ledger, drawn: bool) -> str:
    """The ledger, in Markdown, with its figure below it where one was drawn."""
    apart = ledger.metric_name != "accuracy"
    titles = ["policy", "accuracy, %"]
    titles += [METRIC_TITLES.get(ledger.metric_name, ledger.metric_name)] if apart else []
    titles += ["drop, points", "95 %", "cost, λ", "saved, %", "95 %"]
    lines = ["## Ledger", "", f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for row in ledger.rows:
        cells = [escaped(row.policy), percent(row.accuracy)]
        cells += [number(row.metric, 3)] if apart else []
        cells += [percent(row.drop), interval(row.drop_low, row.drop_high), number(row.cost)]
        cells += [percent(row.reduction), interval(row.reduction_low, row.reduction_high)]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"Drop and saving are against {escaped(ledger.reference)}."]
    lines += [escaped(without_path(note)) for note in ledger_notes(ledger)]
    if drawn:
        lines += ["", f"![Accuracy over cost of every policy]({FIGURE})"]
    return "\n".join(lines)


def _of_traces(parcel: Parcel) -> list[str]:
    """A line a training: of its rows, its tiers, and how right each of them is."""
    cards = {
        name.rpartition("/")[0]: Card.load(path.parent, "dimec trace import")
        for name, path in parcel.files.items()
        if name.rpartition("/")[2] == FILE
    }
    lines = ["| traces | task | test rows | right at each exit, % | licence of the texts |"]
    lines.append("|---" * 5 + "|")
    for name, card in cards.items():
        shares = ", ".join(f"{one} {percent(share)}" for one, share in card.test_accuracy.items())
        cells = [name or "all", card.task, f"{card.rows['test']:,}", shares, card.licence]
        lines.append("| " + " | ".join(escaped(cell) for cell in cells) + " |")
    return ["\n".join(lines), "The texts themselves are not in it."]
