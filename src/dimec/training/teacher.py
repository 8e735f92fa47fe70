"""What a teacher says of the training rows: recorded once, and taken up by every student."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from dimec.base.arrays import Float32Array
from dimec.base.errors import ArtefactError
from dimec.base.progress import Progress
from dimec.base.storage import load_arrays, save_arrays
from dimec.data import Dataset
from dimec.runs.workspace import RunDirectory
from dimec.training.batching import Encoded, encode, inference_batches
from dimec.training.inference import predict
from dimec.training.lesson import Lesson, UnlabelledTexts
from dimec.training.model import MultiExitClassifier, pool
from dimec.training.prepare import load_tokenizer

_KIND = "teacher"
_AGAIN = "dimec train"
_FILE = "rows.safetensors"


def lesson_of(
    run: RunDirectory,
    teacher: RunDirectory,
    rows: Dataset,
    unlabelled: UnlabelledTexts | None,
    accelerator: Accelerator,
    progress: Progress,
) -> Lesson:
    """What the last tier's model says of the training rows, and of texts without labels.

    Recorded in the run's ``teacher/`` where it is not there already.

    Args:
        run: of all tiers; its lock is held.
        teacher: the last tier's, finished.
        rows: of the training split.
        unlabelled: texts without labels.
        accelerator: where to compute.
        progress: where to report to.
    """
    path = run.teacher_path / _FILE
    settings = run.settings()
    deep = settings.distillation.hidden_weight > 0
    fingerprint = str(teacher.training()["model"])
    size = len(rows) + len(unlabelled or ())
    kept = _kept(path, fingerprint, size, deep)
    if kept is None:
        kept = _record(teacher, rows, unlabelled, deep, accelerator, progress)
        if accelerator.is_main_process:
            arrays = {name: part for name, part in kept.items() if part is not None}
            save_arrays(path, _KIND, arrays, {"model": fingerprint})
        accelerator.wait_for_everyone()
    return Lesson(fingerprint, kept["logits"], kept.get("hidden"), unlabelled)


def _kept(path: Path, model: str, size: int, deep: bool) -> dict[str, Float32Array] | None:
    """What was recorded before, of this model and as many texts; None where nothing was."""
    try:
        arrays, header = load_arrays(path, _KIND, _AGAIN)
    except ArtefactError:
        return None
    same = header.get("model") == model and len(arrays["logits"]) == size
    return arrays if same and ("hidden" in arrays) == deep else None


def _record(
    teacher: RunDirectory,
    rows: Dataset,
    unlabelled: UnlabelledTexts | None,
    deep: bool,
    accelerator: Accelerator,
    progress: Progress,
) -> dict[str, Float32Array]:
    model = MultiExitClassifier.from_pretrained(teacher.model_path).to(accelerator.device)
    tokenizer, most = load_tokenizer(str(teacher.model_path)), model.config.max_tokens
    encoded = encode(tokenizer, rows, most)
    if unlabelled is not None:
        encoded = encoded.followed_by(encode(tokenizer, unlabelled, most))
    stage = "what the last tier says of training rows"
    logits, _ = predict(model, encoded, accelerator, progress, stage)
    found = {"logits": np.ascontiguousarray(logits[:, -1])}
    if deep:
        found["hidden"] = _hidden(model, encoded, progress)
    return found


@torch.inference_mode()
def _hidden(model: MultiExitClassifier, encoded: Encoded, progress: Progress) -> Float32Array:
    """(R, L, D) pooled hidden states behind each layer, as an exit there would read them."""
    model.eval()
    parts: Float32Array | None = None
    progress.start("the last tier's hidden states of training rows", len(encoded))
    for rows in inference_batches(encoded.lengths):
        inputs = encoded.batch(rows, model.device)
        states = model.encoder(**inputs, output_hidden_states=True).hidden_states[1:]
        how, mask = model.config.head_pooling, inputs["attention_mask"]
        pooled = torch.stack([pool(state, mask, how) for state in states], dim=1)
        if parts is None:
            parts = np.empty((len(encoded), *pooled.shape[1:]), np.float32)
        parts[rows] = pooled.float().cpu().numpy()
        progress.advance(len(rows))
    progress.end()
    assert parts is not None
    return parts
