"""A tier whose classifier is taken as it is, recorded as a run of its own: :func:`take_ready`."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from dimec.base.errors import ArtefactError, ConfigError
from dimec.base.metrics import confusion_matrix, score
from dimec.base.progress import NoProgress, Progress
from dimec.base.storage import atomic_write, write_json
from dimec.data import Splits
from dimec.data.backbones import backbone_source
from dimec.data.dataset import SPLITS
from dimec.runs.workspace import RunDirectory
from dimec.settings.distillation import DistillationSettings
from dimec.settings.run import RunSettings
from dimec.settings.tiers import TierSettings
from dimec.settings.training import TrainingSettings
from dimec.traces.trace import Trace
from dimec.training.batching import encode
from dimec.training.checks import check_lengths, highest_id
from dimec.training.encoders import word_table
from dimec.training.export.parity_rows import choose_rows, save_rows
from dimec.training.finish import TRACED, check_model, model_fingerprint, save_model, versions
from dimec.training.inference import record_trace
from dimec.training.prepare import discard, load_tokenizer, make_accelerator
from dimec.training.pretrained import CLASSIFIER, load_config
from dimec.training.ready import TYPES, ReadyClassifier


@dataclass(frozen=True, eq=False)
class _Work:
    """What taking a classifier needs."""

    run: RunDirectory
    settings: RunSettings
    splits: Splits
    tier: TierSettings
    accelerator: Accelerator
    progress: Progress


def take_ready(
    run: RunDirectory,
    settings: RunSettings,
    splits: Splits,
    tier: TierSettings,
    progress: Progress | None = None,
    *,
    rows: str | None = None,
) -> RunDirectory:
    """Make a run of a classifier that somebody else has fine-tuned: its model, and its two traces.

    Nothing is trained. A run that is there of the same classifier and settings is taken as it is;
    an interrupted one goes on with the trace that it lacks. ``training.json`` is written last.

    Args:
        run: the tier's run directory; it is locked meanwhile.
        settings: of the run that the tier belongs to.
        splits: its rows.
        tier: with a ready model.
        progress: where to report to.
        rows: what ``data.sha256`` of that run holds, for the tier's.

    Raises:
        ConfigError: no such classifier, or one that does not fit: see :meth:`ReadyClassifier.of`;
            a tokenizer of another vocabulary; or texts longer than it takes.
        RunBusyError: another process works in ``run``.
        StorageError: the disk is full or refuses to write.
    """
    accelerator = make_accelerator()
    main = accelerator.is_main_process
    progress = progress if progress is not None and main else NoProgress()
    work = _Work(run, ready_settings(settings, tier), splits, tier, accelerator, progress)
    with run.locked() if main else nullcontext():
        origin = _origin(tier, _record_of(run))
        taken = _is_taken(work, origin)
        accelerator.wait_for_everyone()  # before one of them writes what the others look at
        if taken:
            progress.say(f"{run.path} has the classifier {tier.source} already, as it is")
        else:
            _take(work, origin, rows)
    return run


def ready_settings(settings: RunSettings, tier: TierSettings) -> RunSettings:
    """The settings of a ready tier's own run: the rows and how texts are read, no training."""
    model = settings.model.model_copy(
        update={"backbone": tier.source, "layers": None, "exits": None, "tiers": None}
    )
    return RunSettings(
        data=settings.data,
        model=model,
        training=TrainingSettings(exit0=False),
        distillation=DistillationSettings(),
        seed=settings.seed,
    )


def _record_of(run: RunDirectory) -> Mapping[str, Any]:
    """What a finished run of a ready classifier wrote down; empty where there is none."""
    try:
        record = run.training()
    except ArtefactError:
        return {}
    return record if record.get("ready") else {}


def _origin(tier: TierSettings, record: Mapping[str, Any]) -> dict[str, str]:
    """Where a tier's classifier comes from, and what it is there.

    One that is gone from there since it was taken is still what it was: the run has a copy.
    """
    try:
        source = backbone_source(tier.source)
        return {"source": tier.source, "fingerprint": _fingerprint(source)}
    except ConfigError:
        known = record.get("origin")
        if isinstance(known, dict) and known.get("source") == tier.source:
            return known
        raise


def _fingerprint(source: str) -> str:
    """Of a folder, its files'; of a name on the hub, the commit."""
    if Path(source).is_dir():
        return model_fingerprint(Path(source))
    return str(getattr(load_config(source, CLASSIFIER), "_commit_hash", None) or source)


def _is_taken(work: _Work, origin: Mapping[str, str]) -> bool:
    """Whether the run holds this classifier and all that is recorded of it."""
    run, record = work.run, _record_of(work.run)
    try:
        if record.get("origin") != origin or not _has_settings(work):
            return False
        fingerprint = check_model(run)
        return run.parity_path.exists() and all(
            _trace_of(work, split, fingerprint) is not None for split in TRACED
        )
    except ArtefactError:
        return False


def _has_settings(work: _Work) -> bool:
    try:
        return not work.run.settings().differences(work.settings)
    except (ArtefactError, ConfigError):
        return False


def _trace_of(work: _Work, split: str, fingerprint: str) -> Trace | None:
    """The trace of a split, if there is a sound one of these rows and this model."""
    try:
        trace = Trace.load(work.run.trace_path(split))
    except ArtefactError:
        return None
    rows = getattr(work.splits, split)
    same = trace.model == fingerprint and trace.guids == tuple(rows.guids)
    return trace if same and trace.labels.tolist() == rows.labels.tolist() else None


def _take(work: _Work, origin: Mapping[str, str], rows: str | None) -> None:
    run, options, accelerator = work.run, work.settings.model, work.accelerator
    main, progress = accelerator.is_main_process, work.progress
    source = backbone_source(work.tier.source)
    progress.say(f"taking the classifier {work.tier.source} as it is")
    model = ReadyClassifier.of(
        source,
        labels=work.splits.train.label_names,
        max_tokens=options.max_tokens,
        embedding_pooling=options.embedding_pooling,
        head_pooling=options.head_pooling,
        progress=progress,
    )
    tokenizer = load_tokenizer(source)
    _check_tokenizer(source, model, tokenizer)
    encoded = {
        split: encode(tokenizer, getattr(work.splits, split), options.max_tokens, progress)
        for split in TRACED
    }
    check_lengths(encoded, model, options.max_tokens)
    if main:
        if not _has_settings(work) or (run.training_path.exists() and not _record_of(run)):
            discard(run)  # another run's
        run.training_path.unlink(missing_ok=True)  # from here on nothing counts as finished
        work.settings.save(run.config_path)
        if rows is not None:
            atomic_write(run.data_path, rows.rstrip("\n") + "\n")
        save_model(model, tokenizer, run.model_path)
    accelerator.wait_for_everyone()
    fingerprint = model_fingerprint(run.model_path)
    model.to(accelerator.device)
    traces: dict[str, Trace] = {}
    for split in TRACED:
        kept = _trace_of(work, split, fingerprint)
        accelerator.wait_for_everyone()  # before any writes what the others still look for
        traces[split] = kept or record_trace(
            model,
            getattr(work.splits, split),
            encoded[split],
            split=split,
            fingerprint=fingerprint,
            accelerator=accelerator,
            progress=progress,
        )
        if main and kept is None:
            traces[split].save(run.trace_path(split))
    if main:
        save_rows(run, choose_rows(work.splits, options.max_tokens), fingerprint)
        record = _record(work, model, fingerprint, traces["validation"])
        write_json(run.training_path, record | {"origin": origin})
        told = record["accuracy"][0]
        progress.say(f"{work.tier.source} is right on {told:.1%} of the validation rows")
    accelerator.wait_for_everyone()


def _check_tokenizer(source: str, model: ReadyClassifier, tokenizer: Any) -> None:
    """Hold a tokenizer against the classifier's table, and have it give what the classifier takes.

    Raises:
        ConfigError: it gives ids that the table lacks.
    """
    rows, wanted = word_table(model.encoder).num_embeddings, highest_id(tokenizer) + 1
    if wanted > rows:
        raise ConfigError(
            f"the tokenizer of {source} gives {wanted:,} ids, the classifier's table has "
            f"{rows:,}; they do not belong together: save the classifier's own tokenizer beside it"
        )
    if not model.takes_types:
        names = [name for name in tokenizer.model_input_names if name != TYPES]
        tokenizer.model_input_names = names


def _record(
    work: _Work, model: ReadyClassifier, fingerprint: str, validation: Trace
) -> dict[str, Any]:
    """What ``training.json`` holds: as that of a run that was trained, in no epoch."""
    splits, predictions = work.splits, validation.predictions[:, -1]
    confusion = confusion_matrix(validation.labels, predictions, len(model.label_names))
    return {
        "model": fingerprint,
        "ready": True,
        "task": splits.train.task,
        "source": splits.train.source_rows,
        "selection": None,
        "metric": splits.train.metric,
        "labels": list(model.label_names),
        "backbone": work.tier.source,
        "layers": model.exits[-1],
        "exits": list(model.exits),
        "tiers": list(model.config.tiers),
        "parameters": sum(p.numel() for p in model.parameters()),
        "rows": {split: len(getattr(splits, split)) for split in SPLITS},
        "best_epoch": 0,
        "epochs": 0,
        "recipe": "ready",
        "loss": None,
        "stages": [],
        "history": [],
        "accuracy": [score("accuracy", confusion)],  # on the validation split, as of an epoch
        "score": [score(validation.metric, confusion)],
        "seed": work.settings.seed,
        "precision": "fp32",
        "processes": work.accelerator.num_processes,
        "device": str(work.accelerator.device),
        "exit0": None,
        "versions": versions(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
