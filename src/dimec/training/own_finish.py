"""The end of a training of several models: joined traces, the first tier's dynamics, the record."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator

from dimec.base.arrays import FloatArray
from dimec.base.errors import ArtefactError
from dimec.base.progress import Progress
from dimec.base.storage import file_sha256, write_json
from dimec.data import Dataset, Splits
from dimec.data.dataset import SPLITS
from dimec.runs.own_tiers import TEXT_BYTES
from dimec.runs.workspace import RunDirectory
from dimec.settings.run import RunSettings
from dimec.traces.joining import join
from dimec.traces.sources import joint_model
from dimec.traces.trace import Trace
from dimec.training.finish import TRACED, reuse_finished, versions


def finish_own(
    run: RunDirectory,
    settings: RunSettings,
    splits: Splits,
    accelerator: Accelerator,
    progress: Progress,
) -> None:
    """Write what is of all tiers; ``training.json`` last, then the run is finished.

    Args:
        run: whose tiers are all trained.
        settings: of the whole.
        splits: the rows.
        accelerator: its first process writes.
        progress: where to report to.
    """
    if accelerator.is_main_process:
        tiers = run.tier_runs()
        _join_traces(run, splits)
        records = {name: one.training() for name, one in tiers.items()}
        joint = joint_model({name: str(record["model"]) for name, record in records.items()})
        _keep_dynamics(run, next(iter(tiers.values())), joint)
        record = _record(settings, splits, records, joint)
        trials = {"first_round": run.first_round_path, "labelled_only": run.labelled_only_path}
        for told, folder in trials.items():
            for one in folder.glob(f"*/{run.training_path.name}"):
                before = _tier_record(RunDirectory(one.parent).training())
                record["own"][one.parent.name][told] = before["accuracy"]
        write_json(run.training_path, record)
        for folder in (run.teacher_path, *trials.values()):  # every student has learnt
            shutil.rmtree(folder, ignore_errors=True)
        progress.say(f"{run.path} is trained: {len(tiers)} tiers with a model each")
    accelerator.wait_for_everyone()


def reuse_own(
    run: RunDirectory, splits: Splits, accelerator: Accelerator, progress: Progress
) -> bool:
    """Whether all tiers are trained already. Traces that are missing or damaged are made anew.

    Raises:
        ArtefactError: a tier's model or dynamics are missing or damaged; they cannot be had back
            without training again.
    """
    if not run.training_path.exists():
        return False
    for one in run.tier_runs().values():
        reuse_finished(one, one.settings(), splits, accelerator, progress)
    broken = not all(_is_sound(run, split) for split in TRACED)
    accelerator.wait_for_everyone()
    if broken and accelerator.is_main_process:
        # The record stays: what it tells of trials and of cross-fitting cannot be had again.
        _join_traces(run, splits)
    accelerator.wait_for_everyone()
    return True


def _join_traces(run: RunDirectory, splits: Splits) -> None:
    """Write what all tiers say of each split."""
    tiers = run.tier_runs()
    for split in TRACED:
        traces = {name: one.trace(split) for name, one in tiers.items()}
        join_tiers(traces, getattr(splits, split)).save(run.trace_path(split))


def _is_sound(run: RunDirectory, split: str) -> bool:
    try:
        run.trace(split)
    except ArtefactError:
        return False
    return True


def join_tiers(traces: Mapping[str, Trace], rows: Dataset) -> Trace:
    """One trace of what every tier's model says of the same rows, with the bytes of their texts.

    A tier answers at its model's last exit.

    Args:
        traces: by the tiers' names, nearest first, each of one model.
        rows: of which they are.
    """
    joined = join(traces, tiers=[(name, trace.exits[-1]) for name, trace in traces.items()])
    return replace(joined, extra={**joined.extra, TEXT_BYTES: text_bytes_of(rows)})


def text_bytes_of(rows: Dataset) -> FloatArray:
    """(N,) bytes of each text, or of both of a pair, in UTF-8."""
    sizes = np.array([len(text.encode()) for text in rows.texts], np.float64)
    if rows.pairs is not None:
        sizes += np.array([len(text.encode()) for text in rows.pairs], np.float64)
    return sizes


def _keep_dynamics(run: RunDirectory, first: RunDirectory, joint: str) -> None:
    """The first tier's training dynamics, of which the data map is drawn."""
    recorded = ("validation", *(["train"] if first.settings().training.record_train else []))
    for split in recorded:
        run.save_dynamics(first.dynamics(split), {"model": joint}, split)
    dynamics = first.dynamics("validation")
    dynamics.write_jsonl(run.dynamics_path, dynamics.exits[-1])


def _record(
    settings: RunSettings, splits: Splits, records: Mapping[str, Mapping[str, Any]], joint: str
) -> dict[str, Any]:
    """What ``training.json`` holds: of the last tier, the reference, where there is one value."""
    *_, last = records.values()
    exits = [(name, layer) for name, one in records.items() for layer in one["exits"]]
    kept = ("task", "source", "selection", "metric", "labels", "layers", "best_epoch", "history")
    return {
        "model": joint,
        "models": {name: one["model"] for name, one in records.items()},
        **{name: last[name] for name in kept},
        "backbone": " + ".join(dict.fromkeys(one["backbone"] for one in records.values())),
        "exits": [layer for _, layer in exits],
        "sources": [name for name, _ in exits],
        "tiers": [one["layers"] for one in records.values()],
        "own": {name: _tier_record(one) for name, one in records.items()},
        "parameters": sum(one["parameters"] for one in records.values()),
        "rows": {split: len(getattr(splits, split)) for split in SPLITS},
        "unlabelled": _file(settings.distillation.unlabelled),
        "recipe": settings.training.recipe,
        "loss": settings.training.loss,
        "seed": settings.seed,
        "exit0": next(iter(records.values())).get("exit0"),
        **{name: last[name] for name in ("precision", "processes", "device")},
        "versions": versions(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _file(path: str | None) -> dict[str, str] | None:
    """The file of texts without labels, as it was trained on."""
    return None if path is None else {"file": path, "sha256": file_sha256(Path(path))}


def _tier_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of the training of a tier's model."""
    history, best = record["history"], record["best_epoch"]
    told = {name: record[name] for name in ("model", "backbone", "layers", "exits", "parameters")}
    return told | {
        "teacher": record.get("teacher"),
        "unlabelled": record["rows"].get("unlabelled", 0),
        "epochs": len(history),
        "best_epoch": best,
        "seconds": round(sum(e["seconds"] + e["validation_seconds"] for e in history), 1),
        "accuracy": history[best]["accuracy"] if history else record.get("accuracy"),
    }
