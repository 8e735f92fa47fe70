"""Training: a plain loop that can be killed at any moment and loses at most one epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from dimec.base.progress import NoProgress, Progress
from dimec.base.storage import load_arrays, save_arrays
from dimec.cartography import TrainingDynamics
from dimec.runs.intake import Intake, check_claim, take_in, with_lengths
from dimec.runs.workspace import RunDirectory
from dimec.settings.run import RunSettings
from dimec.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from dimec.training.epoch import run_epoch
from dimec.training.finish import finish_run, reuse_finished
from dimec.training.lesson import Lesson
from dimec.training.prepare import (
    TrainState,
    claim,
    enter,
    make_accelerator,
    prepare,
    tokens_of,
)
from dimec.training.stages import EpochRecord, best_epoch, stops_early
from dimec.training.tracking import Tracker

_WEIGHTS_KIND = "weights"
_LOGITS_KIND = "epoch logits"
_AGAIN = "dimec train --overwrite"


def train_one(
    settings: RunSettings,
    out: Path | str,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    intake: Intake | None = None,
    lesson: Lesson | None = None,
) -> RunDirectory:
    """Train the one model of a run; see :func:`dimec.training.train_run`.

    Args:
        settings, out, overwrite, progress, intake: as there.
        lesson: what a teacher says of the training rows, where the model is a student.
    """
    run = RunDirectory(out)
    accelerator = make_accelerator()
    main = accelerator.is_main_process
    progress = progress if progress is not None and main else NoProgress()
    with run.locked() if main else nullcontext():
        with accelerator.main_process_first():
            intake = intake or take_in(settings, progress, lengths=main)
        settings, splits = settings.model_copy(update={"data": intake.data}), intake.splits
        if main and not overwrite:
            check_claim(run, settings, intake.fingerprint)
        accelerator.wait_for_everyone()
        if not overwrite and reuse_finished(run, settings, splits, accelerator, progress):
            return run
        # The directory is claimed only now that data, encoder and exits are known to fit: a wrong
        # setting leaves nothing behind, and discards nothing.
        state = prepare(settings, run, splits, accelerator, progress, lesson)
        if main:
            intake = with_lengths(intake, tokens_of(state.tokenizer), progress)
            claim(run, settings, intake, overwrite, lesson)
        accelerator.wait_for_everyone()
        history: list[EpochRecord] = []
        with Tracker(accelerator, run, settings, progress) as tracker:
            state = replace(state, tracker=tracker)
            for stage in state.stages:
                if stage is not state.stage:
                    state = enter(state, stage)
                history += _epochs(state, len(history))
            dynamics = _collect_dynamics(state, history)
            tracker.tell_map(dynamics["validation"])
        finish_run(state, history, dynamics)
    return run


def _epochs(state: TrainState, before: int) -> list[EpochRecord]:
    """Run the stage's epochs that are left; leaves its best epoch's weights in the model."""
    folder, training, judged = _folder(state), state.settings.training, state.stage.judged
    inner = getattr(state.optimizer, "optimizer", state.optimizer)
    history: list[EpochRecord] = []
    if done := latest_checkpoint(folder):
        record = load_checkpoint(folder, done, state.model, inner)
        history = [EpochRecord(**epoch) for epoch in record]
        where = f"{state.prefix}epoch {done} of {training.epochs}"
        state.progress.say(f"resuming {state.run.path} after {where}")
    for known in history:
        _tell(state, known)
    while len(history) < training.epochs and not stops_early(history, training.patience, judged):
        record, logits = run_epoch(state, len(history), before)
        history.append(record)
        if state.accelerator.is_main_process:
            _keep(state, history, logits, inner)
            _tell(state, record)
        state.accelerator.wait_for_everyone()
        state.progress.say(
            state.prefix + _summary(record, len(history), training.epochs, state.model.exits)
        )
    if len(history) < training.epochs:
        state.progress.say(f"stopped early: no better epoch in the last {training.patience}")
    path = _best_path(folder, best_epoch(history, judged))
    weights, _ = load_arrays(path, _WEIGHTS_KIND, _AGAIN)
    state.model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return history


def _tell(state: TrainState, record: EpochRecord) -> None:
    """Tell the tracker, if there is one, of an epoch that will not be lost any more."""
    if state.tracker is not None:
        state.tracker.tell(record, state.model.exits, state.splits.validation.metric)


def _keep(
    state: TrainState,
    history: Sequence[EpochRecord],
    logits: Mapping[str, npt.NDArray[np.float32]],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write what the epoch left; the checkpoint last, for until it stands the epoch never was."""
    folder, epoch = _folder(state), len(history) - 1
    best = best_epoch(history, state.stage.judged)
    for split, values in logits.items():
        path = _logits_path(folder, split, epoch)
        save_arrays(path, _LOGITS_KIND, {"logits": values}, {"epoch": epoch})
    if best == epoch:
        weights = {name: value.cpu().numpy() for name, value in state.model.state_dict().items()}
        save_arrays(_best_path(folder, best), _WEIGHTS_KIND, weights, {"epoch": best})
    records = [asdict(record) for record in history]
    save_checkpoint(folder, len(history), state.model, optimizer, records)
    for path in folder.glob("best-*.safetensors"):
        if path != _best_path(folder, best):
            path.unlink(missing_ok=True)


def _collect_dynamics(
    state: TrainState, history: Sequence[EpochRecord]
) -> dict[str, TrainingDynamics]:
    """The logits of all epochs of the last stage by split, from the files that they left."""
    epochs = sum(record.stage == state.stage.number for record in history)
    exits = {"validation": state.model.exits}
    if state.settings.training.record_train:
        exits["train"] = state.stage.exits
    dynamics = {}
    for split, recorded in exits.items():
        paths = [_logits_path(_folder(state), split, epoch) for epoch in range(epochs)]
        logits = [load_arrays(path, _LOGITS_KIND, _AGAIN)[0]["logits"] for path in paths]
        by_exit = np.stack(logits).transpose(0, 2, 1, 3)  # (E, N, X, C) → (E, X, N, C)
        rows = getattr(state.splits, split)
        guids = tuple(rows.guids)
        dynamics[split] = TrainingDynamics(by_exit, rows.labels, recorded, guids)
    return dynamics


def _folder(state: TrainState) -> Path:
    """Where a stage keeps its epochs; those of the first stage stay until the run is finished."""
    number = state.stage.number
    return state.run.checkpoint_path / (f"stage-{number}" if number > 1 else "")


def _logits_path(folder: Path, split: str, epoch: int) -> Path:
    prefix = "" if split == "validation" else f"{split}-"
    return folder / f"{prefix}logits-{epoch:04d}.safetensors"


def _best_path(folder: Path, epoch: int) -> Path:
    return folder / f"best-{epoch:04d}.safetensors"


def _summary(record: EpochRecord, epoch: int, epochs: int, exits: Sequence[int]) -> str:
    scores = ", ".join(
        f"exit {layer} {100 * value:.1f} %"
        for layer, value in zip(exits, record.accuracy, strict=True)
    )
    return (
        f"epoch {epoch} of {epochs}: loss {record.loss:.3f}, validation accuracy "
        f"{scores}; {record.seconds:.0f} s and {record.validation_seconds:.0f} s"
    )
