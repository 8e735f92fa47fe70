"""A trained bottleneck at the split of a trained run: BottleNet++, BottleFit, CDE and HND.

In the run directory each has a folder ``bottleneck-LAYER-WIDTH-BITS-OBJECTIVE`` (with ``-tail``
behind it where the layers behind the split were trained too)::

    bottleneck.json             settings, history, scores, bytes; written last
    weights.safetensors         the bottleneck, and the model's layers that were trained
    trace-validation.safetensors, trace-test.safetensors

The traces are the run's own, but for the last exit, whose probabilities are those behind the
bottleneck. The exits between the split and the last one are left as they were: they stand for tiers
that run the model without a bottleneck. Beside the run's columns they have ``code_bytes``, the
bytes that each sample's code takes, and ``code_layer``, the split.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from dimec.base.errors import CorruptArtefactError, MismatchError
from dimec.base.progress import NoProgress, Progress
from dimec.base.storage import load_arrays, save_arrays, write_json
from dimec.cartography import softmax
from dimec.runs.bottleneck import BottleneckSettings
from dimec.runs.workspace import RunDirectory
from dimec.traces.trace import Trace
from dimec.training.bottleneck.epoch import (
    BottleneckEpoch,
    behind_logits,
    make_optimizer,
    run_bottleneck_epoch,
    scores,
)
from dimec.training.bottleneck.files import (
    AGAIN,
    BottleneckFolder,
    behind_trace,
    describe,
    weights_sha256,
)
from dimec.training.bottleneck.prepare import Work, make_student, parts_of, prepare, sound_model
from dimec.training.bottleneck.spliced import BottleneckedModel
from dimec.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from dimec.training.finish import TRACED
from dimec.training.model import MultiExitClassifier

__all__ = ["BottleneckSettings", "bottleneck_traces", "load_bottleneck", "train_bottleneck"]

_WEIGHTS_KIND = "bottleneck"


def train_bottleneck(
    run: RunDirectory,
    settings: BottleneckSettings | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Train a bottleneck, or go on with an interrupted one, or take a finished one as it is.

    Trained on the training split alone; the epoch with the best validation score of the last exit
    is kept.

    Args:
        run: a trained run.
        settings: of the bottleneck.
        overwrite: discard what the bottleneck's folder holds.
        progress: where to report to.

    Returns:
        The bottleneck's folder.

    Raises:
        ConfigError: settings that do not fit the model, or another bottleneck in the folder.
        ArtefactError: the run is not trained, or damaged.
        DataError: the data can no longer be read.
        DivergedError: the loss is no longer a number.
        RunBusyError: another process works in the run directory.
        StorageError: the disk is full; finished epochs are kept.
    """
    progress = progress or NoProgress()
    settings = settings or BottleneckSettings()
    with run.locked():
        fingerprint = sound_model(run)
        settings = settings.for_tiers(run.training()["tiers"])
        folder = BottleneckFolder(run.path / settings.folder_name)
        if not overwrite:
            folder.check_claim(fingerprint, settings)
            if folder.record_path.exists():
                bottleneck_traces(folder.path)
                # Left where the process was killed between its last file and this.
                shutil.rmtree(folder.checkpoint_path, ignore_errors=True)
                progress.say(f"{folder.path} is trained already, using it as it is")
                return folder.path
        work = prepare(run, folder, settings, fingerprint, progress)
        if overwrite:
            folder.record_path.unlink(missing_ok=True)  # without it nothing counts as finished
            shutil.rmtree(folder.path, ignore_errors=True)
        folder.claim(fingerprint, settings)
        _finish(run, work, *_epochs(work))
    return folder.path


def bottleneck_traces(path: Path) -> tuple[Trace, Trace]:
    """The traces of the validation and the test split behind a trained bottleneck.

    Args:
        path: the bottleneck's folder, in its run directory.

    Raises:
        MissingArtefactError: the bottleneck is not trained.
        MismatchError: the run was trained again since, or a trace is of another bottleneck.
        CorruptArtefactError: a file is damaged.
    """
    folder = BottleneckFolder(path)
    record = folder.record()
    current = RunDirectory(folder.path.parent).training()["model"]
    if record["model"] != current:
        raise MismatchError(
            f"{path} belongs to the model {record['model'][:12]}…, the run now holds "
            f"{current[:12]}…; {AGAIN}"
        )
    validation, test = (Trace.load(folder.trace_path(split)) for split in TRACED)
    for trace in (validation, test):
        if trace.model != record["fingerprint"]:
            raise MismatchError(
                f"the {trace.split} trace in {path} is not of the bottleneck beside it; {AGAIN}"
            )
    return validation, test


def load_bottleneck(path: Path) -> BottleneckedModel:
    """A run's model with its trained bottleneck, ready to answer.

    Raises:
        ArtefactError: missing, damaged, or of another model.
    """
    folder = BottleneckFolder(path)
    record, run = folder.record(), RunDirectory(folder.path.parent)
    if sound_model(run) != record["model"]:
        raise MismatchError(f"{path} belongs to another model than {run.model_path}; {AGAIN}")
    settings = BottleneckSettings(**record["settings"])
    student = make_student(MultiExitClassifier.from_pretrained(run.model_path), settings)
    digest = _load_weights(folder.weights_path, student, settings)
    if digest != record["bottleneck"]:
        raise MismatchError(f"{folder.weights_path} is not what {path} was made with; {AGAIN}")
    return student


def _epochs(work: Work) -> tuple[dict[str, float], list[BottleneckEpoch]]:
    """Run the epochs that are left; leaves the best one's weights in the student.

    Returns the scores at the start and the history.
    """
    schedule, folder, trained = work.schedule, work.folder.checkpoint_path, work.trained
    validation = (work.encoded["validation"], work.splits.validation)
    rows = (work.encoded["train"], work.splits.train.labels)
    if done := latest_checkpoint(folder):
        optimizer = make_optimizer(work.student, schedule, schedule.stage(done - 1))
        start, history = _resume(folder, done, trained, optimizer)
        work.progress.say(f"resuming {work.folder.path} after epoch {done} of {schedule.epochs}")
    else:
        logits = behind_logits(work.student, validation[0], work.progress, "the start")
        accuracy, metric = scores(validation[1], logits)
        start, history = {"accuracy": accuracy, "metric": metric}, []
    while len(history) < schedule.epochs:
        epoch = len(history)
        if epoch in (0, schedule.first_stage):
            optimizer = make_optimizer(work.student, schedule, schedule.stage(epoch))
        record = run_bottleneck_epoch(
            work.student, work.teacher, optimizer, schedule, epoch, rows, validation, work.progress
        )
        history.append(record)
        _keep(work, start, history, optimizer)
        work.progress.say(
            f"epoch {epoch + 1} of {schedule.epochs} ({record.stage}): loss {record.loss:.3f}, "
            f"validation accuracy {100 * record.accuracy:.1f} %; {record.seconds:.0f} s"
        )
    _load_weights(_best_path(folder, best_bottleneck(history)), work.student, work.settings)
    return start, history


def best_bottleneck(history: list[BottleneckEpoch]) -> int:
    """The epoch with the best validation score; of equals the lower loss, then the earlier one."""

    def merit(epoch: int) -> tuple[float, float, int]:
        loss = history[epoch].validation_loss
        return history[epoch].metric, -math.inf if loss is None else -loss, -epoch

    return max(range(len(history)), key=merit)


def _resume(
    folder: Path, done: int, trained: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, float], list[BottleneckEpoch]]:
    try:
        record = load_checkpoint(folder, done, trained, optimizer)
    except CorruptArtefactError:
        raise CorruptArtefactError(
            f"the checkpoint of epoch {done} in {folder} is truncated or altered; {AGAIN}"
        ) from None
    return record["start"], [BottleneckEpoch(**epoch) for epoch in record["history"]]


def _keep(
    work: Work,
    start: dict[str, float],
    history: list[BottleneckEpoch],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write what the epoch left; the checkpoint last, for until it stands the epoch never was."""
    folder, epoch, best = work.folder.checkpoint_path, len(history) - 1, best_bottleneck(history)
    if best == epoch:
        _save_weights(_best_path(folder, best), work)
    record = {"start": start, "history": [asdict(one) for one in history]}
    save_checkpoint(folder, len(history), work.trained, optimizer, record)
    for path in folder.glob("best-*.safetensors"):
        if path != _best_path(folder, best):
            path.unlink(missing_ok=True)


def _best_path(folder: Path, epoch: int) -> Path:
    return folder / f"best-{epoch:04d}.safetensors"


def _save_weights(path: Path, work: Work) -> str:
    """Write what was trained; returns the digest of it."""
    arrays = {name: value.cpu().numpy() for name, value in work.trained.state_dict().items()}
    metadata = {"model": work.model, "settings": asdict(work.settings)}
    save_arrays(path, _WEIGHTS_KIND, arrays, metadata)
    return weights_sha256(arrays)


def _load_weights(path: Path, student: BottleneckedModel, settings: BottleneckSettings) -> str:
    """Put stored weights into the student; returns the digest of them."""
    arrays, _ = load_arrays(path, _WEIGHTS_KIND, "dimec bottleneck --overwrite")
    weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
    parts_of(student, settings).load_state_dict(weights)
    return weights_sha256(arrays)


def _finish(
    run: RunDirectory, work: Work, start: dict[str, float], history: list[BottleneckEpoch]
) -> None:
    """Write the weights and the two traces; ``bottleneck.json`` last, then it is finished."""
    folder, student, settings = work.folder, work.student, work.settings
    digest = _save_weights(folder.weights_path, work)
    fingerprint = f"{work.model}+{digest}"
    pairs = {}
    for split in TRACED:
        stage = f"recording the {split} trace"
        logits = behind_logits(student, work.encoded[split], work.progress, stage)
        whole = run.trace(split)
        trace = behind_trace(whole, softmax(logits).astype(np.float32), settings, fingerprint)
        trace.save(folder.trace_path(split))
        pairs[split] = (whole, trace)
    record = {
        "model": work.model,
        "bottleneck": digest,
        "fingerprint": fingerprint,
        "settings": asdict(settings),
        "device": str(student.model.device),
        "start": start,
        "best_epoch": best_bottleneck(history),
        "history": [asdict(epoch) for epoch in history],
        **describe(run, settings, pairs, len(work.splits.train), student.bottleneck),
    }
    write_json(folder.record_path, record)
    shutil.rmtree(folder.checkpoint_path, ignore_errors=True)
