"""Fitted log-odds, against what the stored weights say of the same texts."""

from __future__ import annotations

import numpy as np
import pytest

from dimec.bundle.exit0 import LARGEST, Exit0
from dimec.cartography import softmax
from dimec.training.exit0.design import columns_of, design_of, plan_of
from dimec.training.exit0.weights import Linear, assembled, directions_of

VOCABULARY, WIDTH, SEPARATOR = 40, 6, 1


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("classes", [2, 3, 16, 30])
@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_they_say_what_was_fitted(pairs: bool, classes: int, power: float) -> None:
    """But for the rounding to float16; 30 classes lie in 16 directions here."""
    rng = np.random.default_rng(classes)
    texts = [rng.integers(0, VOCABULARY, size) for size in rng.integers(1, 12, 50)]
    ids, offsets = np.concatenate(texts), np.cumsum([0, *map(len, texts)])
    embeddings = rng.standard_normal((50, WIDTH)).astype(np.float32)
    plan = plan_of(
        ids,
        offsets,
        vocabulary=VOCABULARY,
        classes=classes,
        width=WIDTH,
        left_out=(0, SEPARATOR),
        pairs=pairs,
        separator=SEPARATOR,
    )
    design = design_of(plan, ids, offsets)
    assert (design.n > 0).any()
    features = design.features(power, typical=5.0).toarray()
    rows = 1 if classes == 2 else classes
    mixing = rng.standard_normal((rows, min(rows, columns_of(classes)))) / 4
    size = features.shape[1] + rows
    joint = Linear(mixing @ rng.standard_normal((mixing.shape[1], size)), rng.standard_normal(rows))
    embedded = Linear(rng.standard_normal((rows, WIDTH)), rng.standard_normal(rows))
    fitted = joint(np.hstack([features, embedded(embeddings)]))
    directions = directions_of(fitted - joint.bias)
    exit0 = assembled(
        plan,
        joint,
        embedded,
        directions,
        typical=5.0,
        power=power,
        prior=np.full(classes, 1 / classes),
        model="",
    )
    logits = np.hstack([-fitted / 2, fitted / 2]) if classes == 2 else fitted
    some = design.n > 0
    got = exit0.many(ids, offsets, embeddings)[some]
    np.testing.assert_allclose(got, softmax(logits)[some], rtol=0, atol=0.01)


@pytest.mark.parametrize(("classes", "directions"), [(2, False), (16, False), (17, True)])
def test_more_classes_than_16_share_weights(classes: int, directions: bool) -> None:
    found = directions_of(np.random.default_rng(0).standard_normal((50, classes)))
    assert (found is not None) == directions
    if found is not None:
        np.testing.assert_allclose(found.T @ found, np.eye(16), atol=1e-12)


@pytest.mark.parametrize("classes", [2, 3, 16, 17, 150, 1000])
@pytest.mark.parametrize("pairs", [False, True])
def test_there_is_room_for_them_whatever_the_number_of_classes(classes: int, pairs: bool) -> None:
    vocabulary, width = 250_000, 1024
    ids = np.repeat(np.arange(vocabulary), 2)  # every token in two texts of its own
    plan = plan_of(
        ids,
        np.arange(len(ids) + 1),
        vocabulary=vocabulary,
        classes=classes,
        width=width,
        pairs=pairs,
    )
    assert len(plan.ids) > 1000
    columns = columns_of(classes)
    exit0 = Exit0(
        ids=plan.ids.astype(np.int32),
        tokens=np.zeros((plan.tables, len(plan.ids), columns), np.float16),
        bigrams=np.zeros((1 << plan.bits if plan.bits else 0, columns), np.float16),
        shares=np.zeros((3 if pairs else 0, 21, columns), np.float16),
        pooled=np.zeros((columns, width), np.float32),
        mix=np.zeros((columns, classes), np.float32),
        bias=np.zeros(classes, np.float32),
        prior=np.full(classes, 1 / classes, np.float32),
        vocabulary=vocabulary,
        separator=-1,
        power=0.5,
        model="",
    )
    assert exit0.ids.nbytes + exit0.tokens.nbytes + exit0.bigrams.nbytes <= LARGEST
