"""The contract on the trace collection: how often it is broken, and what it saves and takes.

Of each task the traces of tiers with a model each, of the first seed: their last tier is the plain
fine-tuning, against which drops are told. What is drawn is that of
:mod:`dimec_studies.resplits`, by the test that ``dimec fit`` takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dimec.contract.registry import DEFAULT
from dimec.report.wording import percent
from dimec_studies.beyond import PLAIN, Record, parts_before
from dimec_studies.calibrations import Draws
from dimec_studies.markdown import table
from dimec_studies.populations import population
from dimec_studies.resplits import KNOWN, NOTHING, ResplitPlan, lines_of
from dimec_studies.runs import Workshop
from dimec_studies.stored import TRACES, Stored, card_in, folder_of, load_stored
from dimec_studies.study import store, stored_header
from dimec_studies.titles import task_title

ITEM = "promises"
VERSION = 2  # of a part: what is made of the same traces
POWER = 0.8  # of accepting something
_SHOWN = (1_000, 4_000)  # rows of the calibration


def promises(workshop: Workshop, how: ResplitPlan | None = None) -> Record:
    """Resplits of every task of a plan whose traces are in the collection.

    Args:
        workshop: see :func:`dimec_studies.beyond.beyond`; parts of the stored result are taken
            where they rest on the same traces and draws.
        how: what is drawn.
    """
    plan, root, progress = workshop.plan, workshop.traces or TRACES, workshop.progress
    how = how or ResplitPlan()
    folders = {name: folder_of(plan, name, PLAIN, root) for name in plan.tasks_of(PLAIN)}
    stored = {
        name: load_stored(folder, plan.cost_model())
        for name, folder in folders.items()
        if card_in(folder) is not None
    }
    before = parts_before(workshop, ITEM)
    record = stored_header(ITEM, plan, list(stored.values()))
    record |= {"how": how.model_dump(mode="json"), "parts": {}}
    progress.start("contracts on the collection", len(stored))
    for name, one in stored.items():
        rests_on = {
            "traces": dict(one.card.sha256),
            "how": record["how"],
            "version": VERSION,
        }
        part = before.get(name, {})
        if part.get("rests_on") != rests_on:
            part = {"rests_on": rests_on, **_part(one, how)}
        record["parts"][name] = part
        if workshop.results is not None:
            rest = {other: was for other, was in before.items() if other not in record["parts"]}
            store(workshop.results, plan, record | {"parts": record["parts"] | rest})
        progress.advance(1, name)
    progress.end()
    return record


def _part(one: Stored, how: ResplitPlan) -> Record:
    draws = []
    for fit in range(how.fits):
        drawn = population(one, how.seed + fit, how.most_fitted, how.systems)
        draws.append(Draws.of(drawn, how.resplits, max(how.rows), (how.seed, fit)))
    rows = len(draws[0].population)
    return {"rows": rows, "lines": list(lines_of(draws, how, (DEFAULT,)))}


def tables_of(result: Mapping[str, Any]) -> dict[str, str]:
    """Markdown by the name in its marker."""
    return {"beyond-contract": _table(result)}


def _table(result: Mapping[str, Any]) -> str:
    rows = []
    for name, part in result["parts"].items():
        for delta in result["how"]["max_drops"]:
            found = {
                (line["rows"], line["test"]): line
                for line in part["lines"]
                if line["max_drop"] == delta
            }
            known = next((v for (_, test), v in found.items() if test == KNOWN), None)
            rows.append(
                [
                    task_title(name),
                    percent(delta),
                    _needed(found, result["how"]["rows"]),
                    *(_told(found.get((size, DEFAULT))) for size in _SHOWN),
                    _unpromised(found.get((_SHOWN[0], NOTHING))),
                    "" if known is None else percent(known["saved"]),
                ]
            )
    shown = [f"{size:,} rows: broken of 1,000, accepted %, saved %" for size in _SHOWN]
    header = ("task", "Δ, points", f"rows for {percent(POWER, 0)} % accepted", *shown)
    more = (f"no promise, {_SHOWN[0]:,} rows: broken %, saved %", "saved %, were drops known")
    return table((*header, *more), rows)


def _needed(found: Mapping[tuple[int, str], Mapping[str, Any]], sizes: list[int]) -> str:
    enough = [
        size
        for size in sizes
        if (line := found.get((size, DEFAULT))) is not None and line["accepted"] >= POWER
    ]
    return f"{min(enough):,}" if enough else f"over {max(sizes):,}"


def _told(line: Mapping[str, Any] | None) -> str:
    if line is None:
        return "too few rows"
    broken = round(1000 * line["broken"] / line["resplits"])
    return f"{broken}, {percent(line['accepted'])}, {percent(line['saved'])}"


def _unpromised(line: Mapping[str, Any] | None) -> str:
    if line is None:
        return ""
    return f"{percent(line['broken'] / line['resplits'])}, {percent(line['saved'])}"
