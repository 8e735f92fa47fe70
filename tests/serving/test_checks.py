from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ProtocolError
from dimec.bundle.folders import TierBundle
from dimec.bundle.manifest import TierManifest
from dimec.protocol import InferRequest
from dimec.serving.checks import check_request
from support.served import LONGEST, VOCABULARY, inputs_of

IDS = np.array([[5, 6, 7], [8, 0, 0]])
MASK = np.array([[1, 1, 1], [1, 0, 0]])
IN_VOCABULARY = f"input_ids: expected values from 0 to {VOCABULARY - 1}"


@pytest.fixture(scope="session")
def manifest(tier: Path) -> TierManifest:
    return TierBundle.open(tier).manifest


def _request(ids: Any = IDS, mask: Any = MASK, **more: Any) -> InferRequest:
    inputs = {"input_ids": np.asarray(ids), "attention_mask": np.asarray(mask)}
    outputs = more.pop("outputs", ())
    return InferRequest(inputs | more, outputs=outputs)


def test_columns_of_padding_are_dropped(manifest: TierManifest) -> None:
    wide = {name: np.pad(values, ((0, 0), (0, 4))) for name, values in inputs_of([1, 2]).items()}
    rows = check_request(InferRequest(wide), manifest, 8)
    assert {name: values.tolist() for name, values in rows.inputs.items()} == {
        "input_ids": [[1, 2]],
        "attention_mask": [[1, 1]],
    }
    assert rows.lengths.tolist() == [2]


def test_sound_requests_pass(manifest: TierManifest) -> None:
    rows = check_request(_request(outputs=("probabilities",)), manifest, 2)
    assert rows.lengths.tolist() == [3, 1]
    edge = [VOCABULARY - 1] * LONGEST
    assert check_request(_request([edge], [[1] * LONGEST]), manifest, 1).lengths == [LONGEST]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (_request(outputs=("logits",)), "no output 'logits'; ask for 'probabilities'"),
        (InferRequest({"input_ids": IDS}), "inputs: expected input_ids, attention_mask, got"),
        (_request(token_type_ids=MASK), "got 'input_ids', 'attention_mask', 'token_type_ids'"),
        (_request(IDS.astype(np.int32)), "input_ids: expected datatype INT64, got INT32"),
        (_request(mask=MASK.astype(bool)), "attention_mask: expected datatype INT64, got BOOL"),
        (_request(IDS.astype(np.uint64)), "input_ids: expected datatype INT64, got UINT64"),
        (_request(IDS.astype(np.float32)), "input_ids: expected datatype INT64, got FP32"),
        (_request(IDS[0], MASK[0]), r"input_ids: expected a shape \(rows, tokens\), got \(3,\)"),
        (_request(IDS[None], MASK[None]), r"input_ids: expected a shape .* got \(1, 2, 3\)"),
        (
            _request(mask=MASK[:1]),
            r"attention_mask: expected the shape of input_ids, \(2, 3\), got",
        ),
        (_request(IDS[:0], MASK[:0]), "the batch: expected 1 to 8 rows, got 0"),
        (_request(np.ones((9, 2), int), np.ones((9, 2), int)), "expected 1 to 8 rows, got 9"),
        (_request(IDS[:, :0], MASK[:, :0]), "the length: expected 1 to 40 tokens, got 0"),
        (_request(np.ones((1, 41), int), np.ones((1, 41), int)), "1 to 40 tokens, got 41"),
        (_request([[VOCABULARY]], [[1]]), IN_VOCABULARY),
        (_request([[-1]], [[1]]), IN_VOCABULARY),
        (_request([[1, -(2**63)]], [[1, 0]]), IN_VOCABULARY),
        (_request([[1]], [[2]]), "attention_mask: expected values from 0 to 1"),
        (_request([[1]], [[-1]]), "attention_mask: expected values from 0 to 1"),
        (_request([[1, 1]], [[0, 0]]), "attention_mask: expected one or more 1 at the start"),
        (_request([[1, 1]], [[0, 1]]), "attention_mask: expected one or more 1 at the start"),
        (_request([[1, 1, 1]], [[1, 0, 1]]), "attention_mask: expected one or more 1 at the start"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    manifest: TierManifest, request_: InferRequest, message: str
) -> None:
    with pytest.raises(ProtocolError, match=message) as refused:
        check_request(request_, manifest, 8)
    assert refused.value.status == 400
    assert "\n" not in str(refused.value)


def test_segments_of_pairs_are_checked_where_the_graph_takes_them(manifest: TierManifest) -> None:
    names = ("input_ids", "attention_mask", "token_type_ids")
    pairs = manifest.model_copy(update={"inputs": names})
    check_request(_request(token_type_ids=MASK), pairs, 8)
    with pytest.raises(ProtocolError, match="token_type_ids: expected values from 0 to 1"):
        check_request(_request(token_type_ids=2 * MASK), pairs, 8)
    with pytest.raises(ProtocolError, match="inputs: expected"):
        check_request(_request(), pairs, 8)


@given(
    st.lists(st.lists(st.integers(-2, 3), min_size=3, max_size=3), min_size=1, max_size=3),
    st.lists(st.lists(st.integers(-1, 2), min_size=3, max_size=3), min_size=1, max_size=3),
)
def test_only_left_aligned_masks_of_sound_ids_pass(
    manifest: TierManifest, ids: list[list[int]], mask: list[list[int]]
) -> None:
    small = manifest.model_copy(update={"vocabulary": 3})
    sound = (
        len(ids) == len(mask)
        and all(0 <= value < 3 for row in ids for value in row)
        and all(row in ([1, 0, 0], [1, 1, 0], [1, 1, 1]) for row in mask)
    )
    try:
        check_request(_request(ids, mask), small, 8)
    except ProtocolError:
        assert not sound
    else:
        assert sound
