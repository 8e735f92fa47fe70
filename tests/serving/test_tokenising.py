"""Texts on their way to the queue."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

from dimec.base.arrays import IntArray
from dimec.base.errors import CorruptArtefactError, ProtocolError
from dimec.bundle.folders import TierBundle
from dimec.serving.batching import Batcher
from dimec.serving.entries import Cancelled, DeadlinePassed, Overloaded, Probabilities, RunLimits
from dimec.serving.tokenising import Tokeniser
from support.served import answer_of, in_loop
from support.tampering import change, sign
from support.texts import make_text_tier

LIMITS = RunLimits(rows=64, overhead=10.0)


@pytest.fixture
def bundle(tmp_path: Path) -> TierBundle:
    return TierBundle.open(make_text_tier(tmp_path / "edge"))


class Seen:
    """A graph that keeps what it is given."""

    def __init__(self) -> None:
        self.inputs: list[dict[str, IntArray]] = []

    def __call__(self, inputs: dict[str, IntArray], alone: bool) -> Probabilities:
        self.inputs.append(inputs)
        return answer_of(inputs)


def made(bundle: TierBundle, run: Seen, queue: int = 64) -> tuple[Batcher, Tokeniser]:
    batcher = Batcher(run, workers=1, limits=LIMITS, queue=queue, padding=0)
    return batcher, Tokeniser(bundle, batcher, 1)


def test_rows_are_padded_and_their_mask_is_of_ones(bundle: TierBundle) -> None:
    async def work() -> None:
        seen = Seen()
        batcher, tokeniser = made(bundle, seen)
        entry = tokeniser.submit(["t5 t6 t7", "t8"])
        assert batcher.waiting == 2
        assert (await entry.answer).tolist() == [[5, 3], [8, 1]]
        assert entry.rows.lengths.tolist() == [3, 1]
        assert {name: values.tolist() for name, values in entry.rows.inputs.items()} == {
            "input_ids": [[5, 6, 7], [8, 0, 0]],
            "attention_mask": [[1, 1, 1], [1, 0, 0]],
        }
        batcher.close()
        tokeniser.close()

    in_loop(work)


def test_segments_of_pairs_where_the_graph_takes_them(tmp_path: Path) -> None:
    folder = make_text_tier(tmp_path / "edge", pairs=True)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {},
    }
    path.write_text(json.dumps(content))
    sign(folder)
    change(folder, inputs=["input_ids", "attention_mask", "token_type_ids"])

    async def work() -> None:
        batcher, tokeniser = made(TierBundle.open(folder), Seen())
        entry = tokeniser.submit([("t5 t6", "t7"), ("t8", "t9")])
        await entry.answer
        assert entry.rows.inputs["input_ids"].tolist() == [[5, 6, 7], [8, 9, 0]]
        assert entry.rows.inputs["token_type_ids"].tolist() == [[0, 0, 1], [0, 1, 0]]
        batcher.close()
        tokeniser.close()

    in_loop(work)


def test_texts_count_in_the_queue_before_they_are_tokenised(bundle: TierBundle) -> None:
    async def work() -> None:
        seen = Seen()
        batcher, tokeniser = made(bundle, seen, queue=3)
        first = tokeniser.submit(["t1 " * 1000, "t2"])
        with pytest.raises(Overloaded):
            tokeniser.submit(["t3", "t4"])
        second = tokeniser.submit(["t5"])
        assert batcher.waiting == 3
        assert len(await first.answer) + len(await second.answer) == 3
        assert batcher.waiting == 0
        assert [batch["input_ids"][0, 0] for batch in seen.inputs] != [3]
        batcher.close()
        tokeniser.close()

    in_loop(work)


def test_who_is_late_or_gone_runs_no_more_and_leaves_its_place(bundle: TierBundle) -> None:
    async def work() -> None:
        seen = Seen()
        batcher, tokeniser = made(bundle, seen)
        late = tokeniser.submit(["t1"] * 32, timeout=1e-9)
        gone = tokeniser.submit(["t2"] * 32)
        gone.fail(Cancelled())
        assert batcher.waiting == 64  # their texts are still there
        with pytest.raises(Overloaded):
            tokeniser.submit(["t3"])
        for entry, error in ((late, DeadlinePassed), (gone, Cancelled)):
            with pytest.raises(error):
                await entry.answer
        while batcher.waiting:
            await asyncio.sleep(0.001)
        assert (await tokeniser.submit(["t4"]).answer).tolist() == [[4, 1]]
        assert len(seen.inputs) == 1
        batcher.close()
        tokeniser.close()

    in_loop(work)


def test_a_text_without_a_token_is_its_requests_error(bundle: TierBundle) -> None:
    async def work() -> None:
        batcher, tokeniser = made(bundle, Seen())
        with pytest.raises(ProtocolError, match="finds no token in a text"):
            await tokeniser.submit(["t1", " "]).answer
        assert batcher.waiting == 0
        batcher.close()
        tokeniser.close()

    in_loop(work)


def test_what_waits_at_the_end_is_told(bundle: TierBundle) -> None:
    async def work() -> None:
        seen = Seen()
        batcher, tokeniser = made(bundle, seen)
        entries = [tokeniser.submit(["t1 " * 5000]) for _ in range(20)]
        batcher.close()
        tokeniser.close()
        for entry in entries:
            with pytest.raises(Overloaded):
                await entry.answer
        with pytest.raises(Overloaded):
            tokeniser.submit(["t2"])
        await asyncio.sleep(0)
        assert not seen.inputs

    in_loop(work)


def test_a_tokenizer_that_multiplies_texts_is_refused(tmp_path: Path) -> None:
    folder = make_text_tier(tmp_path / "edge")
    content = json.loads((folder / "tokenizer.json").read_text())
    content["normalizer"] = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    sign(folder)
    batcher = Batcher(Seen(), workers=1, limits=LIMITS, queue=8, padding=0)
    with pytest.raises(CorruptArtefactError, match="replaces text by longer text"):
        Tokeniser(TierBundle.open(folder), batcher, 1)


def test_an_unexpected_error_ends_in_its_own_request(
    bundle: TierBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        batcher, tokeniser = made(bundle, Seen())
        for error in (MemoryError("no room"), KeyboardInterrupt()):

            def fail(*_: object, error: BaseException = error) -> None:
                raise error

            with monkeypatch.context() as patch:
                patch.setattr("dimec.serving.tokenising.encode", fail)
                with pytest.raises((MemoryError, RuntimeError)):
                    await tokeniser.submit(["t1"]).answer
        np.testing.assert_array_equal(await tokeniser.submit(["t9"]).answer, [[9, 1]])
        batcher.close()
        tokeniser.close()

    in_loop(work)
