"""The fit of exit 0: what it learns, what it is told, and that it is stored as it was fitted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dimec.base.arrays import Float32Array, IntArray
from dimec.base.errors import ConfigError, DataError
from dimec.training.exit0.design import Plan, plan_of
from dimec.training.exit0.fit import Exit0Settings, Fitted, fit_exit0, targets_of

CLS, SEP, FIRST, VOCABULARY, WIDTH = 0, 1, 4, 60, 5


class Rows:
    """N made-up texts with labels."""

    def __init__(self, texts: list[list[int]], labels: list[int], *, pairs: bool = False) -> None:
        rng = np.random.default_rng(0)
        self.ids = np.array([one for text in texts for one in text], np.uint16)
        self.offsets = np.cumsum([0, *map(len, texts)])
        self.labels = np.array(labels, np.int64)
        self.embeddings: Float32Array = rng.standard_normal((len(texts), WIDTH)).astype(np.float32)
        self.pairs = pairs

    def plan(self, classes: int = 2, **options: Any) -> Plan:
        values: dict[str, Any] = {"left_out": (CLS, SEP), "separator": SEP, "pairs": self.pairs}
        values |= {"vocabulary": VOCABULARY, "width": WIDTH, "classes": classes, **options}
        return plan_of(self.ids, self.offsets, **values)

    def fit(self, classes: int = 2, plan: Plan | None = None, **options: Any) -> Fitted:
        return fit_exit0(
            self.plan(classes) if plan is None else plan,
            self.ids,
            self.offsets,
            self.embeddings,
            self.labels,
            classes=classes,
            model="f" * 64,
            **options,
        )

    def right(self, fitted: Fitted) -> float:
        said = fitted.exit0.many(self.ids, self.offsets, self.embeddings)
        return float((said.argmax(axis=1) == self.labels).mean())


def words(rng: np.random.Generator, size: int) -> IntArray:
    return rng.integers(FIRST, VOCABULARY, size)


def topics(size: int, classes: int, seed: int = 0) -> Rows:
    """A text of a class has three words of the class's own among six of anybody's."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    own = (VOCABULARY - FIRST) // (2 * classes) or 1
    for row in range(size):
        label = row % classes
        mine = FIRST + label * own + rng.integers(0, own, 3)
        texts.append([CLS, *rng.permutation([*mine, *words(rng, 3)]).tolist(), SEP])
        labels.append(label)
    return Rows(texts, labels)


@pytest.mark.parametrize("classes", [2, 3, 20])
def test_it_learns_words_that_tell(classes: int) -> None:
    fitted = topics(600, classes).fit(classes)
    assert topics(300, classes, seed=1).right(fitted) > 0.6 + 0.3 / classes
    assert fitted.loss < np.log(classes)
    assert fitted.exit0.mix.shape == ({2: 1, 3: 3, 20: 16}[classes], classes)


def orders(size: int, seed: int = 0) -> Rows:
    """The label says in which order two words stand that every text has."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for row in range(size):
        two = [4, 5] if row % 2 else [5, 4]
        texts.append([CLS, *words(rng, 2).tolist(), *two, *words(rng, 2).tolist(), SEP])
        labels.append(row % 2)
    return Rows(texts, labels)


def test_it_learns_an_order_by_neighbours_only() -> None:
    train, test = orders(400), orders(200, seed=1)
    assert test.right(train.fit()) > 0.95
    assert test.right(train.fit(plan=train.plan(bigrams=False))) < 0.65


def sharing(size: int, seed: int = 0) -> Rows:
    """The two texts of a pair of class 1 have the same words, of class 0 none in common."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for row in range(size):
        a, b = np.split(rng.permutation(np.arange(FIRST, VOCABULARY))[:8], 2)
        second = rng.permutation(a) if row % 2 else b
        texts.append([CLS, *a.tolist(), SEP, *second.tolist(), SEP])
        labels.append(row % 2)
    return Rows(texts, labels, pairs=True)


def test_it_learns_what_a_pair_has_in_common() -> None:
    fitted = sharing(200).fit()
    assert fitted.exit0.pairs
    assert sharing(100, seed=1).right(fitted) == 1.0


def test_it_learns_from_the_embedding_what_words_do_not_say() -> None:
    def rows(seed: int) -> Rows:
        made = topics(400, 2, seed)
        made.labels = np.random.default_rng(seed).integers(0, 2, 400)
        made.embeddings[:, 2] += np.float32(3) * (2 * made.labels - 1)
        return made

    assert rows(1).right(rows(0).fit()) > 0.95


def test_it_learns_from_the_last_exit_too() -> None:
    """Labels that say nothing, and a teacher that knows the class."""
    rows = topics(400, 2)
    classes = rows.labels.copy()
    teacher = np.eye(2, dtype=np.float32)[classes] * 0.96 + 0.02
    rows.labels = np.random.default_rng(5).integers(0, 2, 400)
    told = rows.fit(teacher=teacher.astype(np.float32))
    deaf = rows.fit(teacher=teacher.astype(np.float32), settings=Exit0Settings(soft=0.0))
    test = topics(300, 2, seed=1)
    assert test.right(told) > 0.9
    assert test.right(deaf) < 0.65


def test_the_same_seed_gives_the_same_weights() -> None:
    rows = topics(200, 3)
    one, two, other = (rows.fit(3, settings=Exit0Settings(seed=seed)) for seed in (1, 1, 2))
    assert one.exit0.tokens.tobytes() == two.exit0.tokens.tobytes()
    assert one.exit0.pooled.tobytes() == two.exit0.pooled.tobytes()
    assert one.exit0.pooled.tobytes() != other.exit0.pooled.tobytes()


def test_the_prior_is_that_of_the_rows() -> None:
    rows = topics(90, 3)
    rows.labels[rows.labels == 2] = 0
    prior = rows.fit(3).exit0.prior
    np.testing.assert_allclose(prior, np.array([61, 31, 1]) / 93, rtol=1e-6)


def test_a_class_that_no_row_has_is_unlikely() -> None:
    rows = topics(90, 2)
    said = rows.fit(4).exit0.many(rows.ids, rows.offsets, rows.embeddings)
    assert said[:, 2:].max() < 0.1
    assert rows.right(rows.fit(4)) > 0.8


def test_a_class_of_two_rows_among_many() -> None:
    """Folds and the rows that are tuned on may lack it."""
    rows = topics(60, 2)
    rows.labels[:] = 0
    rows.labels[:2] = 1
    assert rows.fit(settings=Exit0Settings(tuning_rows=4)).exit0.classes == 2


def test_half_a_target_is_the_last_exits() -> None:
    teacher = np.array([[0.8, 0.2]], np.float32)
    settings = Exit0Settings(soft=0.25, temperature=1.0)
    np.testing.assert_allclose(
        targets_of(np.array([1]), 2, teacher, settings), [[0.2, 0.8]], rtol=1e-6
    )
    cold = replace(settings, soft=1.0, temperature=1e-3)
    np.testing.assert_allclose(targets_of(np.array([1]), 2, teacher, cold), [[1, 0]], atol=1e-9)
    certain = np.array([[1.0, 0.0]], np.float32)  # a softmax in float32 may say so
    assert np.isfinite(targets_of(np.array([1]), 2, certain, settings)).all()


@pytest.mark.parametrize("labels", [[0] * 10, [0] * 9 + [1]])
def test_rows_that_teach_nothing_are_refused(labels: list[int]) -> None:
    rows = topics(10, 2)
    rows.labels = np.array(labels)
    with pytest.raises(DataError, match="two rows or more of two classes"):
        rows.fit()


@pytest.mark.parametrize(
    "values",
    [
        {"soft": -0.1},
        {"soft": 1.1},
        {"soft": float("nan")},
        {"temperature": 0.0},
        {"temperature": float("inf")},
        {"folds": 1},
        {"rows": 1},
        {"tuning_rows": 0},
    ],
)
def test_settings_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="exit 0 needs"):
        Exit0Settings(**values)
