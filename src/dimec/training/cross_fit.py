"""Cross-fitting: what models say of training rows that they have not seen.

A policy is fitted to what a model says of rows that it was not trained on. Where those are few, as
in a small task's validation split, the fit takes their chances for facts. So K more models are
trained, each without one part of the training rows, and asked about that part: together they speak
of every training row as the final model, trained on all of them, would of rows that are new to it
(Wolpert, "Stacked generalization", Neural Networks 5, 1992).

The final model comes first, and with its ``training.json`` the run is trained. Then part after
part; ``training.json`` gets its ``cross_fit`` last of all, once the whole out-of-fold trace stands.
A run that was killed in between goes on with the part that it was at, and until it is done nobody
takes it for a run without cross-fitting: :meth:`dimec.runs.workspace.RunDirectory.cross_fit` says
that it is not finished.

A tier whose classifier is taken as somebody else has trained it says the same in every part. If
that was on these very rows, cross-fitting cannot tell.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dimec.base.arrays import IntArray
from dimec.base.errors import ArtefactError, ConfigError, DataError, option
from dimec.base.progress import NoProgress, Progress
from dimec.base.storage import atomic_write, write_json
from dimec.data import Dataset, Splits
from dimec.data.dataset import SPLITS
from dimec.runs.intake import Intake, take_in
from dimec.runs.out_of_fold import FOLD
from dimec.runs.paths import OUT_OF_FOLD
from dimec.runs.workspace import RunDirectory
from dimec.settings.run import RunSettings
from dimec.traces.likeness import Likeness, likeness
from dimec.traces.stacking import stack
from dimec.traces.trace import Trace
from dimec.training.prepare import discard, give_up_weights, make_accelerator
from dimec.training.transfer import record_rows
from dimec.training.unlabelled import read_unlabelled


def train_cross_fitted(
    train: Callable[..., RunDirectory],
    settings: RunSettings,
    out: Path | str,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    intake: Intake | None = None,
) -> RunDirectory:
    """Train a run, and then a model for each part of its training rows, trained without it.

    Args:
        train: trains a run of the settings' recipe.
        settings, out, overwrite, progress, intake: as :func:`dimec.training.train_run` has them.

    Raises:
        ConfigError: several processes.
        DataError: more parts than training rows of a class.
        DimecError: as :func:`dimec.training.train_run`.
    """
    if make_accelerator().num_processes > 1:
        raise ConfigError(
            f"{option('cross_fit')} trains one model after the other; start it without accelerate "
            "launch"
        )
    progress = progress or NoProgress()
    intake = intake or take_in(settings, progress)
    rows = intake.splits.train
    parts = parts_of_rows(rows, settings.distillation.cross_fit, settings.seed)  # before the work
    run = train(settings, out, overwrite=overwrite, progress=progress, intake=intake)
    with run.locked():
        if not _is_done(run):
            _keep_unlabelled(run, intake.splits)
            _cross_fit(run, train, rows, parts, progress)
    return run


def _keep_unlabelled(run: RunDirectory, splits: Splits) -> None:
    """Keep the texts without labels that joined the distillation, for the parts' models.

    Those of the file that are training rows were left out; a part's model, which is not trained on
    all rows, would take them up, and with them rows that it is to be asked about.
    """
    settings = run.settings()
    if (path := settings.distillation.unlabelled) is None:
        return
    texts = read_unlabelled(Path(path), splits, settings.data, NoProgress())
    pairs = texts.pairs if texts.pairs is not None else [None] * len(texts)
    lines = [
        json.dumps({"text": text} | ({} if pair is None else {"pair": pair}), ensure_ascii=False)
        for text, pair in zip(texts.texts, pairs, strict=True)
    ]
    atomic_write(_unlabelled_path(run), "".join(f"{line}\n" for line in lines))


def _unlabelled_path(run: RunDirectory) -> Path:
    return run.cross_fit_path / "unlabelled.jsonl"


def parts_of_rows(rows: Dataset, count: int, seed: int) -> IntArray:
    """(N,) the part that each row is in; see :func:`parts_of`.

    Raises:
        DataError: a class has fewer rows than there are parts.
    """
    codes, sizes = np.unique(rows.labels, return_counts=True)
    if len(sizes) and sizes.min() < count:
        fewest = int(sizes.argmin())
        raise DataError(
            f"{rows.task}: the class {rows.label_names[codes[fewest]]!r} has {sizes[fewest]} "
            f"training rows, and {option('cross_fit')} wants one for each of {count} parts; take "
            "fewer parts, or more rows of that class"
        )
    return parts_of(rows.labels, count, seed)


def parts_of(labels: IntArray, count: int, seed: int) -> IntArray:
    """Deal rows out to parts, class by class, so that neither classes nor parts are uneven.

    The numbers of rows of a class in any two parts differ by at most 1, and so do the parts' sizes.
    Which rows of a class go where is drawn from numpy's raw PCG64, the same everywhere.

    Args:
        labels: (N,) codes of classes.
        count: K, of the parts.
        seed: of the draw.

    Returns:
        (N,) numbers from 0 to K - 1.

    Example:
        >>> parts_of(np.array([0, 0, 1, 1, 1]), 2, seed=0).tolist()
        [0, 1, 0, 1, 0]
    """
    keys = np.random.PCG64(np.random.SeedSequence([seed, count])).random_raw(len(labels))
    parts = np.empty(len(labels), np.int64)
    parts[np.lexsort((keys, labels))] = np.arange(len(labels)) % count
    return parts


def _is_done(run: RunDirectory) -> bool:
    try:
        return run.out_of_fold() is not None
    except ArtefactError:
        return False


def _cross_fit(
    run: RunDirectory,
    train: Callable[..., RunDirectory],
    rows: Dataset,
    parts: IntArray,
    progress: Progress,
) -> None:
    """Train the parts' models, and write down what they say; the record last."""
    final, folds, held = run.trace("validation"), [], []
    count = run.settings().distillation.cross_fit
    for part in range(count):
        fold = _trained_without(run, part, train, rows, parts, progress)
        folds.append(fold)
        held.append(fold.trace(OUT_OF_FOLD))
    found = likeness(final, [fold.trace("validation") for fold in folds])
    trace = together(final, held, parts)
    trace.save(run.out_of_fold_path)
    record = run.training()
    record["cross_fit"] = _record(folds, trace, final, found)
    write_json(run.training_path, record)
    progress.say(f"cross-fitted in {count} parts: {found.told()}")


def _trained_without(
    run: RunDirectory,
    part: int,
    train: Callable[..., RunDirectory],
    rows: Dataset,
    parts: IntArray,
    progress: Progress,
) -> RunDirectory:
    """The run that a part is left out of, with what its model says of that part.

    Its rows are named by a file, as any choice among training rows is; once it has spoken, only its
    record and its traces stay.
    """
    fold, count = RunDirectory(run.cross_fit_path / str(part)), int(parts.max()) + 1
    rest, held = (rows.take(np.flatnonzero(mask)) for mask in (parts != part, parts == part))
    chosen = run.cross_fit_path / f"rows-{part}.jsonl"
    lines = [json.dumps({"guid": guid}, ensure_ascii=False) + "\n" for guid in rest.guids]
    atomic_write(chosen, "".join(lines))
    settings = fold_settings(run.settings(), chosen.resolve(), _unlabelled_path(run).resolve())
    if not _has_spoken(fold, settings, held):
        progress.say(
            f"cross-fitting, part {part + 1} of {count}: {len(rest):,} rows train, "
            f"{len(held):,} are held out"
        )
        if fold.config_path.exists() and not _goes_on(fold, settings):
            discard(fold)
        train(settings, fold.path, progress=progress, intake=take_in(settings, NoProgress()))
        said = record_rows(fold, held, split=OUT_OF_FOLD, progress=progress)
        said.save(fold.out_of_fold_path)
    _give_up(fold)
    return fold


def fold_settings(settings: RunSettings, train_rows: Path, unlabelled: Path) -> RunSettings:
    """The settings of a run that a part is left out of: those of the whole, on fewer rows.

    Args:
        settings: of the whole.
        train_rows: the file that names the rows to train on.
        unlabelled: that of the texts without labels, where the whole has some.
    """
    data = settings.data.model_copy(update={"train_rows": str(train_rows)})
    update: dict[str, Any] = {"cross_fit": 0}
    if settings.distillation.unlabelled is not None:
        update["unlabelled"] = str(unlabelled)
    distillation = settings.distillation.model_copy(update=update)
    return settings.model_copy(update={"data": data, "distillation": distillation})


def _has_spoken(fold: RunDirectory, settings: RunSettings, held: Dataset) -> bool:
    """Whether a part's traces stand already, of these settings and rows.

    Where the files lie that named the rows and texts does not matter: a run may have been moved.
    """
    try:
        known = fold.settings()
        differences = fold_settings(known, Path(), Path()).differences(
            fold_settings(settings, Path(), Path())
        )
        if differences:
            return False
        fold.trace("validation")
        return fold.trace(OUT_OF_FOLD).guids == tuple(held.guids)
    except (ArtefactError, ConfigError):
        return False


def _goes_on(fold: RunDirectory, settings: RunSettings) -> bool:
    """Whether training can go on there: with the same settings, and weights where it is done."""
    models = [one.model_path for one in fold.tier_runs().values()] or [fold.model_path]
    whole = not fold.training_path.exists() or all(path.exists() for path in models)
    return whole and not fold.settings().differences(settings)


def _give_up(fold: RunDirectory) -> None:
    """Remove all of a part's run that is large and has been made use of."""
    fold.trace_path("test").unlink(missing_ok=True)
    for one in (fold, *fold.tier_runs().values()):
        give_up_weights(one)
    for one in fold.tier_runs().values():
        for split in SPLITS[1:]:
            one.trace_path(split).unlink(missing_ok=True)


def together(final: Trace, held: list[Trace], parts: IntArray) -> Trace:
    """The out-of-fold trace: what each part's model says of its rows, in the rows' order.

    It is called the final model's, for it stands for what that would say of new rows; the column
    ``fold`` says which part's model spoke.

    Args:
        final: a trace of the final model.
        held: of part 0, 1, …, its rows in their order.
        parts: (N,) the part of each row.

    Raises:
        MismatchError: the parts' models have other exits than the final one.
    """
    named = [
        replace(
            one,
            model=final.model,
            models=final.models,
            extra={**one.extra, FOLD: np.full(len(one), float(part))},
        )
        for part, one in enumerate(held)
    ]
    stack([final.take(np.arange(0)), *named])  # the same exits, and no other order of classes
    return stack(named).take(np.argsort(np.argsort(parts, kind="stable"), kind="stable"))


def _record(
    folds: list[RunDirectory], trace: Trace, final: Trace, found: Likeness
) -> dict[str, Any]:
    """What ``training.json`` holds of it; accuracies are by exit."""
    return {
        "folds": len(folds),
        "rows": len(trace),
        "seconds": round(sum(map(_seconds, folds)), 1),
        **found.to_json(),
        "accuracy": {
            OUT_OF_FOLD: trace.correct.mean(axis=0).tolist(),
            "validation": final.correct.mean(axis=0).tolist(),
        },
    }


def _seconds(run: RunDirectory) -> float:
    """What the epochs of a run took, those of all its tiers' models."""
    runs = list(run.tier_runs().values()) or [run]
    epochs = [epoch for one in runs for epoch in one.training()["history"]]
    return sum(float(epoch["seconds"] + epoch["validation_seconds"]) for epoch in epochs)
