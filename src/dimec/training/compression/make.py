"""Make a compressed model of a run, or go on with an interrupted one; see ``dimec compress``."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dimec.base.arrays import Float32Array
from dimec.base.errors import ConfigError, CorruptArtefactError
from dimec.base.progress import NoProgress, Progress
from dimec.base.storage import storage_errors
from dimec.cartography import softmax
from dimec.data import Splits
from dimec.data.splits import stratified_rows
from dimec.runs.compression import AGAIN, CompressedFolder, CompressionSettings
from dimec.runs.workspace import RunDirectory
from dimec.tiers.latency import RATE_TOKENS
from dimec.training.batching import Encoded, encode
from dimec.training.bottleneck.prepare import check_rows, fewer_rows
from dimec.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from dimec.training.compression.finish import Made, finish
from dimec.training.compression.heads import choose_heads, remove_heads
from dimec.training.compression.int8 import quantise_model
from dimec.training.compression.magnitude import (
    PruningEpochs,
    PruningSchedule,
    end_pruning,
    make_optimizer,
    prune_to,
    share_left,
    start_pruning,
    train_epoch,
)
from dimec.training.compression.operations import linear_layers, operations_of
from dimec.training.compression.student import first_tier
from dimec.training.finish import TRACED, check_model, model_fingerprint
from dimec.training.inference import predict
from dimec.training.model import MultiExitClassifier
from dimec.training.prepare import load_tokenizer


@dataclass(frozen=True, eq=False)
class Work:
    """All that a method needs of the run."""

    run: RunDirectory
    folder: CompressedFolder
    settings: CompressionSettings
    fingerprint: str
    progress: Progress
    model: MultiExitClassifier
    tokenizer: Any
    splits: Splits
    encoded: Mapping[str, Encoded]

    def said(self) -> dict[str, Float32Array]:
        """What the last exit says of the validation and the test split."""
        return {
            split: softmax(
                predict(
                    self.model,
                    self.encoded[split],
                    None,
                    self.progress,
                    f"recording the {split} trace",
                )[0][:, -1]
            ).astype(np.float32)
            for split in TRACED
        }


def compress_run(
    run: RunDirectory,
    settings: CompressionSettings,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Make a compressed model, or go on with an interrupted one, or take a finished one as it is.

    Args:
        run: a trained run of one model.
        settings: of the compressed model.
        overwrite: discard what its folder holds.
        progress: where to report to.

    Returns:
        The folder, with the traces of the validation and the test split.

    Raises:
        ConfigError: a run of own tiers, settings that do not fit the model, or another compressed
            model in the folder.
        ArtefactError: the run is not trained, or damaged.
        DataError: the data can no longer be read.
        DivergedError: the loss is no longer a number.
        RunBusyError: another process works in the run directory.
        StorageError: the disk is full; finished epochs are kept.
    """
    progress = progress or NoProgress()
    with run.locked():
        if run.tier_runs():
            raise ConfigError(
                f"{run.path} has a model for each tier already, the first a distilled student; "
                "dimec compress takes a run of one model"
            )
        run.require_model()
        training = run.training()
        settings = settings.for_run(
            training["tiers"], training["exits"][-1], run.settings().training.learning_rate
        )
        folder = CompressedFolder(run.path / settings.folder_name)
        if not overwrite:
            folder.check_claim(training["model"], settings)
            # A student may have been trained anew since, and takes no time.
            if folder.record_path.exists() and settings.method != "student":
                shutil.rmtree(folder.checkpoint_path, ignore_errors=True)
                progress.say(f"{folder.path} is made already, using it as it is")
                return folder.path
        if settings.method == "student":
            made = _student(run, settings)
        else:
            work = _prepare(run, folder, settings, progress)
            _clear(folder, settings, work.fingerprint, overwrite)
            made = _METHODS[settings.method](work)
        finish(run, folder, settings, made)
    return folder.path


def _clear(
    folder: CompressedFolder, settings: CompressionSettings, model: str, overwrite: bool
) -> None:
    """Claim the folder, once all is known to fit."""
    if overwrite:
        folder.record_path.unlink(missing_ok=True)  # without it nothing counts as finished
        shutil.rmtree(folder.path, ignore_errors=True)
    folder.claim(model, settings)


def _prepare(
    run: RunDirectory, folder: CompressedFolder, settings: CompressionSettings, progress: Progress
) -> Work:
    """Load the model and the data."""
    fingerprint = check_model(run)
    progress.say(f"loading the model of {run.path} and tokenising")
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    model = MultiExitClassifier.from_pretrained(run.model_path).to(device or "cpu").eval()
    splits = fewer_rows(run.splits(), settings.max_train_rows, settings.seed)
    tokenizer, longest = load_tokenizer(str(run.model_path)), run.settings().model.max_tokens
    parts = {name: getattr(splits, name) for name in ("train", *TRACED)}
    encoded = {name: encode(tokenizer, part, longest) for name, part in parts.items()}
    for split in TRACED:
        check_rows(run.trace(split), parts[split])
    operations_of(model)  # an encoder that it cannot be counted for is refused before it is trained
    return Work(run, folder, settings, fingerprint, progress, model, tokenizer, splits, encoded)


def _magnitude(work: Work) -> Made:
    """Prune the small weights while training on."""
    settings, model, layers = work.settings, work.model, linear_layers(work.model)
    operations = operations_of(model)
    sparsity = settings.sparsity or operations.weight_sparsity(settings.fitted_layer)
    steps = settings.epochs * -(-len(work.splits.train) // settings.batch_size)
    assert settings.learning_rate is not None  # spelt out by for_run
    plan = PruningEpochs(
        PruningSchedule.over(sparsity, steps, settings.prunings),
        settings.epochs,
        settings.batch_size,
        settings.learning_rate,
        settings.seed,
    )
    start_pruning(layers)
    history = _epochs(work, layers, plan)
    prune_to(layers, sparsity)  # where there were too few steps to come so far
    end_pruning(layers)
    left = operations.with_weights(share_left(layers))
    told = {
        "sparsity": 1 - share_left(layers),
        "wanted_sparsity": sparsity,
        "history": history,
        "operations": {"whole": operations.total, "left": left, "tokens": RATE_TOKENS},
    }
    return Made(_saved(work), operations.worth(left), work.said(), told)


def _epochs(work: Work, layers: Any, plan: PruningEpochs) -> list[dict[str, Any]]:
    """Run the epochs that are left; returns the loss and the sparsity of each."""
    folder, model = work.folder.checkpoint_path, work.model
    decay = work.run.settings().training.weight_decay
    optimizer = make_optimizer(model, plan.learning_rate, decay)
    history: list[dict[str, Any]] = []
    if done := latest_checkpoint(folder):
        try:
            history = load_checkpoint(folder, done, model, optimizer)["history"]
        except CorruptArtefactError:
            raise CorruptArtefactError(
                f"the checkpoint of epoch {done} in {folder} is truncated or altered; {AGAIN}"
            ) from None
        work.progress.say(f"resuming {work.folder.path} after epoch {done} of {plan.epochs}")
    rows = (work.encoded["train"], work.splits.train.labels)
    while len(history) < plan.epochs:
        epoch = len(history)
        loss = train_epoch(model, layers, optimizer, plan, epoch, rows, work.progress)
        masks = [layer.weight_mask for layer in layers]
        gone = 1 - sum(float(m.sum()) for m in masks) / sum(m.numel() for m in masks)
        history.append({"epoch": epoch, "loss": loss, "sparsity": gone})
        save_checkpoint(folder, len(history), model, optimizer, {"history": history})
        work.progress.say(
            f"epoch {epoch + 1} of {plan.epochs}: loss {loss:.3f}, {100 * gone:.1f} % of the "
            "weights gone"
        )
    return history


def _heads(work: Work) -> Made:
    """Prune the heads that matter least."""
    settings, operations = work.settings, operations_of(work.model)
    sparsity = settings.sparsity or operations.head_sparsity(settings.fitted_layer)
    labels = work.splits.train.labels
    few = stratified_rows(labels, min(settings.rows, len(labels)), settings.seed)
    rows = (work.encoded["train"].take(few), labels[few])
    kept = choose_heads(work.model, sparsity, rows, work.progress)
    remove_heads(work.model, kept)
    left = operations.with_heads(float(kept.mean()))
    told = {
        "sparsity": 1 - float(kept.mean()),
        "wanted_sparsity": sparsity,
        "heads": [np.flatnonzero(row).tolist() for row in kept],
        "operations": {"whole": operations.total, "left": left, "tokens": RATE_TOKENS},
    }
    return Made(_saved(work), operations.worth(left), work.said(), told)


def _int8(work: Work) -> Made:
    """The whole model in 8 bits."""
    operations = operations_of(work.model)
    quantise_model(work.model)
    left = operations.with_int8()
    told = {"operations": {"whole": operations.total, "left": left, "tokens": RATE_TOKENS}}
    return Made(f"{work.fingerprint}+int8", operations.worth(left), work.said(), told)


_METHODS: Mapping[str, Callable[[Work], Made]] = {
    "magnitude": _magnitude,
    "heads": _heads,
    "int8": _int8,
}


def _student(run: RunDirectory, settings: CompressionSettings) -> Made:
    """What the first tier of another run has said already."""
    student = first_tier(str(settings.student))
    said = {split: student.probabilities(run.trace(split)) for split in TRACED}
    told = {"student": {"tier": student.name, "layers": student.layer}}
    return Made(str(student.run.training()["model"]), student.worth(run), said, told)


def _saved(work: Work) -> str:
    """Keep the model, in a folder that appears all at once; returns its fingerprint."""
    folder = work.folder.model_path
    temporary = folder.with_name(f".{folder.name}.tmp")
    with storage_errors(folder):
        shutil.rmtree(temporary, ignore_errors=True)
        work.model.save_pretrained(temporary)
        work.tokenizer.save_pretrained(temporary)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    return f"{work.fingerprint}+{model_fingerprint(folder)}"
