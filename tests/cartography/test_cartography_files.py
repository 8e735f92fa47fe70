"""Training dynamics in the form of allenai/cartography, written and read."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dimec.base.errors import DataError, DimecError, MissingArtefactError
from dimec.cartography import (
    TrainingDynamics,
)
from support.builders import dynamics, float32


def write_epochs(folder: Path, *epochs: str | bytes) -> None:
    """One file an epoch."""
    for k, text in enumerate(epochs):
        content = text if isinstance(text, bytes) else text.encode()
        (folder / f"dynamics_epoch_{k}.jsonl").write_bytes(content)


def line(epoch: int, guid: Any, logits: Any, gold: Any) -> str:
    """One record as allenai/cartography writes it."""
    return json.dumps({"guid": guid, f"logits_epoch_{epoch}": logits, "gold": gold}) + "\n"


def test_a_file_of_allenai_cartography_is_read(tmp_path: Path) -> None:
    """Their own form: whole numbers as guids, a further field, epochs in shuffled order."""
    write_epochs(
        tmp_path,
        '{"guid": 50325, "logits_epoch_0": [2.9, -2.1], "gold": 0, "device": "cuda:0"}\n'
        '{"guid": 17, "logits_epoch_0": [0.5, 1.5], "gold": 1, "device": "cuda:0"}\n',
        '{"guid": 17, "logits_epoch_1": [-1, 1], "gold": 1, "device": "cuda:0"}\n'
        '{"guid": 50325, "logits_epoch_1": [3.25, -3.0], "gold": 0, "device": "cuda:0"}\n',
    )
    record = TrainingDynamics.read_jsonl(tmp_path, exit_=12)
    assert record.guids == ("50325", "17")
    assert record.exits == (12,)
    assert record.labels.tolist() == [0, 1]
    assert record.logits.dtype == np.float32
    assert record.logits.shape == (2, 1, 2, 2)
    expected = np.array([[[2.9, -2.1], [0.5, 1.5]], [[3.25, -3.0], [-1, 1]]], np.float32)
    assert np.array_equal(record.logits[:, 0], expected)
    # p(gold) of guid 17: e^1.5/(e^0.5+e^1.5) = 1/(1+e^-1), then 1/(1+e^-2)
    gold = 1 / (1 + np.exp([-1.0, -2.0]))
    assert record.data_map(12).confidence[1] == pytest.approx(gold.mean(), abs=1e-12)
    assert record.data_map(12).variance[1] == pytest.approx(gold.var(), abs=1e-12)


def test_more_than_ten_epochs_are_read_by_number(tmp_path: Path) -> None:
    """By name, epoch 10 would come before epoch 2."""
    write_epochs(tmp_path, *(line(k, 1, [float(k), 0.0], 0) for k in range(12)))
    assert TrainingDynamics.read_jsonl(tmp_path).logits[:, 0, 0, 0].tolist() == list(range(12))


def test_files_are_written_in_their_form(tmp_path: Path) -> None:
    logits = np.arange(16).reshape(2, 2, 2, 2) / 4
    paths = dynamics(logits, [1, 0], (2, 6)).write_jsonl(tmp_path / "dynamics", 6)
    assert [path.name for path in paths] == ["dynamics_epoch_0.jsonl", "dynamics_epoch_1.jsonl"]
    assert [json.loads(text) for text in paths[1].read_text("utf-8").splitlines()] == [
        {"guid": "s0", "logits_epoch_1": [3.0, 3.25], "gold": 1},
        {"guid": "s1", "logits_epoch_1": [3.5, 3.75], "gold": 0},
    ]


@given(
    st.tuples(st.integers(2, 3), st.integers(1, 5), st.integers(2, 3)).flatmap(
        lambda s: hnp.arrays(np.float32, (s[0], 1, s[1], s[2]), elements=float32)
    ),
    st.text(st.characters(codec="utf-8"), max_size=6),
)
@example(np.full((2, 1, 1, 2), 1.2345679e-4, np.float32), "train-1")
def test_what_is_written_reads_back_the_same(logits: npt.NDArray[np.float32], prefix: str) -> None:
    """To the last bit, and whatever characters a guid holds."""
    n = logits.shape[2]
    guids = tuple(f"{prefix}{i}" for i in range(n))
    record = TrainingDynamics(logits, np.arange(n) % 2, (4,), guids)
    with tempfile.TemporaryDirectory() as folder:
        record.write_jsonl(Path(folder), 4)
        back = TrainingDynamics.read_jsonl(Path(folder), 4)
    assert back.guids == guids
    assert back.exits == (4,)
    assert back.labels.tolist() == record.labels.tolist()
    assert np.array_equal(back.logits, logits)


GOOD = line(0, 1, [0.5, 1.5], 1)


@pytest.mark.parametrize(
    "damaged",
    [
        '{"guid": 2, "logits_epoch_0": [0.5, 1.\n',
        "\n",
        "[1, 2]\n",
        "null\n",
        line(1, 2, [0.5, 1.5], 0),
        '{"logits_epoch_0": [0.5, 1.5], "gold": 0}\n',
        '{"guid": 2, "logits_epoch_0": [0.5, 1.5]}\n',
        line(0, 2, 0.5, 0),
        line(0, 2, ["a", "b"], 0),
        line(0, 2, [0.5, None], 0),
        line(0, 2, [0.5, 1.5], None),
        line(0, 2, [0.5, 1.5], "positive"),
        pytest.param(line(0, 2, [0.5, 1.5], float("inf")), id="gold-infinite"),
        pytest.param(line(0, 2, [0.5, 1.5], 0.7), id="gold-not-whole"),
        pytest.param(line(0, 2, "12", 0), id="logits-a-string"),
        pytest.param(line(0, 2, [0.5, 10**400], 0), id="logits-beyond-float"),
        pytest.param(line(0, 2, [0.5, 1.5], 10**30), id="gold-beyond-int64"),
    ],
)
def test_a_damaged_line_is_named_by_file_and_number(tmp_path: Path, damaged: str) -> None:
    write_epochs(tmp_path, GOOD + damaged + line(0, 3, [0.5, 1.5], 1))
    with pytest.raises(DataError, match=r"dynamics_epoch_0\.jsonl, line 2"):
        TrainingDynamics.read_jsonl(tmp_path)


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    latin = b'{"guid": "caf\xe9", "logits_epoch_0": [0.5, 1.5], "gold": 0}\n'
    write_epochs(tmp_path, GOOD.encode() + latin)
    with pytest.raises(DataError, match=r"dynamics_epoch_0\.jsonl"):
        TrainingDynamics.read_jsonl(tmp_path)


def test_a_guid_that_occurs_twice_is_named(tmp_path: Path) -> None:
    write_epochs(tmp_path, GOOD + GOOD)
    with pytest.raises(DataError, match=r"epoch_0\.jsonl, line 2.*'1' occurs twice"):
        TrainingDynamics.read_jsonl(tmp_path)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (line(1, 1, [0.5, 1.5], 1), r"epoch_1\.jsonl.*differ.*'2'"),
        (line(1, 1, [0, 1], 1) + line(1, 3, [0, 1], 0), r"epoch_1\.jsonl.*differ.*'[23]'"),
        (line(1, 1, [0, 1], 0) + line(1, 2, [0, 1], 0), r"epoch_1\.jsonl.*label of '1'"),
        (line(1, 1, [0, 1], 1) + line(1, 2, [0, 1, 2], 0), "number of classes"),
    ],
)
def test_epochs_that_disagree_are_refused(tmp_path: Path, second: str, message: str) -> None:
    write_epochs(tmp_path, GOOD + line(0, 2, [0.5, 1.5], 0), second)
    with pytest.raises(DataError, match=message):
        TrainingDynamics.read_jsonl(tmp_path)


def test_a_label_beyond_the_classes_is_refused(tmp_path: Path) -> None:
    write_epochs(tmp_path, line(0, 1, [0.5, 1.5], 2))
    with pytest.raises(DataError, match="0 to 1"):
        TrainingDynamics.read_jsonl(tmp_path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    write_epochs(tmp_path, "", "")
    with pytest.raises(DataError, match="dynamics_epoch_0"):
        TrainingDynamics.read_jsonl(tmp_path)


def test_a_missing_epoch_is_named(tmp_path: Path) -> None:
    write_epochs(tmp_path, GOOD, GOOD, GOOD)
    (tmp_path / "dynamics_epoch_1.jsonl").unlink()
    with pytest.raises(DataError, match=r"dynamics_epoch_1\.jsonl is missing"):
        TrainingDynamics.read_jsonl(tmp_path)


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: None])
def test_a_folder_without_dynamics_is_named(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "run")
    with pytest.raises(MissingArtefactError, match=r"run holds no dynamics_epoch_K\.jsonl"):
        TrainingDynamics.read_jsonl(tmp_path / "run")


@given(st.data())
def test_no_altered_byte_escapes_as_another_error(data: st.DataObject) -> None:
    """Whatever a byte of the file becomes: it is read, or it is refused as data."""
    content = bytearray((GOOD + line(0, 22, [2.5, -1e5], 0)).encode())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        write_epochs(Path(folder), bytes(content))
        try:
            record = TrainingDynamics.read_jsonl(Path(folder))
        except DimecError:
            return
    assert 1 <= len(record.guids) <= 2
