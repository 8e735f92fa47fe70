"""Fit exit 0 to the training rows of a run, once its model is trained.

Two logistic regressions, one on the other: the first reads the pooled embedding; the second looks
up tokens, and takes what the first said of rows that it had not seen as further features. Both are
linear, so that what they say together is one sum of weights, :class:`dimec.bundle.exit0.Exit0`.

They learn from labels and from the probabilities of the model's last exit, which say of a text how
much of either class is in it (distillation, Hinton et al. 2015, arXiv 1503.02531). How strongly
weights are drawn to zero, and by which power of the number of tokens sums are divided, is chosen by
cross-validation: the lowest cross-entropy.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from dimec.base.arrays import Float32Array, FloatArray, IntArray
from dimec.base.errors import ConfigError, DataError
from dimec.base.progress import NoProgress, Progress
from dimec.bundle.exit0 import POWERS, Exit0
from dimec.bundle.exit0_rows import Whole
from dimec.cartography import softmax
from dimec.training.exit0.design import Design, Plan, design_of
from dimec.training.exit0.weights import Linear, assembled, directions_of

_LEAST = 1e-3  # share of a class in a target, below which it is left out
_STEPS, _TOLERANCE = 100, 1e-3  # of L-BFGS
_OF_EMBEDDING = (1e-3, 1e-2, 1e-1)  # inverse strengths of the penalty that are tried
_OF_TOKENS = (0.03, 0.1, 0.3)
_HALF = 0.5  # the power with which the strength is chosen


@dataclass(frozen=True)
class Exit0Settings:
    """How exit 0 is fitted.

    Attributes:
        soft: the weight of the last exit's probabilities, beside the labels' 1 - soft.
        temperature: by which the last exit's log-odds are divided: above 1 they are less sure.
        folds: of the cross-validation.
        tuning_rows: on how many rows strengths and power are chosen.
        rows: on how many rows it is fitted, at most.
        seed: of the folds and of the rows.

    Raises:
        ConfigError: a number out of its range.
    """

    soft: float = 0.5
    temperature: float = 2.0
    folds: int = 3
    tuning_rows: int = 20_000
    rows: int = 60_000
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.soft <= 1 and 0 < self.temperature < float("inf")):
            raise ConfigError(
                "exit 0 needs a soft weight from 0 to 1 and a temperature above 0, got "
                f"{self.soft} and {self.temperature}"
            )
        if min(self.folds, self.tuning_rows, self.rows) < 2:
            raise ConfigError("exit 0 needs two folds and two rows or more")


@dataclass(frozen=True, eq=False)
class Fitted:
    """Exit 0, and what was chosen in its fit.

    Attributes:
        exit0: the weights.
        strengths: inverse strengths of the penalties, of the embedding's map and of tokens.
        loss: cross-entropy on rows not fitted on, in nats a row.
    """

    exit0: Exit0
    strengths: tuple[float, float]
    loss: float

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        weights = self.exit0
        return {
            "tokens": len(weights.ids),
            "bigrams": len(weights.bigrams),
            "power": weights.power,
            "strengths": list(self.strengths),
            "loss": self.loss,
        }


def fit_exit0(
    plan: Plan,
    ids: Whole,
    offsets: IntArray,
    embeddings: Float32Array,
    labels: IntArray,
    *,
    classes: int,
    model: str,
    teacher: Float32Array | None = None,
    settings: Exit0Settings = Exit0Settings(),
    progress: Progress | None = None,
) -> Fitted:
    """Fit exit 0 to N rows.

    Args:
        plan: which weights it has; see :func:`dimec.training.exit0.design.plan_of`.
        ids: the rows' token ids, end to end.
        offsets: (N + 1,) where each row begins.
        embeddings: (N, D) pooled.
        labels: (N,) codes 0 … C - 1.
        classes: C.
        model: the fingerprint of the model behind the embeddings.
        teacher: (N, C) probabilities at the last exit; None where labels are all there is.
        settings: of the fit.
        progress: where to report to.

    Raises:
        DataError: fewer than two classes with two rows each: nothing can be learnt.
    """
    if (np.bincount(labels, minlength=classes) >= 2).sum() < 2:
        raise DataError("exit 0 needs two rows or more of two classes or more to learn from")
    rows = _Rows.of(labels, classes, teacher, settings)
    progress = progress or NoProgress()
    fits = len(_OF_EMBEDDING) + len(_OF_TOKENS) + len(POWERS) - 1
    progress.start("fitting exit 0", (fits + 1) * settings.folds + 2)
    mean, spread = embeddings.mean(axis=0, dtype=np.float64), embeddings.std(axis=0) + 1e-6
    standard = (embeddings - mean) / spread
    tuned = rows.some(settings)
    losses = {
        strength: tuned.loss(standard[tuned.rows], strength, progress) for strength in _OF_EMBEDDING
    }
    of_embedding = min(losses, key=losses.__getitem__)
    unseen = rows.unseen(standard, of_embedding, progress)
    mapped = _fit(standard, rows.targets, of_embedding)
    progress.advance(1)
    design = _Joint(design_of(plan, ids, offsets), unseen)
    power, of_tokens, loss = _choose(design.take(tuned.rows), tuned, design.typical, progress)
    joint = _fit(design.features(power, design.typical), rows.targets, of_tokens)
    progress.advance(1)
    progress.end()
    embedded = Linear(mapped.weights / spread, mapped.bias - mapped.weights @ (mean / spread))
    exit0 = assembled(
        plan,
        joint,
        embedded,
        directions_of(joint(design.take(tuned.rows).features(power, design.typical))),
        typical=design.typical,
        power=power,
        prior=(np.bincount(labels, minlength=classes) + 1) / (len(labels) + classes),
        model=model,
    )
    return Fitted(exit0, (of_embedding, of_tokens), loss)


def targets_of(
    labels: IntArray, classes: int, teacher: Float32Array | None, settings: Exit0Settings
) -> FloatArray:
    """(N, C) what is to be learnt: labels, and the last exit's probabilities, softened.

    Example:
        >>> settings = Exit0Settings(soft=0.5, temperature=2.0)
        >>> targets_of(np.array([1]), 2, np.array([[0.8, 0.2]], np.float32), settings).round(3)
        array([[0.333, 0.667]])
    """
    targets = np.zeros((len(labels), classes))
    targets[np.arange(len(labels)), labels] = 1.0
    if teacher is None or settings.soft == 0:
        return targets
    logits = np.log(np.maximum(teacher.astype(np.float64), 1e-12)) / settings.temperature
    return (1 - settings.soft) * targets + settings.soft * softmax(logits)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows to fit on: their places among all, their targets (N, C), and the fold of each."""

    rows: IntArray
    targets: FloatArray
    folds: IntArray

    @classmethod
    def of(
        cls,
        labels: IntArray,
        classes: int,
        teacher: Float32Array | None,
        settings: Exit0Settings,
    ) -> _Rows:
        """All rows; those of a class are dealt to the folds in turn."""
        order = np.random.default_rng(settings.seed).permutation(len(labels))
        order = order[np.argsort(labels[order], kind="stable")]
        folds = np.empty(len(labels), np.int64)
        folds[order] = np.arange(len(labels)) % settings.folds
        targets = targets_of(labels, classes, teacher, settings)
        return cls(np.arange(len(labels)), targets, folds)

    def some(self, settings: Exit0Settings) -> _Rows:
        """As many as are tuned on."""
        order = np.random.default_rng(settings.seed + 1).permutation(len(self.rows))
        rows = np.sort(order[: settings.tuning_rows])
        return _Rows(rows, self.targets[rows], self.folds[rows])

    def unseen(self, features: Any, strength: float, progress: Progress) -> FloatArray:
        """(N, K) log-odds of each row from a fit to the other folds."""
        columns = 1 if self.targets.shape[1] == 2 else self.targets.shape[1]
        scores = np.zeros((len(self.rows), columns))
        for fold in range(int(self.folds.max(initial=0)) + 1):
            here = self.folds == fold
            fitted = _fit(features[~here], self.targets[~here], strength)
            scores[here] = fitted(features[here])
            progress.advance(1)
        return scores

    def loss(self, features: Any, strength: float, progress: Progress) -> float:
        """Cross-entropy of the targets, in nats a row, each from a fit to the other folds."""
        scores = self.unseen(features, strength, progress)
        if scores.shape[1] == 1:
            scores = np.hstack([-scores / 2, scores / 2])
        return float(-(self.targets * np.log(np.maximum(softmax(scores), 1e-12))).sum(1).mean())


@dataclass(frozen=True, eq=False)
class _Joint:
    """The features of the second regression: what is looked up, and the first one's log-odds."""

    design: Design
    unseen: FloatArray

    @property
    def typical(self) -> float:
        """Tokens of a row, on average."""
        return float(np.maximum(self.design.n, 1).mean())

    def take(self, rows: IntArray) -> _Joint:
        """Some of the rows."""
        return _Joint(self.design.take(rows), self.unseen[rows])

    def features(self, power: float, typical: float) -> Any:
        """(N, F + shares + K) sparse."""
        from scipy import sparse

        looked_up = self.design.features(power, typical)
        return sparse.hstack([looked_up, sparse.csr_matrix(self.unseen)]).tocsr()


def _choose(
    joint: _Joint, rows: _Rows, typical: float, progress: Progress
) -> tuple[float, float, float]:
    """Power and strength with the lowest cross-entropy, and that: strength first, then power."""
    half = joint.features(_HALF, typical)
    losses = {(_HALF, strength): rows.loss(half, strength, progress) for strength in _OF_TOKENS}
    _, strength = min(losses, key=losses.__getitem__)
    for power in POWERS:
        if power != _HALF:
            features = joint.features(power, typical)
            losses[power, strength] = rows.loss(features, strength, progress)
    power, strength = min(losses, key=losses.__getitem__)
    return power, strength, losses[power, strength]


def _fit(features: Any, targets: FloatArray, strength: float) -> Linear:
    """Logistic regression on soft targets: a row counts for each class, by the class's share."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    rows, classes = np.nonzero(targets > _LEAST)
    size, present = targets.shape[1], np.unique(classes)
    weights = np.zeros((size, features.shape[1]))
    bias = np.full(size, -np.log(len(targets) + 1.0))  # of a class that does not occur
    if len(present) == 1:
        bias[present] = 0.0
        return Linear.of_classes(weights, bias)
    regression = LogisticRegression(C=strength, max_iter=_STEPS, tol=_TOLERANCE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what is left would change little
        regression.fit(features[rows], classes, sample_weight=targets[rows, classes])
    if len(present) == 2:  # it gives the log-odds of the second
        weights[present] = np.array([[-0.5], [0.5]]) * regression.coef_
        bias[present] = np.array([-0.5, 0.5]) * regression.intercept_
    else:
        weights[present], bias[present] = regression.coef_, regression.intercept_
    return Linear.of_classes(weights, bias)
