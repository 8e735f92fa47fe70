from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dimec
from dimec.base.errors import ConfigError, DataError, DimecError, MissingArtefactError
from dimec.base.storage import file_sha256
from dimec.cartography import DataMap
from dimec.runs.run import Run
from dimec.runs.selection import KINDS, choose, count_of, rank_rows, select_rows, write_selection
from support.tiny import reviews, write_reviews


def _map(gold: list[list[float]]) -> DataMap:
    return DataMap.from_probabilities(np.array(gold))


def slow_order(gold: list[list[float]], guids: list[str], by: str) -> list[int]:
    """Row after row the best of those that are left, from the definitions, in exact fractions."""
    epochs, places = len(gold), []
    for row in range(len(guids)):
        trend = [Fraction(gold[epoch][row]) for epoch in range(epochs)]
        mean = sum(trend) / epochs
        variance = sum((p - mean) ** 2 for p in trend) / epochs
        places.append((mean, variance))
    left, order = list(range(len(guids))), []
    while left:
        best = left[0]
        for row in left[1:]:
            (mean, variance), (mean_of_best, variance_of_best) = places[row], places[best]
            ahead = {
                "ambiguous": variance - variance_of_best,
                "easy": mean - mean_of_best,
                "hard": mean_of_best - mean,
            }[by]
            if ahead > 0 or (ahead == 0 and guids[row] < guids[best]):
                best = row
        left.remove(best)
        order.append(best)
    return order


class TestRanking:
    def test_by_hand(self) -> None:
        gold = [[0.875, 0.125, 0.25, 0.75], [0.875, 0.25, 0.75, 0.625]]
        guids = ["d", "c", "b", "a"]
        assert rank_rows(_map(gold), guids, "ambiguous").tolist() == [2, 3, 1, 0]
        assert rank_rows(_map(gold), guids, "easy").tolist() == [0, 3, 2, 1]
        assert rank_rows(_map(gold), guids, "hard").tolist() == [1, 2, 3, 0]

    # Eighths are exact in floating point, with 2 or 4 epochs the means too: ties are ties.
    @given(
        rows=st.lists(
            st.lists(st.integers(0, 8).map(lambda k: k / 8), min_size=4, max_size=4),
            min_size=1,
            max_size=12,
        ),
        by=st.sampled_from(["ambiguous", "easy", "hard"]),
        data=st.data(),
    )
    def test_it_agrees_with_a_slow_reference(
        self, rows: list[list[float]], by: str, data: st.DataObject
    ) -> None:
        gold = [list(epoch) for epoch in zip(*rows, strict=True)]
        names = [f"row-{number}" for number in range(len(rows))]
        guids = data.draw(st.permutations(names))
        order = rank_rows(_map(gold), guids, by)
        assert order.tolist() == slow_order(gold, guids, by)

    @given(st.sampled_from(KINDS), st.permutations(range(9)))
    def test_the_order_in_which_rows_come_does_not_matter(self, by: str, order: list[int]) -> None:
        gold = np.array([[k % 3, k % 2, 0.5] for k in range(9)]).T / 2
        guids = [f"row-{number}" for number in range(9)]
        ranked = [guids[row] for row in rank_rows(_map(gold.tolist()), guids, by, seed=4)]
        shuffled = [guids[row] for row in order]
        again = rank_rows(_map(gold[:, order].tolist()), shuffled, by, seed=4)
        assert [shuffled[row] for row in again] == ranked

    def test_chance_is_seeded_and_looks_at_nothing(self) -> None:
        rng = np.random.default_rng(0)
        guids = [f"row-{number}" for number in range(200)]
        one, other = (_map(rng.random((3, 200)).tolist()) for _ in range(2))
        order = rank_rows(one, guids, "random", seed=1)
        assert sorted(order.tolist()) == list(range(200))
        assert np.array_equal(order, rank_rows(other, guids, "random", seed=1))
        assert not np.array_equal(order, rank_rows(one, guids, "random", seed=2))
        assert order.tolist() != sorted(order.tolist())

    def test_an_unknown_kind_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="ambiguous, easy, hard, random; got 'best'"):
            rank_rows(_map([[0.5], [0.5]]), ["a"], "best")


class TestChoosing:
    @given(
        labels=st.lists(st.integers(0, 4), min_size=1, max_size=30),
        count=st.integers(1, 30),
        data=st.data(),
    )
    def test_the_first_rows_are_taken_and_at_least_one_of_each_class(
        self, labels: list[int], count: int, data: st.DataObject
    ) -> None:
        order = data.draw(st.permutations(range(len(labels))))
        count = min(count, len(labels))
        chosen, without = choose(np.array(order), np.array(labels), count)
        first = order[:count]
        missing = sorted(set(labels) - {labels[row] for row in first})
        assert without.tolist() == missing
        assert len(chosen) == max(count, len(set(labels)))
        assert {labels[row] for row in chosen} == set(labels)
        assert [row for row in order if row in chosen] == chosen.tolist()  # in their order
        if not missing:
            assert chosen.tolist() == first
        # What made room are the last of classes that have others.
        for row in set(first) - set(chosen.tolist()):
            before = first[: first.index(row)]
            assert labels[row] in [labels[other] for other in before]
            kept_behind = [other for other in first[first.index(row) :] if other in chosen]
            assert all(labels[k] not in [labels[j] for j in before] for k in kept_behind)


class TestCount:
    def test_it_is_exact_and_never_none(self) -> None:
        cases = [(0.33, 100, 33), (0.29, 100, 29), (1, 7, 7), (0.33, 2, 1), (0.5, 5, 2)]
        assert [count_of(share, rows) for share, rows, _ in cases] == [want for *_, want in cases]

    @pytest.mark.parametrize("share", [0, -0.1, 1.01, float("nan")])
    def test_other_shares_are_refused(self, share: float) -> None:
        with pytest.raises(ConfigError, match="above 0 and is at most 1"):
            count_of(share, 10)


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> dict[str, Any]:
    table = write_reviews(tmp_path_factory.mktemp("rows") / "reviews.csv", reviews(160))
    return {
        "task": f"csv:{table}",
        "backbone": str(tiny_backbone),
        "exits": (1, 2, 4),
        "epochs": 2,
        "learning_rate": 3e-3,
        "max_tokens": 32,
        "precision": "fp32",
    }


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory, options: dict[str, Any]) -> Run:
    """A run with training dynamics; not to be changed."""
    return dimec.train(**options, record_train=True, out=tmp_path_factory.mktemp("mapped") / "run")


class TestSelecting:
    @pytest.mark.parametrize("exit_", [None, 1])
    def test_it_takes_the_share_of_the_rows_that_ranks_first(
        self, mapped: Run, exit_: int | None
    ) -> None:
        dynamics = mapped.dynamics("train")
        at = dynamics.exits.index(exit_ or 4)
        logits = dynamics.logits[:, at].astype(np.float64)
        p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        gold = p[:, np.arange(len(dynamics.labels)), dynamics.labels]
        for by, values in (
            ("ambiguous", -gold.std(axis=0)),
            ("easy", -gold.mean(axis=0)),
            ("hard", gold.mean(axis=0)),
        ):
            chosen = select_rows(mapped, by=by, share=0.25, exit_=exit_)
            assert (len(chosen), chosen.of, chosen.exit) == (32, 128, exit_ or 4)
            ranked = np.argsort(values)
            best = [dynamics.guids[row] for row in ranked[:32]]
            codes = dynamics.labels[ranked]
            if len(set(codes[:32])) == 1:  # the first of the other class takes the last place
                best[-1] = dynamics.guids[ranked[codes != codes[0]][0]]
            assert set(chosen.rows.guids) == set(best)
            mean, std = chosen.data_map.confidence, chosen.data_map.std
            rows = [dynamics.guids.index(guid) for guid in chosen.rows.guids]
            assert mean == pytest.approx(gold.mean(axis=0)[rows])
            assert std == pytest.approx(gold.std(axis=0)[rows])

    def test_the_file_tells_each_row_and_its_place(self, mapped: Run, tmp_path: Path) -> None:
        chosen = select_rows(mapped, by="hard", share=0.1)
        file = tmp_path / "hard.jsonl"
        write_selection(chosen, file)
        records = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        train = mapped.splits().train
        assert [record["guid"] for record in records] == list(chosen.rows.guids)
        for record in records:
            row = train.guids.index(record["guid"])
            assert record["text"] == train.texts[row]
            assert record["label"] == train.label_names[train.labels[row]]
            keys = ["guid", "text", "label", "confidence", "variability", "correctness"]
            assert list(record) == keys
        confidences = [record["confidence"] for record in records]
        assert confidences == sorted(confidences)
        assert records[0]["variability"] == chosen.data_map.std[0]

    def test_a_run_without_training_dynamics_is_told_how_to_get_them(
        self, finished_run: Path
    ) -> None:
        with pytest.raises(MissingArtefactError, match="--record-train --overwrite"):
            select_rows(Run(finished_run), by="easy", share=0.5)

    def test_an_exit_that_is_not_recorded_is_refused(self, mapped: Run) -> None:
        with pytest.raises(ConfigError, match="3"):
            select_rows(mapped, by="easy", share=0.5, exit_=3)


class TestTrainingOnASelection:
    def test_it_trains_on_those_rows_alone_and_tests_on_the_same(
        self, mapped: Run, options: dict[str, Any], tmp_path: Path
    ) -> None:
        file = tmp_path / "chosen.jsonl"
        chosen = select_rows(mapped, by="random", share=0.5)
        write_selection(chosen, file)
        run = dimec.train(**options, train_rows=str(file), out=tmp_path / "run")
        record = run.training()
        assert record["rows"] == {"train": 64, "validation": 16, "test": 16}
        assert record["selection"] == {"file": str(file), "sha256": file_sha256(file)}
        assert "64 training rows chosen by chosen.jsonl" in record["source"]
        assert mapped.training()["selection"] is None
        splits, whole = run.splits(), mapped.splits()
        assert set(splits.train.guids) == set(chosen.rows.guids)
        assert run.trace("test").guids == whole.test.guids
        # and it is taken as it is, until the file is another
        again = dimec.train(**options, train_rows=str(file), out=tmp_path / "run")
        assert again.training() == record
        write_selection(select_rows(mapped, by="random", share=0.5, seed=1), file)
        with pytest.raises(DimecError, match="have changed"):
            run.splits()
        with pytest.raises(ConfigError, match="have changed"):
            dimec.train(**options, train_rows=str(file), out=tmp_path / "run")
        file.unlink()
        with pytest.raises(DataError, match="dimec map select"):
            run.splits()

    def test_a_selection_of_other_rows_leaves_nothing_behind(
        self, mapped: Run, options: dict[str, Any], tmp_path: Path
    ) -> None:
        file = tmp_path / "chosen.jsonl"
        write_selection(select_rows(mapped, by="easy", share=0.9), file)
        with pytest.raises(DataError, match="is not in the training split"):
            dimec.train(**options, train_rows=str(file), seed=1, out=tmp_path / "run")
        assert not (tmp_path / "run").exists()
