"""Arrow's files, and folders as ``datasets`` saves them."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from dimec.base.errors import ConfigError, DataError
from dimec.data import Dataset, load_task
from dimec.data.arrow import read_arrow, splits_saved
from dimec.settings.data import DataSettings
from support import exports
from support.exports import write

TEXTS, CODES = ["good", "bad", "so", "dull"], [1, 0, 1, 0]
NAMED = [("good", "pos"), ("bad", "neg"), ("so", "pos"), ("dull", "neg")]
_FEATURES = {"text": {"dtype": "string"}, "label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}
TABLE = pyarrow.table(
    {"text": TEXTS, "label": CODES},
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
)


def rows_of(dataset: Dataset) -> list[tuple[str, str]]:
    names = [dataset.label_names[code] for code in dataset.labels]
    return list(zip(dataset.texts, names, strict=True))


def save(folder: Path) -> Path:
    return exports.save(folder, TABLE)


def save_splits(folder: Path, *names: str) -> Path:
    for name in names:
        save(folder / name)
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(names)}))
    return folder


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("ending", ["arrow", "feather"])
def test_files_have_the_names_of_their_classes(tmp_path: Path, stream: bool, ending: str) -> None:
    file = write(tmp_path / f"reviews.{ending}", TABLE, stream=stream)
    for task in (str(file), f"arrow:{file}"):
        dataset = load_task(task)
        assert rows_of(dataset) == NAMED
        assert dataset.task == f"arrow:{file}"
        assert dataset.predefined is None


def test_a_saved_split_is_all_of_its_files(tmp_path: Path) -> None:
    assert rows_of(load_task(f"arrow:{save(tmp_path / 'one')}")) == NAMED


def test_saved_splits_are_predefined(tmp_path: Path) -> None:
    folder = save_splits(tmp_path / "all", "test", "train", "validation")
    dataset = load_task(f"datasets:{folder}")
    assert dataset.predefined == ("train",) * 4 + ("validation",) * 4 + ("test",) * 4
    assert rows_of(dataset) == NAMED * 3
    assert dataset.task == f"datasets:{folder}"
    assert list(splits_saved(folder)) == ["train", "validation", "test"]
    parts = {"train": f"arrow:{folder}/train", "test": f"arrow:{folder}/validation"}
    assert load_task(parts).predefined == ("train",) * 4 + ("test",) * 4


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    one, odd = save(tmp_path / "one"), save_splits(tmp_path / "odd", "train", "unsupervised")
    torn = tmp_path / "torn.arrow"
    torn.write_bytes(write(tmp_path / "whole.arrow", TABLE).read_bytes()[:300])
    (tmp_path / "nothing").mkdir()
    named = save(tmp_path / "named")
    (named / "state.json").write_text("[]")
    lost = save(tmp_path / "lost")
    next(lost.glob("data-00001*")).unlink()
    for task, message in (
        (f"datasets:{one}", f"it is one split, read it as arrow:{one}"),
        (f"datasets:{tmp_path}/nothing", "write one so, or check the path"),
        (f"datasets:{tmp_path}/absent", "does not exist; check the path"),
        (f"datasets:{odd}", "got 'train', 'unsupervised'; name those that you mean, such as"),
        (f"arrow:{odd}", f"holds several splits; read it as datasets:{odd}"),
        (f"arrow:{tmp_path}/nothing", "expected an Arrow file, or a folder that Dataset.save_to"),
        (f"arrow:{tmp_path}/absent.arrow", "does not exist; check the path"),
        (f"arrow:{torn}", "torn.arrow is no whole Arrow file"),
        (f"arrow:{named}", "expected a JSON object, got .*; save it again"),
        (f"arrow:{lost}", "data-00001-of-00002.arrow does not exist"),
        (f"csv:{tmp_path}/whole.arrow", "is an Arrow file; read it as arrow:FILE"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            load_task(task)
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="encoding is of text files, Arrow has its own"):
        load_task(f"arrow:{torn}", encoding="utf-8")
    with pytest.raises(ConfigError, match="each table is one"):
        load_task(f"datasets:{save_splits(tmp_path / 'two', 'train', 'test')}", split_column="x")


def test_a_selection_of_an_old_version_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "one")
    state = json.loads((folder / "state.json").read_text())
    state["_indices_data_files"] = [{"filename": "indices.arrow"}]
    (folder / "state.json").write_text(json.dumps(state))
    with pytest.raises(DataError, match="with a selection of its rows; load and save it"):
        read_arrow(folder)


def test_settings_know_that_a_folder_has_splits(tmp_path: Path) -> None:
    data = DataSettings(task="datasets:reviews")
    assert data.predefined_splits
    assert data.own_splits
    assert DataSettings.model_validate(data.model_dump()) == data
    assert not DataSettings(task="arrow:reviews").own_splits
    for more, message in (
        ({"predefined_splits": False}, "has predefined splits; leave the option out"),
        ({"split_column": "part"}, "split_column does not go with datasets:reviews"),
    ):
        with pytest.raises(ValueError, match=message):
            DataSettings.model_validate({"task": "datasets:reviews", **more})


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The library ``datasets``, with a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        config = importlib.import_module("datasets.config")
        patch.setattr(config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("datasets"))
        bars = importlib.import_module("datasets.utils.tqdm")
        patch.setattr(bars, "_tqdm_active", False, raising=False)
        yield importlib.import_module("datasets")


def test_what_datasets_itself_saves_is_read(ds: Any, tmp_path: Path) -> None:
    names = ds.ClassLabel(names=["neg", "pos"])
    features = ds.Features({"text": ds.Value("string"), "label": names})
    train = ds.Dataset.from_dict({"text": TEXTS, "label": CODES}, features=features)
    test = train.shuffle(seed=0).filter(lambda row: row["text"] != "so")  # a selection, flattened
    both = ds.DatasetDict({"train": train, "test": test})
    both.save_to_disk(str(tmp_path / "saved"), num_shards={"train": 3, "test": 1})
    dataset = load_task(f"datasets:{tmp_path}/saved")
    assert rows_of(dataset) == rows_of(load_task(both))
    assert dataset.predefined == load_task(both).predefined
    shutil.rmtree(tmp_path / "saved" / "test")
    with pytest.raises(DataError, match=r"test: expected an Arrow file|test does not exist"):
        load_task(f"datasets:{tmp_path}/saved")
