"""One pass of a model over a split: logits at every exit, and embeddings; and the trace of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from dimec.base.arrays import Float32Array
from dimec.base.progress import NoProgress, Progress
from dimec.bundle.exit0 import Exit0
from dimec.cartography import softmax
from dimec.data import Dataset
from dimec.traces.trace import Trace
from dimec.training.batching import Encoded, inference_batches
from dimec.training.ready import RunModel


@torch.inference_mode()
def predict(
    model: RunModel,
    encoded: Encoded,
    accelerator: Accelerator | None = None,
    progress: Progress | None = None,
    stage: str = "predicting",
) -> tuple[Float32Array, Float32Array]:
    """Logits (N, X, C) at every exit and pooled embeddings (N, D) of N texts, in fp32.

    Always in fp32, whatever precision trains the model: what is recorded must not depend on the
    batch that a text shared. With several processes each takes a part, and all get the whole.
    """
    progress = progress or NoProgress()
    batches = inference_batches(encoded.lengths)
    rank, world = 0, 1
    if accelerator is not None:
        rank, world = accelerator.process_index, accelerator.num_processes
    was_training = model.training
    model.eval()
    mine = batches[rank::world]
    progress.start(stage, sum(len(rows) for rows in mine))
    parts = []
    for rows in mine:
        output = model(**encoded.batch(rows, model.device))
        parts.append((rows, output.logits.float().cpu().numpy(), output.embedding.cpu().numpy()))
        progress.advance(len(rows))
    progress.end()
    model.train(was_training)
    if world > 1:
        parts = gather_object(parts)
    return _in_order(parts, len(encoded), model)


def cross_entropy(logits: Float32Array, labels: npt.NDArray[np.int64]) -> float:
    """Mean cross-entropy of logits (N, C), in double precision.

    Args:
        logits: of one exit.
        labels: (N,) right codes.
    """
    values = logits.astype(np.float64)
    values -= values.max(axis=1, keepdims=True)
    right = values[np.arange(len(values)), labels]
    return float((np.log(np.exp(values).sum(axis=1)) - right).mean())


def _in_order(
    parts: list[tuple[npt.NDArray[np.int64], Float32Array, Float32Array]],
    size: int,
    model: RunModel,
) -> tuple[Float32Array, Float32Array]:
    logits = np.empty((size, len(model.exits), model.config.num_labels), np.float32)
    embeddings = np.empty((size, model.config.encoder.hidden_size), np.float32)
    for rows, some_logits, some_embeddings in parts:
        logits[rows] = some_logits
        embeddings[rows] = some_embeddings
    return logits, embeddings


def record_trace(
    model: RunModel,
    dataset: Dataset,
    encoded: Encoded,
    *,
    split: str,
    fingerprint: str,
    accelerator: Accelerator | None = None,
    progress: Progress | None = None,
    exit0: Exit0 | None = None,
) -> Trace:
    """Run the model over a split once and keep what any policy may want to replay.

    Where there is an exit 0, what it says is recorded as the exit at layer 0.
    """
    stage = f"recording the {split} trace"
    logits, embeddings = predict(model, encoded, accelerator, progress, stage)
    trace = Trace(
        embeddings=embeddings,
        probabilities=softmax(logits).astype(np.float32),
        labels=dataset.labels,
        exits=model.exits,
        tiers=tuple(model.config.tiers),
        guids=tuple(dataset.guids),
        label_names=dataset.label_names,
        task=dataset.task,
        split=split,
        metric=dataset.metric,
        model=fingerprint,
        lengths=encoded.lengths,
        extra=dict(dataset.extra),
    )
    if exit0 is None:
        return trace
    return trace.with_exit0(exit0.many(encoded.columns["input_ids"], encoded.offsets, embeddings))
