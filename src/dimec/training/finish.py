"""The end of a training run: the best epoch's model, the dynamics, and the two traces."""

from __future__ import annotations

import datetime
import hashlib
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from dimec.__about__ import __version__
from dimec.base.errors import ArtefactError, CorruptArtefactError
from dimec.base.progress import Progress
from dimec.base.storage import file_sha256, storage_errors, write_json
from dimec.cartography import TrainingDynamics
from dimec.data import Splits
from dimec.data.dataset import SPLITS
from dimec.runs.workspace import RunDirectory
from dimec.settings.run import RunSettings
from dimec.training.batching import encode
from dimec.training.exit0.run import exit0_of, fit_of_run
from dimec.training.export.parity_rows import choose_rows, save_rows
from dimec.training.inference import record_trace
from dimec.training.prepare import TrainState, load_tokenizer
from dimec.training.ready import RunModel, load_model
from dimec.training.stages import EpochRecord, Stage, best_epoch

TRACED = ("validation", "test")


def finish_run(
    state: TrainState, history: Sequence[EpochRecord], dynamics: Mapping[str, TrainingDynamics]
) -> None:
    """Write the model, the dynamics and the traces; ``training.json`` last, then it is finished.

    Args:
        state: in its last stage, with the weights to keep in the model.
        history: of all stages.
        dynamics: of the last stage, by split.
    """
    run, accelerator = state.run, state.accelerator
    main = accelerator.is_main_process
    state.model.maps = None  # what a student learnt with, and no part of it
    if main:
        save_model(state.model, state.tokenizer, run.model_path)
    accelerator.wait_for_everyone()
    fingerprint = model_fingerprint(run.model_path)
    if main:
        for split, recorded in dynamics.items():
            run.save_dynamics(recorded, {"model": fingerprint}, split)
        dynamics["validation"].write_jsonl(run.dynamics_path, state.model.config.tiers[0])
    fitted = fit_of_run(state, fingerprint) if state.settings.training.exit0 else None
    if fitted is not None:
        fitted.exit0.save(run.exit0_path)
    for split in TRACED:
        trace = record_trace(
            state.model,
            getattr(state.splits, split),
            state.encoded[split],
            split=split,
            fingerprint=fingerprint,
            accelerator=accelerator,
            progress=state.progress,
            exit0=fitted.exit0 if fitted is not None else None,
        )
        if main:
            trace.save(run.trace_path(split))
    if main:
        save_rows(run, choose_rows(state.splits, state.settings.model.max_tokens), fingerprint)
        record = _record(state, history, fingerprint)
        record["exit0"] = fitted.to_dict() if fitted is not None else None
        if state.lesson is not None:
            record["teacher"] = state.lesson.teacher
            record["rows"]["unlabelled"] = len(state.lesson.unlabelled or ())
        write_json(run.training_path, record)
        shutil.rmtree(run.checkpoint_path, ignore_errors=True)
    accelerator.wait_for_everyone()


def reuse_finished(
    run: RunDirectory,
    settings: RunSettings,
    splits: Splits,
    accelerator: Accelerator,
    progress: Progress,
) -> bool:
    """Whether the run is trained already. A trace that is missing or damaged is recorded anew.

    Raises:
        ArtefactError: the model or the dynamics of a finished run are missing or damaged; they
            cannot be had back without training again.
    """
    if not run.training_path.exists():
        return False
    fingerprint = check_model(run)
    recorded = ("validation", *(["train"] if settings.training.record_train else []))
    for split in () if run.training().get("ready") else recorded:
        run.dynamics(split)
    if accelerator.is_main_process:
        # Left where the process was killed between its last file and this.
        shutil.rmtree(run.checkpoint_path, ignore_errors=True)
        if not run.parity_path.exists():  # trained by an earlier version
            save_rows(run, choose_rows(splits, settings.model.max_tokens), fingerprint)
    broken = [split for split in TRACED if not _is_sound(run, split, progress)]
    accelerator.wait_for_everyone()
    if broken:
        _record_again(run, settings, splits, fingerprint, broken, accelerator, progress)
    else:
        progress.say(f"{run.path} is trained already, using it as it is")
    return True


def check_model(run: RunDirectory) -> str:
    """The fingerprint of a finished run's model, which is held against the files; so is each
    tier's, where they have models of their own.

    Raises:
        ArtefactError: the run is not finished, or its model is missing or altered.
    """
    run.require_model()
    fingerprint = str(run.training()["model"])
    if own := run.tier_runs():
        for one in own.values():
            check_model(one)
        return fingerprint
    if not run.model_path.exists() or model_fingerprint(run.model_path) != fingerprint:
        raise CorruptArtefactError(
            f"the model in {run.model_path} is missing or altered since it was trained; "
            "train again with --overwrite"
        )
    return fingerprint


def _is_sound(run: RunDirectory, split: str, progress: Progress) -> bool:
    try:
        run.trace(split)
    except ArtefactError as error:
        progress.say(f"recording the {split} trace again: {error}")
        return False
    return True


def _record_again(
    run: RunDirectory,
    settings: RunSettings,
    splits: Splits,
    fingerprint: str,
    wanted: Sequence[str],
    accelerator: Accelerator,
    progress: Progress,
) -> None:
    model = load_model(run.model_path).to(accelerator.device)
    tokenizer, exit0 = load_tokenizer(str(run.model_path)), exit0_of(run)
    for split in wanted:
        dataset = getattr(splits, split)
        trace = record_trace(
            model,
            dataset,
            encode(tokenizer, dataset, settings.model.max_tokens),
            split=split,
            fingerprint=fingerprint,
            accelerator=accelerator,
            progress=progress,
            exit0=exit0,
        )
        if accelerator.is_main_process:
            trace.save(run.trace_path(split))


def model_fingerprint(folder: Path) -> str:
    """SHA-256 over the files of a saved model: what a trace or a router belongs to.

    Weights, configuration and tokenizer: a change of any of them changes what the model says.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        digest.update(f"{path.name} {file_sha256(path)}\n".encode())
    return digest.hexdigest()


def save_model(model: RunModel, tokenizer: Any, folder: Path) -> None:
    """The model and its tokenizer, in a folder that appears all at once."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    with storage_errors(folder):
        shutil.rmtree(temporary, ignore_errors=True)
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        for path in temporary.iterdir():
            # safetensors makes its files private; the others tell what the user's umask gives.
            path.chmod((temporary / "config.json").stat().st_mode)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)


def _record(state: TrainState, history: Sequence[EpochRecord], fingerprint: str) -> dict[str, Any]:
    """What ``training.json`` holds."""
    splits, model, stages = state.splits, state.model, _stages(state.stages, history)
    return {
        "model": fingerprint,
        "task": splits.train.task,
        "source": _source(state),
        "selection": _selection(state),
        "metric": splits.train.metric,
        "labels": list(model.label_names),
        "backbone": state.settings.model.backbone,
        "layers": model.exits[-1],
        "exits": list(model.exits),
        "tiers": list(model.config.tiers),
        "parameters": sum(p.numel() for p in model.parameters()),
        "rows": {split: len(getattr(splits, split)) for split in SPLITS},
        "best_epoch": stages[-1]["best_epoch"],
        "recipe": state.settings.training.recipe,
        "loss": state.settings.training.loss,
        "stages": stages,
        "history": [asdict(epoch) for epoch in history],
        "seed": state.settings.seed,
        "precision": "bf16" if state.bf16 else "fp32",
        "processes": state.accelerator.num_processes,
        "device": str(state.accelerator.device),
        "versions": versions(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _stages(stages: Sequence[Stage], history: Sequence[EpochRecord]) -> list[dict[str, Any]]:
    """What learned in each stage and which of its epochs was kept, as its place in the history."""
    records = []
    for stage in stages:
        own = [record for record in history if record.stage == stage.number]
        records.append(
            {
                "stage": stage.number,
                "exits": list(stage.exits),
                "encoder": stage.encoder,
                "epochs": len(own),
                "best_epoch": own[best_epoch(own, stage.judged)].epoch,
            }
        )
    return records


def _selection(state: TrainState) -> dict[str, str] | None:
    """The file that chose the training rows, as it was when the run was begun."""
    if (path := state.settings.data.train_rows) is None:
        return None
    sha256 = state.run.data_path.read_text("utf-8").split()[1]
    return {"file": path, "sha256": sha256}


def _source(state: TrainState) -> str:
    """What part of the source was trained on, where it was not the whole."""
    notes, data = [state.splits.train.source_rows], state.settings.data
    if data.train_rows is not None:
        name = Path(data.train_rows).name
        notes.append(f"trained on {len(state.splits.train):,} training rows chosen by {name}")
    elif data.max_train_rows == len(state.splits.train):
        notes.append(f"trained on a stratified sample of {len(state.splits.train):,} training rows")
    if (most := data.max_eval_rows) is not None:
        sampled = [name for name in TRACED if len(getattr(state.splits, name)) == most]
        if sampled:
            parts = " and ".join(sampled)
            notes.append(f"stratified samples of {most:,} rows of {parts}")
    return "; ".join(note for note in notes if note)


def versions() -> dict[str, str]:
    """Versions of what the figures of a run depend on."""
    names = ("torch", "transformers", "tokenizers", "accelerate", "numpy")
    ours = {"dimec": __version__, "python": platform.python_version()}
    return ours | {name: version(name) for name in names}
