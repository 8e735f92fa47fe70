"""Exit 0 of a run: fitted behind its model, kept in its directory, and taken up from there."""

from __future__ import annotations

import itertools
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from dimec.base.errors import DataError, MismatchError, MissingExtraError
from dimec.bundle.exit0 import Exit0
from dimec.cartography import softmax
from dimec.runs.workspace import RunDirectory
from dimec.training.exit0.design import plan_of
from dimec.training.exit0.fit import Exit0Settings, Fitted, fit_exit0
from dimec.training.inference import predict

if TYPE_CHECKING:
    from dimec.training.prepare import TrainState

_MOST_SCORES = 30_000_000  # rows times classes of the fit, for memory's sake


def require_learner() -> None:
    """Refuse to begin a training that could not be finished.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    if find_spec("sklearn") is None:
        raise MissingExtraError("scikit-learn", "train", "fitting exit 0")


def fit_of_run(state: TrainState, fingerprint: str) -> Fitted | None:
    """Exit 0 of a run whose model is trained; None where its rows are too few to learn from.

    Every process runs its part of the training rows through the model, for what the last exit says
    of them, and the first one fits; the others get None. A student's exit 0 learns from what the
    teacher says of them.

    Args:
        state: with the weights to keep in the model.
        fingerprint: of the saved model.
    """
    settings = Exit0Settings(seed=state.settings.seed)
    labels, classes = state.splits.train.labels, len(state.model.label_names)
    order = np.random.default_rng(settings.seed).permutation(len(labels))
    rows = np.sort(order[: min(settings.rows, max(1, _MOST_SCORES // classes))])
    encoded = state.encoded["train"].take(rows)
    stage = "what the last exit says of training rows"
    logits, embeddings = predict(state.model, encoded, state.accelerator, state.progress, stage)
    teacher = logits[:, -1] if state.lesson is None else state.lesson.logits[rows]
    if not state.accelerator.is_main_process:
        return None
    ids, words = encoded.columns["input_ids"], cast(Any, state.model.encoder).get_input_embeddings()
    plan = plan_of(
        ids,
        encoded.offsets,
        vocabulary=words.num_embeddings,
        classes=classes,
        width=embeddings.shape[1],
        left_out=left_out(state.tokenizer),
        pairs=state.splits.train.pairs is not None,
        separator=separator_of(state.tokenizer),
    )
    try:
        return fit_exit0(
            plan,
            ids,
            encoded.offsets,
            embeddings,
            labels[rows],
            classes=classes,
            model=fingerprint,
            teacher=softmax(teacher).astype(np.float32),
            settings=settings,
            progress=state.progress,
        )
    except DataError as error:
        state.progress.say(f"no exit 0: {error}")
        return None


def exit0_of(run: RunDirectory) -> Exit0 | None:
    """What a finished run keeps; None where it was trained without.

    Raises:
        ArtefactError: it is missing or damaged, or belongs to another model.
    """
    if own := run.tier_runs():  # the first tier's model reads its own embeddings
        return exit0_of(next(iter(own.values())))
    training = run.training()
    if not training.get("exit0"):
        return None
    exit0 = Exit0.load(run.exit0_path, f"dimec train --out {run.typed} --overwrite")
    if exit0.model != training["model"]:
        raise MismatchError(
            f"{run.exit0_path} belongs to another model than that of {run.told}; train again with: "
            f"dimec train --out {run.typed} --overwrite"
        )
    return exit0


def left_out(tokenizer: Any) -> set[int]:
    """Ids that never have weights: special tokens, and what was added to the vocabulary."""
    return {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}


def separator_of(tokenizer: Any) -> int:
    """The id that ends the first text of a pair; -1 where none does."""
    special = set(tokenizer.all_special_ids)
    ids = tokenizer("a", "a")["input_ids"]
    inside = [here for before, here in itertools.pairwise(ids) if before not in special]
    return next((one for one in inside if one in special), -1)
