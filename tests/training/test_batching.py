from __future__ import annotations

from functools import cache
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.progress import NoProgress
from dimec.data import Dataset
from dimec.training.batching import Encoded, encode, inference_batches, training_batches
from support.tiny import make_tokenizer, reviews

CPU = torch.device("cpu")

lengths_of_texts = st.lists(st.integers(1, 60), min_size=1, max_size=300).map(np.array)
words = st.sampled_from(("the", "film", "is", "dull", "moving", "no", ".", "(", "zzz", "é"))
sentences = st.lists(words, max_size=12).map(" ".join)


@cache
def tokenizer() -> Any:
    return make_tokenizer(text for text, _ in reviews(100))


def dataset(texts: list[str], pairs: list[str] | None = None) -> Dataset:
    labels = np.arange(len(texts)) % 2
    guids = tuple(f"row-{row}" for row in range(len(texts)))
    second = None if pairs is None else tuple(pairs)
    names = ("negative", "positive")
    return Dataset("csv:x", tuple(texts), second, labels, names, guids, "accuracy", None, {})


class Recorded(NoProgress):
    def __init__(self) -> None:
        self.stage, self.steps = ("", 0), list[int]()

    def start(self, stage: str, total: int) -> None:
        self.stage = (stage, total)

    def advance(self, steps: int, note: str = "") -> None:
        self.steps.append(steps)


class TestEncode:
    @given(st.lists(sentences, min_size=1, max_size=8))
    def test_every_text_comes_back_as_the_tokenizer_made_it(self, texts: list[str]) -> None:
        encoded = encode(tokenizer(), dataset(texts), 16)
        assert len(encoded) == len(texts)
        for row, text in enumerate(texts):
            expected = tokenizer()(text, truncation=True, max_length=16)
            inputs = encoded.batch(np.array([row]), CPU)
            assert inputs.keys() == expected.keys()
            for name, values in expected.items():
                assert inputs[name].tolist() == [values]
            assert encoded.lengths[row] == len(expected["input_ids"])

    @given(st.lists(st.tuples(sentences, sentences), min_size=1, max_size=6))
    def test_pairs_are_told_apart_by_their_type(self, pairs: list[tuple[str, str]]) -> None:
        first, second = map(list, zip(*pairs, strict=True))
        encoded = encode(tokenizer(), dataset(first, second), 20)
        for row, (one, other) in enumerate(pairs):
            expected = tokenizer()([one], [other], truncation=True, max_length=20)
            inputs = encoded.batch(np.array([row]), CPU)
            assert inputs["input_ids"].tolist() == expected["input_ids"]
            assert inputs["token_type_ids"].tolist() == expected["token_type_ids"]
            assert inputs["token_type_ids"][0, -1] == 1

    def test_long_texts_are_cut_and_empty_ones_keep_their_special_tokens(self) -> None:
        encoded = encode(tokenizer(), dataset(["the film " * 40, ""]), 16)
        assert encoded.lengths.tolist() == [16, 2]

    def test_more_texts_than_a_chunk_are_laid_out_as_one_pass_would(self) -> None:
        texts = [f"the film {'is dull ' * (row % 5)}" for row in range(2100)]
        seen = Recorded()
        encoded = encode(tokenizer(), dataset(texts), 16, seen)
        whole = tokenizer()(texts, truncation=True, max_length=16)
        assert encoded.lengths.tolist() == [len(ids) for ids in whole["input_ids"]]
        for name, values in encoded.columns.items():
            assert values.tolist() == [value for row in whole[name] for value in row]
        assert seen.stage == ("tokenising", 2100)
        assert seen.steps == [1024, 1024, 52]

    def test_ids_take_the_smallest_type_that_holds_them(self) -> None:
        wide = Mock(is_fast=False, pad_token_id=0, return_value={"input_ids": [[5, 70_000], [255]]})
        narrow = Mock(is_fast=False, pad_token_id=0, return_value={"input_ids": [[5, 255], [256]]})
        assert encode(wide, dataset(["a", "b"]), 16).columns["input_ids"].dtype == np.uint32
        assert encode(narrow, dataset(["a", "b"]), 16).columns["input_ids"].dtype == np.uint16
        assert encode(tokenizer(), dataset(["the"]), 16).columns["token_type_ids"].dtype == np.uint8

    @given(st.lists(sentences, min_size=2, max_size=8), st.randoms(use_true_random=False))
    def test_a_batch_is_padded_to_its_longest_text(self, texts: list[str], random: Any) -> None:
        encoded = encode(tokenizer(), dataset(texts), 16)
        rows = np.array(random.sample(range(len(texts)), random.randint(1, len(texts))))
        inputs = encoded.batch(rows, CPU)
        width = encoded.lengths[rows].max()
        pad = tokenizer().pad_token_id
        for name, values in inputs.items():
            assert values.shape == (len(rows), width), name
            assert values.dtype == torch.int64
        for place, row in enumerate(rows):
            length = encoded.lengths[row]
            alone = encoded.batch(np.array([row]), CPU)["input_ids"][0]
            assert inputs["input_ids"][place, :length].tolist() == alone.tolist()
            assert inputs["input_ids"][place, length:].tolist() == [pad] * (width - length)
            assert inputs["attention_mask"][place].tolist() == [1] * length + [0] * (width - length)

    def test_padding_is_the_tokenizers_own(self) -> None:
        ids = np.array([7, 8, 9], np.int32)
        encoded = Encoded({"input_ids": ids}, np.array([0, 1, 3]), {"input_ids": 1})
        assert encoded.batch(np.array([0, 1]), CPU)["input_ids"].tolist() == [[7, 1], [8, 9]]


class TestTrainingBatches:
    @given(lengths_of_texts, st.integers(1, 40), st.integers(0, 100))
    def test_every_row_comes_once_in_full_batches(self, lengths: Any, size: int, seed: int) -> None:
        batches = training_batches(lengths, size, np.random.default_rng(seed))
        rows = np.concatenate(batches)
        assert sorted(rows.tolist()) == list(range(len(lengths)))
        assert max(map(len, batches)) <= size
        # Only the end of a window of 50 batches may be left over, and here that is one batch.
        windows = -(-len(lengths) // (50 * size))
        assert sum(len(batch) < size for batch in batches) <= windows
        assert len(batches) == -(-len(lengths) // size)

    def test_the_order_is_seeded(self) -> None:
        lengths = np.random.default_rng(0).integers(1, 60, 300)
        one, same, other = (
            [b.tolist() for b in training_batches(lengths, 16, np.random.default_rng(seed))]
            for seed in (1, 1, 2)
        )
        assert one == same
        assert one != other

    def test_batches_by_length_pad_less_than_random_ones(self) -> None:
        lengths = np.random.default_rng(0).integers(1, 60, 3000)
        batches = training_batches(lengths, 16, np.random.default_rng(0))
        padded = sum(len(rows) * int(lengths[rows].max()) for rows in batches)
        plain = sum(16 * int(lengths[i : i + 16].max()) for i in range(0, 3000, 16))
        assert padded < 1.1 * lengths.sum()
        assert plain > 1.7 * lengths.sum()
        # and yet they do not come in order of length
        tops = np.array([int(lengths[rows].max()) for rows in batches])
        assert abs(np.corrcoef(tops, np.arange(len(tops)))[0, 1]) < 0.3


class TestInferenceBatches:
    @given(lengths_of_texts, st.integers(1, 200))
    def test_every_row_comes_once_and_no_batch_is_too_large(self, lengths: Any, top: int) -> None:
        batches = inference_batches(lengths, top)
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
        for rows in batches:
            assert len(rows) == 1 or len(rows) * lengths[rows].max() <= top

    @given(lengths_of_texts)
    def test_the_longest_texts_come_first(self, lengths: Any) -> None:
        order = lengths[np.concatenate(inference_batches(lengths, 100))]
        assert (np.diff(order) <= 0).all()

    @pytest.mark.parametrize("size", [0])
    def test_no_text_makes_no_batch(self, size: int) -> None:
        assert inference_batches(np.zeros(size, np.int64)) == []
