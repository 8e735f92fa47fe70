"""The trace of another task's rows: how a trained model fares where it was not trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from dimec.base.errors import ConfigError, DataError, option
from dimec.base.progress import Progress
from dimec.data import Dataset, split_dataset
from dimec.data.labels import split_called
from dimec.data.splits import check_part, stratified_sample
from dimec.data.tasks import file_of, saved_folder
from dimec.runs.rows import read_dataset
from dimec.runs.workspace import RunDirectory
from dimec.settings.data import DataSettings, absolute_data
from dimec.traces.trace import Trace
from dimec.training.batching import encode
from dimec.training.exit0.run import exit0_of
from dimec.training.export.parity_rows import takes_pairs
from dimec.training.finish import check_model
from dimec.training.inference import record_trace
from dimec.training.own_finish import join_tiers
from dimec.training.prepare import load_tokenizer, make_accelerator
from dimec.training.ready import load_model
from dimec.training.recording import Workers, record_by_workers

STREAM = "stream"


def record_other(
    run: RunDirectory,
    data: DataSettings,
    *,
    rows: Literal["all", "test"] = "all",
    limit: int | None = None,
    seed: int | None = None,
    dataset: Dataset | None = None,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Trace:
    """Run a trained model once over the rows of another task, in the task's order.

    The labels are matched by name: the trace has the model's codes. Its split is ``"stream"``.

    Args:
        run: finished.
        data: where the rows come from.
        rows: all of them, or the test split alone.
        limit: keep a stratified, seeded sample of this many.
        seed: of the split and the sample; that of the run by default.
        dataset: the rows of ``data``, where they are read already.
        workers: who does it in place of this process, on graphs; the same but for rounding.
        progress: where to report to.

    Raises:
        ConfigError: the rows include those that the model was trained on, or a limit below the
            number of classes.
        DataError: the data cannot be read, its labels have other names than the model's, or it has
            pairs of texts where the model takes one text, or the other way round.
        ArtefactError: the run is not finished, or damaged.
    """
    check_part(rows)
    fingerprint = check_model(run)
    settings = run.settings()
    seed_is_idle = seed is not None and limit is None
    seed = settings.seed if seed is None else seed
    data = absolute_data(data)
    read = read_dataset(data) if dataset is None else dataset
    if seed_is_idle and _is_own(run, read, data) and rows == "test":
        raise ConfigError(
            f"{option('seed')} does nothing here: the run's own test split is taken, as it was "
            f"divided; leave it out, or take a sample of it with {option('limit')}"
        )
    _check_pairs(run, read)
    dataset = _part(run, read, data, rows, seed)
    dataset = _with_labels_of(run, dataset)
    if limit is not None:
        dataset = stratified_sample(dataset, limit, seed=seed)
    if workers is not None:
        return record_by_workers(run, dataset, workers, split=STREAM, progress=progress)
    return _recorded(run, dataset, STREAM, fingerprint, progress)


def record_rows(
    run: RunDirectory, dataset: Dataset, *, split: str, progress: Progress | None = None
) -> Trace:
    """Run a run's model, or each tier's, once over rows that have its label codes, in their order.

    Args:
        run: finished.
        dataset: the rows.
        split: what the trace calls them.
        progress: where to report to.

    Raises:
        ArtefactError: the run is not finished, or damaged.
    """
    return _recorded(run, dataset, split, check_model(run), progress)


def _recorded(
    run: RunDirectory,
    dataset: Dataset,
    split: str,
    fingerprint: str,
    progress: Progress | None,
) -> Trace:
    if own := run.tier_runs():
        traces = {
            name: _recorded(one, dataset, split, str(one.training()["model"]), progress)
            for name, one in own.items()
        }
        return join_tiers(traces, dataset)
    model = load_model(run.model_path)
    tokenizer = load_tokenizer(str(run.model_path))
    return record_trace(
        model.to(make_accelerator().device),
        dataset,
        encode(tokenizer, dataset, run.settings().model.max_tokens),
        split=split,
        fingerprint=fingerprint,
        progress=progress,
        exit0=exit0_of(run),
    )


def _part(run: RunDirectory, dataset: Dataset, data: DataSettings, rows: str, seed: int) -> Dataset:
    """The rows that are asked for, none of which the model was trained on."""
    if _is_own(run, dataset, data):
        if rows == "all":
            raise ConfigError(
                f"{run.path} was trained on rows of {dataset.task}; take its test split alone "
                "with --rows test, or another task"
            )
        return run.splits().test
    if rows == "all":
        return dataset
    return split_dataset(dataset, seed=seed, predefined=data.predefined_splits).test


def _is_own(run: RunDirectory, dataset: Dataset, data: DataSettings) -> bool:
    """Whether the run was trained on rows of this data set."""
    # The first line is that of the data set, whatever rows of it were chosen.
    own = run.data_path.read_text("utf-8").split()[0]
    return dataset.fingerprint() == own or _is_a_part(run, data)


def _is_a_part(run: RunDirectory, data: DataSettings) -> bool:
    """Whether the rows are of a file, or a saved split, that the run was trained or chosen by."""
    trained = run.settings().data
    own = {file_of(file) for file in (trained.train, trained.validation) if file is not None}
    found = None if data.task is None else file_of(data.task)
    if found is not None and trained.task is not None and (folder := saved_folder(trained.task)):
        _, part = found
        saved = part if part.suffix == "" else part.parent  # or one of the files in it
        return saved.parent == folder and split_called(saved.name) in ("train", "validation")
    return found is not None and found in own


def _check_pairs(run: RunDirectory, dataset: Dataset) -> None:
    """Refuse rows of one text for a model of pairs, and the other way round.

    A tokenizer joins any two texts, and an encoder takes whatever is joined, so neither objects:
    the trace would be of inputs that the model never learnt.

    Raises:
        DataError: says which.
    """
    pairs = takes_pairs(run)
    if pairs is not None and pairs != (dataset.pairs is not None):
        takes, has = ("pairs of texts", "one text") if pairs else ("one text", "pairs")
        raise DataError(
            f"the model of {run.path} takes {takes}, and the rows of {dataset.task} have {has}; "
            f"name the columns with {option('text_column')} and {option('pair_column')}, or give "
            "other rows"
        )


def _with_labels_of(run: RunDirectory, dataset: Dataset) -> Dataset:
    """The data set with the label codes of a run's model.

    Raises:
        DataError: the names of the labels are not the same.
    """
    names = tuple(run.training()["labels"])
    if sorted(names) != sorted(dataset.label_names):
        raise DataError(
            f"{dataset.task} has the labels {', '.join(dataset.label_names)}, the model was "
            f"trained for {', '.join(names)}; give rows with the same labels"
        )
    codes = np.array([names.index(name) for name in dataset.label_names], np.int64)
    return replace(dataset, labels=codes[dataset.labels], label_names=names)
