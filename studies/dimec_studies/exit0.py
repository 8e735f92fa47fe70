"""How good exit 0 is by itself, beside what else costs no more than the embedding layer.

Of each task at most 20,000 training rows, labels alone, and the embeddings of the packaged
``minilm-l6`` as it comes; judged on GLUE's development rows, and on the test split of other tasks.

    python -m dimec_studies.exit0 --data-dir DATA --out results/exit0/alone.json
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dimec.base.arrays import Float32Array, IntArray
from dimec.base.metrics import accuracy, confusion_matrix, score
from dimec.base.storage import write_json
from dimec.data import Dataset, load_task
from dimec.data.backbones import backbone_source
from dimec.data.splits import split_dataset, stratified_sample

if TYPE_CHECKING:
    from dimec.training.batching import Encoded
    from dimec.training.exit0.design import Plan

BACKBONE = "minilm-l6"
MOVIES = "vader/movies"
TASKS = (*(f"glue/{name}" for name in ("sst2", "cola", "mrpc", "qnli", "qqp", "mnli")), MOVIES)
MOST_ROWS, MAX_TOKENS, SEED, FOLDS = 20_000, 128, 0, 3


@dataclass(frozen=True, eq=False)
class Read:
    """Rows as the embedding layer sees them."""

    rows: Dataset
    encoded: Encoded
    embeddings: Float32Array

    @property
    def ids(self) -> Any:
        """Token ids, end to end."""
        return self.encoded.columns["input_ids"]


class Reader:
    """The tokenizer and the embedding layer of the encoder."""

    def __init__(self) -> None:
        from dimec.training.prepare import load_tokenizer
        from dimec.training.pretrained import load_encoder

        source = backbone_source(BACKBONE)
        self.tokenizer = load_tokenizer(source)
        encoder: Any = load_encoder(source)
        self.layer = encoder.eval().embeddings
        self.vocabulary = int(encoder.get_input_embeddings().num_embeddings)

    def read(self, rows: Dataset) -> Read:
        """Token ids, and the mean over the tokens of what the embedding layer gives."""
        import torch

        from dimec.training.batching import encode, inference_batches

        encoded = encode(self.tokenizer, rows, MAX_TOKENS)
        pooled: dict[int, Any] = {}
        for some in inference_batches(encoded.lengths):
            inputs = encoded.batch(some, torch.device("cpu"))
            mask = inputs.pop("attention_mask")[..., None]
            with torch.inference_mode():
                mean = (self.layer(**inputs) * mask).sum(1) / mask.sum(1)
            pooled |= dict(zip(some.tolist(), mean.numpy(), strict=True))
        return Read(rows, encoded, np.stack([pooled[row] for row in range(len(rows))]))

    def plan(self, train: Read, **options: Any) -> Plan:
        """Which weights exit 0 has; ``options`` as of ``plan_of``."""
        from dimec.training.exit0.design import plan_of
        from dimec.training.exit0.run import left_out, separator_of

        return plan_of(
            train.ids,
            train.encoded.offsets,
            vocabulary=self.vocabulary,
            classes=len(train.rows.label_names),
            width=train.embeddings.shape[1],
            left_out=left_out(self.tokenizer),
            pairs=train.rows.pairs is not None,
            separator=separator_of(self.tokenizer),
            **options,
        )


def alone(tasks: tuple[str, ...], data_dir: Path | None) -> dict[str, Any]:
    """The result: for each task, what every method scores."""
    from dimec.training.finish import versions

    reader = Reader()
    rows: list[dict[str, Any]] = []
    for task in tasks:
        train, test = (reader.read(part) for part in _parts(task, data_dir))
        methods = {name: _scored(test.rows, said) for name, said in _methods(reader, train, test)}
        rows.append(
            {
                "task": task,
                "metric": test.rows.metric,
                "train_rows": len(train.rows),
                "test_rows": len(test.rows),
                "methods": methods,
            }
        )
        told = ", ".join(f"{name} {100 * one['accuracy']:.1f}" for name, one in methods.items())
        print(f"{task}: {told}", flush=True)
    return {
        "item": "alone",
        "backbone": BACKBONE,
        "max_tokens": MAX_TOKENS,
        "max_train_rows": MOST_ROWS,
        "seed": SEED,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": versions(),
        "rows": rows,
    }


def _parts(task: str, data_dir: Path | None) -> tuple[Dataset, Dataset]:
    """The rows that are fitted on, and those that are judged by."""
    dataset = load_task(task, data_dir=data_dir if task.startswith("glue/") else None)
    splits = split_dataset(dataset, seed=SEED)
    train, test = splits.train, splits.test
    if dataset.predefined is not None:
        parts = np.asarray(dataset.predefined)
        train = dataset.take(np.flatnonzero(parts == "train"))
        test = dataset.take(np.flatnonzero(parts == "validation"))
    if len(train) > MOST_ROWS:
        train = stratified_sample(train, MOST_ROWS, seed=SEED)
    return train, test


def _scored(rows: Dataset, said: IntArray) -> dict[str, float]:
    """Accuracy, and the task's own score."""
    counts = confusion_matrix(rows.labels, said, len(rows.label_names))
    return {"accuracy": accuracy(counts), "score": score(rows.metric, counts)}


def _methods(reader: Reader, train: Read, test: Read) -> Iterator[tuple[str, IntArray]]:
    """Each method's name and the classes (N,) that it gives the test rows."""
    labels = train.rows.labels
    yield "most frequent class", np.full(len(test.rows), np.bincount(labels).argmax())
    blind = (_blind(train), _blind(test))
    pairs = train.rows.pairs is not None
    yield "tokens", _exit0(reader.plan(blind[0], bigrams=False), *blind)
    if not pairs:
        yield "tokens and neighbours", _exit0(reader.plan(blind[0]), *blind)
    yield "exit 0", _exit0(reader.plan(train), train, test)
    for name, method in _of_embeddings().items():
        yield name, method.fit(train.embeddings, labels).predict(test.embeddings)


def _of_embeddings() -> dict[str, Any]:
    """What sees the pooled embedding alone; settings by cross-validation."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200, tol=1e-3))
    strengths = {"logisticregression__C": [1e-3, 1e-2, 1e-1, 1.0]}
    neighbours = KNeighborsClassifier(algorithm="brute")
    return {
        "embedding, linear": GridSearchCV(linear, strengths, cv=FOLDS, scoring="neg_log_loss"),
        "embedding, nearest class centre": NearestCentroid(),
        "embedding, nearest neighbours": GridSearchCV(
            neighbours, {"n_neighbors": [5, 15, 45]}, cv=FOLDS
        ),
    }


def _blind(read: Read) -> Read:
    """The same rows for a classifier that does not see embeddings."""
    return replace(read, embeddings=np.zeros_like(read.embeddings))


def _exit0(plan: Plan, train: Read, test: Read) -> IntArray:
    from dimec.training.exit0.fit import fit_exit0

    fitted = fit_exit0(
        plan,
        train.ids,
        train.encoded.offsets,
        train.embeddings,
        train.rows.labels,
        classes=len(train.rows.label_names),
        model=BACKBONE,
    )
    said = fitted.exit0.many(test.ids, test.encoded.offsets, test.embeddings)
    classes: IntArray = said.argmax(axis=1)
    return classes


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, help="the folder that holds GLUE's tasks")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    given = parser.parse_args()
    write_json(given.out, alone(tuple(given.tasks), given.data_dir))


if __name__ == "__main__":
    main()
