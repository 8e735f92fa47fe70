"""What a training run needs before its first epoch: data, model, optimizer, and its directory."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from accelerate import Accelerator

from dimec.base.arrays import IntArray
from dimec.base.errors import ConfigError
from dimec.base.progress import Progress
from dimec.base.storage import atomic_write, storage_errors
from dimec.data import Splits
from dimec.data.backbones import backbone_source, short
from dimec.data.dataset import SPLITS
from dimec.data.survey import Counter
from dimec.policies.kinds import ARRAYS
from dimec.runs.intake import Intake
from dimec.runs.trackers import FOLDER
from dimec.runs.workspace import RunDirectory
from dimec.settings.run import RunSettings
from dimec.settings.training import TrainingSettings
from dimec.training.batching import Encoded, encode
from dimec.training.checkpoint import latest_checkpoint
from dimec.training.checks import check_lengths, fit_vocabulary, try_export
from dimec.training.exit0.run import require_learner
from dimec.training.lesson import Lesson, begin_as
from dimec.training.model import MultiExitClassifier
from dimec.training.stages import Stage, stages_of
from dimec.training.tracking import Tracker


@dataclass(frozen=True, eq=False)
class TrainState:
    """The state of one training run: all that its epochs need.

    ``model`` is the module itself, ``wrapped`` what accelerate made of it for training. They and
    ``optimizer`` are made ready for ``stage``, one of ``stages``; see :func:`enter`. A student has
    a ``lesson``; behind the training rows, ``encoded`` has the texts without labels there. Where
    a ``tracker`` is there, it is told of each epoch.
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
    stages: tuple[Stage, ...]
    stage: Stage
    lesson: Lesson | None = None
    tracker: Tracker | None = None

    @property
    def labels(self) -> IntArray:
        """(R,) codes of what is trained on, -1 where there is none."""
        rows = self.splits.train
        return rows.labels if self.lesson is None else self.lesson.labels(rows)

    @property
    def prefix(self) -> str:
        """``"stage 2, "`` where there is more than one stage, for what is said of an epoch."""
        return f"stage {self.stage.number}, " if len(self.stages) > 1 else ""


def make_accelerator() -> Accelerator:
    """Where to compute, and with which other processes.

    Processes that a launcher started on a machine without an accelerator find each other only when
    told that they are to compute on the processor; each would train alone otherwise.
    """
    # Precision is ours (see epoch.py): what accelerate would wrap around the model would also
    # reach the passes that record, and those stay in fp32.
    return Accelerator(cpu=not torch.accelerator.is_available(), mixed_precision="no")


def claim(
    run: RunDirectory,
    settings: RunSettings,
    intake: Intake,
    overwrite: bool,
    lesson: Lesson | None = None,
) -> None:
    """Make the directory this run's; with ``overwrite`` what it held is discarded."""
    if overwrite:
        discard(run)
    settings.save(run.config_path)
    if lesson is not None:
        atomic_write(run.lesson_path, lesson.digest + "\n")
    atomic_write(run.data_path, intake.fingerprint + "\n")
    intake.keep(run)


def discard(run: RunDirectory) -> None:
    """Remove all that a run or a grid left: its files, and its folders with what is in them.

    Chosen training rows stay: other runs were trained on them, and read them again.
    """
    for file in (
        run.training_path,  # first: without it nothing counts as finished
        run.config_path,
        run.fit_path,
        run.policy_path,
        run.policy_path.with_name(ARRAYS),
        run.trace_path("validation"),
        run.trace_path("test"),
        run.out_of_fold_path,
        run.data_path,
        run.survey_path,
        run.parity_path,
        run.exit0_path,
        run.lesson_path,
        run.grid_record_path,
    ):
        file.unlink(missing_ok=True)
    for folder in (
        run.model_path,
        run.dynamics_path,
        run.checkpoint_path,
        run.report_path,
        run.streams_path,
        run.grid_path,
        run.tiers_path,
        run.teacher_path,
        run.first_round_path,
        run.labelled_only_path,
        run.cross_fit_path,
        run.path / FOLDER,
        *run.path.glob("bottleneck-*"),
        *run.path.glob("compressed-*"),
    ):
        shutil.rmtree(folder, ignore_errors=True)


def give_up_weights(run: RunDirectory) -> None:
    """Remove the model of a finished run, whose record stays.

    Renamed first: a process killed while it removes must not leave half a model under its name.
    """
    going = run.path / f".{run.model_path.name}.given-up"
    with suppress(FileNotFoundError), storage_errors(run.path):
        run.model_path.rename(going)
    shutil.rmtree(going, ignore_errors=True)


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
    lesson: Lesson | None = None,
) -> TrainState:
    """Load the encoder, put exits on it, tokenise the splits, and enter the first stage."""
    options = settings.model
    bf16 = use_bf16(settings.training.precision)
    if settings.training.exit0:
        require_learner()
    source = backbone_source(options.backbone)
    progress.say(f"loading the encoder {options.backbone} and tokenising")
    torch.manual_seed(settings.seed)
    model = MultiExitClassifier.from_backbone(
        source,
        labels=splits.train.label_names,
        exits=options.exits,
        tiers=options.tier_layers,
        head_pooling=options.head_pooling,
        embedding_pooling=options.embedding_pooling,
        head_dropout=options.head_dropout,
        max_tokens=options.max_tokens,
        layers=options.layers,
        progress=progress,
    )
    stages = stages_of(settings.training, model.exits)
    tokenizer = load_tokenizer(source)
    fit_vocabulary(model, tokenizer, progress)
    if lesson is not None:
        _teach(model, lesson)
    encoded = {
        name: encode(tokenizer, getattr(splits, name), options.max_tokens, progress)
        for name in SPLITS
    }
    if lesson is not None and lesson.unlabelled is not None:
        more = encode(tokenizer, lesson.unlabelled, options.max_tokens, progress)
        encoded["train"] = encoded["train"].followed_by(more)
    check_lengths(encoded, model, options.max_tokens)
    if accelerator.is_main_process and not latest_checkpoint(run.checkpoint_path):
        pairs = splits.train.pairs is not None
        try_export(model, encoded["train"], pairs, options.max_tokens, progress)
    wrapped, optimizer = _optimise(model, stages[0], settings.training, accelerator)
    return TrainState(
        settings=settings,
        run=run,
        splits=splits,
        encoded=encoded,
        tokenizer=tokenizer,
        accelerator=accelerator,
        progress=progress,
        model=model,
        wrapped=wrapped,
        optimizer=optimizer,
        bf16=bf16,
        stages=stages,
        stage=stages[0],
        lesson=lesson,
    )


def _teach(model: MultiExitClassifier, lesson: Lesson) -> None:
    """Have a student begin as its lesson says, and give it maps to its teacher's hidden states."""
    if lesson.start is not None:
        begin_as(model, lesson.start)
    if lesson.hidden is not None:
        own, width = model.config.encoder.hidden_size, lesson.hidden.shape[2]
        model.maps = torch.nn.ModuleDict(
            {
                str(exit_): torch.nn.Identity() if own == width else torch.nn.Linear(own, width)
                for exit_ in model.exits
            }
        )


def enter(state: TrainState, stage: Stage) -> TrainState:
    """The state in another stage, with an optimizer of its own over what learns there."""
    state.accelerator.free_memory()
    wrapped, optimizer = _optimise(state.model, stage, state.settings.training, state.accelerator)
    return replace(state, wrapped=wrapped, optimizer=optimizer, stage=stage)


def _optimise(
    model: MultiExitClassifier, stage: Stage, training: TrainingSettings, accelerator: Accelerator
) -> tuple[Any, Any]:
    model.freeze_all_but(stage.exits, stage.encoder)
    if model.maps is not None:
        model.maps.requires_grad_(True)
    optimizer = torch.optim.AdamW(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=stage.learning_rate,
        weight_decay=training.weight_decay,
        fused=True,
    )
    wrapped, prepared = accelerator.prepare(model, optimizer)
    return wrapped, prepared


def load_tokenizer(source: str) -> Any:
    """The tokenizer of a folder or hub name.

    Raises:
        ConfigError: there is none, or one that cannot pad.
    """
    from transformers import AutoTokenizer

    advice = "save one beside the encoder with tokenizer.save_pretrained"
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except Exception as error:  # a broken file may make tokenizers raise anything
        raise ConfigError(
            f"cannot load the tokenizer of {source!r}: {short(error)}; {advice}"
        ) from None
    # Where a folder has no tokenizer, transformers makes up one that knows the special tokens only.
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise ConfigError(f"{source!r} has no tokenizer, or one without a vocabulary; {advice}")
    if tokenizer.pad_token_id is None:
        raise ConfigError(f"the tokenizer of {source!r} has no padding token; give it one")
    return tokenizer


def tokens_of(tokenizer: Any) -> Counter:
    """Counts tokens with a tokenizer that is loaded."""

    def count(texts: Sequence[str], pairs: Sequence[str] | None) -> list[int]:
        rows = [list(texts)] if pairs is None else [list(texts), list(pairs)]
        return [len(ids) for ids in tokenizer(*rows)["input_ids"]]

    return count
