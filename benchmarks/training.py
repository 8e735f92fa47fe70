"""Training with three exits and all dynamics, against the Hugging Face Trainer with one exit.

Both fine-tune the same encoder on the same rows with the same batch size, learning rate, number
of epochs and precision. The Trainer keeps its defaults: random batches, each padded to its longest
text, and no evaluation.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import Measured, in_fresh_process, peak_rss, say
from benchmarks.results import BYTES, PER_SECOND, RATIO, SHARE, Figure, Result
from dimec.base.progress import NoProgress
from dimec.data import Splits, load_task, packaged_backbone, split_dataset

TASK, BACKBONE, EXITS = "vader/movies", "minilm-l6", (2, 3, 6)
GOAL = 1.0
ALL_ROWS = 0
_OURS = ("training", "with validation", "with validation and writing")


@dataclass(frozen=True)
class Sizes:
    """Of one training run, and how many pairs of runs.

    ``rows``: training rows, drawn by ``dimec.data.split_dataset``; 0 for the whole training split.
    """

    rows: int = 2000
    epochs: int = 2
    batch_size: int = 16
    learning_rate: float = 5e-5
    max_tokens: int = 128
    repeats: int = 3


def run(sizes: Sizes, seed: int) -> Result:
    """Run ours and theirs in turn, ``repeats`` times, each in a process of its own."""
    rows = in_fresh_process(fetch, rows=sizes.rows, seed=seed).value
    settings = {
        "rows": sizes.rows,
        "epochs": sizes.epochs,
        "batch_size": sizes.batch_size,
        "learning_rate": sizes.learning_rate,
        "max_tokens": sizes.max_tokens,
        "seed": seed,
    }
    ours: list[Measured] = []
    theirs: list[Measured] = []
    for repeat in range(sizes.repeats):
        ours.append(in_fresh_process(train_ours, **settings))
        theirs.append(in_fresh_process(train_theirs, **settings))
        a, b = (runs[-1].value["epoch"] for runs in (ours, theirs))
        say(
            f"training: pair {repeat + 1} of {sizes.repeats}, seconds an epoch: ours "
            f"{a['with validation']:.1f}, theirs {b['training']:.1f}"
        )
    runs = {"ours": [m.value for m in ours], "theirs": [m.value for m in theirs]}
    precision = runs["ours"][0]["precision"]
    notes = (
        f"{TASK}, {rows['train']} training and {rows['validation']} validation rows, {precision}, "
        f"seconds of one epoch (mean of {sizes.epochs}); ours with exits {EXITS}, the Trainer "
        f"({runs['theirs'][0]['precision']}) with one exit and no validation pass",
        "writing: checkpoint, best weights and dynamics to disk after every epoch; the Trainer "
        "writes nothing",
        "the ratios are taken pair by pair",
    )
    return Result(_figures(ours, theirs, rows["train"]), notes, runs)


def _figures(ours: Sequence[Measured], theirs: Sequence[Measured], rows: int) -> tuple[Figure, ...]:
    mine = {part: [m.value["epoch"][part] for m in ours] for part in _OURS}
    other = [m.value["epoch"]["training"] for m in theirs]
    goals = {"with validation": GOAL}
    figures = [Figure.of(f"ours, {part}", values) for part, values in mine.items()]
    figures.append(Figure.of("Trainer, training", other))
    for part, values in mine.items():
        ratios = [a / b for a, b in zip(values, other, strict=True)]
        figures.append(Figure.of(f"ours / Trainer, {part}", ratios, RATIO, goals.get(part)))
    for name, values in (("ours", mine["training"]), ("Trainer", other)):
        figures.append(Figure.of(f"{name}, rows a second", [rows / v for v in values], PER_SECOND))
    for name, group in (("ours", ours), ("Trainer", theirs)):
        figures.append(Figure.of(f"{name}, peak memory", [m.value["peak"] for m in group], BYTES))
        scores = [m.value["accuracy"] for m in group]
        figures.append(Figure.of(f"{name}, validation accuracy", scores, SHARE))
    return tuple(figures)


def fetch(rows: int, seed: int) -> dict[str, int]:
    """Fetch and check data and encoder, so that no run has to; returns the rows of the splits."""
    packaged_backbone(BACKBONE)
    splits = _splits(rows, seed)
    return {"train": len(splits.train), "validation": len(splits.validation)}


def _splits(rows: int, seed: int) -> Splits:
    return split_dataset(load_task(TASK), seed=seed, max_train_rows=rows or None)


class _Clock(NoProgress):
    """Notes when each epoch began, and when it was written down."""

    def __init__(self) -> None:
        self.began: list[float] = []
        self.written: list[float] = []

    def start(self, stage: str, total: int) -> None:
        if stage.startswith("epoch ") and "validation" not in stage:
            self.began.append(time.perf_counter())

    def say(self, text: str) -> None:
        if len(self.written) < len(self.began):
            self.written.append(time.perf_counter())


def train_ours(
    rows: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    max_tokens: int,
    seed: int,
) -> dict[str, Any]:
    """Train as ``dimec train`` does; seconds of an epoch, and what was learned."""
    from dimec.runs.train import settings_of
    from dimec.training import train_run

    values = {
        "task": TASK,
        "backbone": BACKBONE,
        "exits": EXITS,
        "max_train_rows": rows or None,
        "max_tokens": max_tokens,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "patience": epochs,  # never stops early
    }
    clock = _Clock()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        record = train_run(settings_of(values, seed), out, progress=clock).training()
    history = record["history"]
    trained = [epoch["seconds"] for epoch in history]
    validated = [epoch["seconds"] + epoch["validation_seconds"] for epoch in history]
    written = [end - start for start, end in zip(clock.began, clock.written, strict=True)]
    return {
        "epoch": {
            part: sum(values) / epochs
            for part, values in zip(_OURS, (trained, validated, written), strict=True)
        },
        "epochs": {"training": trained, "with validation": validated},
        "accuracy": history[-1]["accuracy"][-1],
        "precision": record["precision"],
        "peak": peak_rss(),
    }


def train_theirs(
    rows: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    max_tokens: int,
    seed: int,
) -> dict[str, Any]:
    """Train with the Trainer; seconds of an epoch, and what was learned."""
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        Trainer,
        TrainingArguments,
    )

    from dimec.training.prepare import use_bf16

    folder = str(packaged_backbone(BACKBONE))
    splits = _splits(rows, seed)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=len(splits.train.label_names)
    )

    def encoded(dataset: Any) -> list[dict[str, Any]]:
        tokens = tokenizer(list(dataset.texts), truncation=True, max_length=max_tokens)
        columns = {**tokens, "label": dataset.labels.tolist()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    with tempfile.TemporaryDirectory() as out:
        arguments = TrainingArguments(
            output_dir=out,
            num_train_epochs=epochs,
            per_device_train_batch_size=batch_size,
            learning_rate=learning_rate,
            bf16=use_bf16("auto"),
            use_cpu=not torch.cuda.is_available(),
            save_strategy="no",
            report_to="none",
            seed=seed,
        )
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=encoded(splits.train),
            processing_class=tokenizer,
        )
        taken = trainer.train().metrics["train_runtime"]
        peak = peak_rss()
        predicted = trainer.predict(encoded(splits.validation)).predictions.argmax(axis=1)
    return {
        "epoch": {"training": taken / epochs},
        "accuracy": float((predicted == splits.validation.labels).mean()),
        "precision": "bf16" if trainer.accelerator.mixed_precision == "bf16" else "fp32",
        "peak": peak,
    }
