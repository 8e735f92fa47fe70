"""t-SNE, the same every time, and of anything."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from dimec.base.errors import MissingExtraError
from dimec.report.projection import project, sample_rows


def test_everything_is_taken_while_it_is_few_enough() -> None:
    assert sample_rows(5, seed=1, limit=5).tolist() == [0, 1, 2, 3, 4]


def test_a_sample_is_seeded_sorted_and_without_repeats() -> None:
    rows = sample_rows(100, seed=1, limit=20)
    assert len(set(rows.tolist())) == 20
    assert (np.diff(rows) > 0).all()
    assert rows.tolist() == sample_rows(100, seed=1, limit=20).tolist()
    assert rows.tolist() != sample_rows(100, seed=2, limit=20).tolist()


def test_two_projections_are_equal_to_the_last_bit_and_keep_groups_apart() -> None:
    rng = np.random.default_rng(0)
    centres = np.repeat([[-20.0] * 6, [20.0] * 6], 20, axis=0)
    embeddings = (centres + rng.normal(size=(40, 6))).astype(np.float32)
    first, second = project(embeddings, seed=4), project(embeddings, seed=4)
    assert first.tobytes() == second.tobytes()
    to_own = np.linalg.norm(first[:20] - first[:20].mean(axis=0), axis=1).max()
    between = np.linalg.norm(first[:20].mean(axis=0) - first[20:].mean(axis=0))
    assert between > to_own


@pytest.mark.parametrize("count", [10, 11, 31])
@pytest.mark.parametrize("width", [1, 3])
def test_embeddings_that_are_all_equal_have_finite_places(count: int, width: int) -> None:
    places = project(np.ones((count, width), dtype=np.float32), seed=0)
    assert places.shape == (count, 2)
    assert np.isfinite(places).all()


def test_without_opentsne_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "openTSNE", None)
    with pytest.raises(MissingExtraError, match=r"openTSNE.*dimec\[plots\]"):
        project(np.ones((12, 2), dtype=np.float32), seed=0)
