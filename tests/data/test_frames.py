"""Labelled texts given in memory."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from dimec.base.errors import ConfigError, DataError
from dimec.data import Dataset, load_task

TEXTS, LABELS = ["good", "bad", ""], [1, 0, 0]
COLUMNS = {"text": TEXTS, "label": LABELS}


class Stream:
    """A table that knows nothing but Arrow's stream, as that of any library."""

    def __init__(self, table: pyarrow.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


@pytest.fixture(scope="module")
def pd() -> Any:
    return importlib.import_module("pandas")


@pytest.fixture(scope="module")
def pl() -> Any:
    return importlib.import_module("polars")


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The library ``datasets``, with a cache of its own and no way to a hub."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        config = importlib.import_module("datasets.config")
        assert config.HF_HUB_OFFLINE
        patch.setattr(config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("datasets"))
        yield importlib.import_module("datasets")


def named(ds: Any, texts: list[str] = TEXTS, codes: list[int] = LABELS) -> Any:
    """A split of datasets whose labels are codes of classes."""
    features = {"text": ds.Value("string"), "label": ds.ClassLabel(names=["neg", "pos"])}
    columns = {"text": texts, "label": codes}
    return ds.Dataset.from_dict(columns, features=ds.Features(features))


def rows(dataset: Dataset) -> list[tuple[str, str]]:
    names = [dataset.label_names[code] for code in dataset.labels]
    return list(zip(dataset.texts, names, strict=True))


def refused(table: object, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_task(table)
    assert len(str(caught.value)) < 300


PLAIN = [("good", "1"), ("bad", "0"), ("", "0")]
NAMED = [("good", "pos"), ("bad", "neg"), ("", "neg")]


@pytest.mark.parametrize(
    "table",
    [
        COLUMNS,
        {"text": tuple(TEXTS), "label": np.array(LABELS), "other": np.array(TEXTS)},
        {"text": pyarrow.array(TEXTS), "label": pyarrow.chunked_array([LABELS[:1], LABELS[1:]])},
        [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)],
        pyarrow.table(COLUMNS),
        Stream(pyarrow.table(COLUMNS)),
        Stream(pyarrow.table({"text": pyarrow.array(TEXTS).dictionary_encode(), "label": LABELS})),
        Stream(
            pyarrow.table({"text": pyarrow.array(TEXTS, pyarrow.large_string()), "label": LABELS})
        ),
        {"text": TEXTS, "label": [1.0, 0.0, 0.0]},
        {"text": list(np.array(TEXTS)), "label": list(np.array(LABELS))},
        [{"text": np.str_(t), "label": np.float32(n)} for t, n in zip(TEXTS, LABELS, strict=True)],
    ],
)
def test_every_form_gives_the_same_rows(table: object) -> None:
    dataset = load_task(table)
    assert rows(dataset) == PLAIN
    assert dataset.guids == ("row-0", "row-1", "row-2")
    assert dataset.predefined is None


def test_a_file_and_the_same_table_have_one_fingerprint(tmp_path: Path) -> None:
    table = pyarrow.table({"text": TEXTS, "label": [True, False, False]})
    parquet.write_table(table, tmp_path / "a.parquet")
    from_file = load_task(tmp_path / "a.parquet").fingerprint()
    assert load_task(table).fingerprint() == from_file == load_task(Stream(table)).fingerprint()


def test_classes_of_datasets_have_their_names() -> None:
    schema = pyarrow.table(COLUMNS).replace_schema_metadata(
        {"huggingface": '{"info": {"features": {"label": {"names": ["neg", "pos"]}}}}'}
    )
    assert rows(load_task(Stream(schema))) == NAMED


def test_columns_and_splits_are_chosen_as_in_a_file() -> None:
    table = {
        "review": TEXTS,
        "title": TEXTS,
        "mood": ["x", "y", "y"],
        "part": ["train", "dev", "test"],
    }
    dataset = load_task(
        table,
        text_column="review",
        pair_column="title",
        label_column="mood",
        split_column="part",
        metric="f1",
    )
    assert (dataset.pairs, dataset.label_names) == (tuple(TEXTS), ("x", "y"))
    assert (dataset.predefined, dataset.metric) == (("train", "validation", "test"), "f1")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"text": TEXTS, "label": [1, 0]}, "column 'label' has 2 values, 'text' has 3"),
        ({"text": "good", "label": [1, 0]}, "the table: text: expected a list of values, got str"),
        ({"text": TEXTS, "label": [1, None, 0]}, "the table, row 2: the label .* is missing"),
        ({"text": [1, 2], "label": [1, 0]}, "the table, row 1: expected a text in column 'text'"),
        ({"review": TEXTS, "label": LABELS}, "no column called text, .*text_column"),
        ([("good", 1), ("bad", 0)], "row 1: expected a mapping such as"),
        (7, "expected a table with __arrow_c_stream__ .*got int"),
        (Stream(pyarrow.chunked_array([TEXTS])), "cannot be read as an Arrow table"),
        ([], "has no rows"),
        ({"text": [], "label": []}, "has no rows"),
        ({"text": TEXTS, "label": [1, 1, 1]}, "one class only"),
        ({"train": COLUMNS}, "expected train and at least one of"),
        ({"train": COLUMNS, "test": COLUMNS, "unsupervised": COLUMNS}, "got also 'unsupervised'"),
        ({"train": "a.csv", "validation_matched": "b.csv"}, "got also 'validation_m"),
        (
            {"train": COLUMNS, "test": {"text": TEXTS, "label": [None, " ", float("nan")]}},
            "the test table: none of its 3 rows has a label in column 'label'; leave",
        ),
        (pyarrow.table([TEXTS, TEXTS], ["text", "text"]), "called 'text'; rename one of them$"),
        ({"dev": COLUMNS, "test": COLUMNS}, "expected train and at least one of"),
        ({"train": COLUMNS, "dev": COLUMNS, "val": COLUMNS}, "expected train and at least one of"),
    ],
)
def test_what_is_wrong_is_said(table: object, message: str) -> None:
    refused(table, message)


def test_options_of_files_do_not_go_with_a_table() -> None:
    for options in (
        {"delimiter": ";"},
        {"encoding": "utf-8"},
        {"header": False},
        {"data_dir": "x"},
    ):
        with pytest.raises(ConfigError, match=f"{next(iter(options))}.* does not go with"):
            load_task(COLUMNS, **options)


def test_columns_of_arrow(tmp_path: Path) -> None:
    chunks = [
        pyarrow.table({"text": pyarrow.array([text]).dictionary_encode(), "label": [label]})
        for text, label in zip(TEXTS, LABELS, strict=True)
    ]
    far = pyarrow.array([2**40, 1, 2], pyarrow.timestamp("s"))
    table = pyarrow.concat_tables(chunks).append_column("when", far)
    assert table.column("text").num_chunks == 3
    assert rows(load_task(table)) == rows(load_task(table.to_reader())) == PLAIN
    parquet.write_table(table, tmp_path / "a.parquet")
    assert rows(load_task(tmp_path / "a.parquet", pair_column="text")) == PLAIN
    view = pyarrow.array(TEXTS, pyarrow.string_view())
    assert rows(load_task(pyarrow.table({"text": view, "label": LABELS}).to_batches()[0])) == PLAIN


class TestPandas:
    @pytest.mark.parametrize(
        "kind", ["str", "object", "string", "string[python]", "string[pyarrow]", "category"]
    )
    def test_columns_of_texts(self, pd: Any, kind: str) -> None:
        labels = pd.Series(["pos", "neg", "neg"], dtype=kind)
        frame = pd.DataFrame({"text": pd.Series(TEXTS, dtype=kind), "label": labels})
        assert rows(load_task(frame)) == rows(load_task(dict(frame))) == NAMED

    @pytest.mark.parametrize(
        ("values", "kind", "names"),
        [
            (LABELS, "int8", "100"),
            (LABELS, "Int64", "100"),
            (LABELS, "float16", "100"),
            (LABELS, "int64[pyarrow]", "100"),
            (LABELS, "category", "100"),
            (LABELS, "Sparse[int]", "100"),
            ([1, 0.0, False], "object", ["1", "0.0", "false"]),
            ([1.5, 0, 0], "Float64", ["1.5", "0.0", "0.0"]),
            ([True, False, False], "bool", ["true", "false", "false"]),
            ([True, False, False], "boolean", ["true", "false", "false"]),
            ([True, "false", "FALSE"], "object", ["true", "false", "false"]),
            ([True, False, False], "category", ["true", "false", "false"]),
            ([1, "x", "x"], "object", "1xx"),
        ],
    )
    def test_labels_follow_the_one_rule(
        self, pd: Any, values: list[Any], kind: str, names: list[str] | str
    ) -> None:
        frame = pd.DataFrame({"text": TEXTS, "label": pd.Series(values, dtype=kind)})
        expected = list(zip(TEXTS, names, strict=True))
        assert rows(load_task(frame)) == rows(load_task(frame.to_dict("records"))) == expected

    @pytest.mark.parametrize(
        "kind", ["float64", "Int64", "boolean", "int64[pyarrow]", "category", "object", "string"]
    )
    def test_a_missing_cell_is_named(self, pd: Any, kind: str) -> None:
        frame = pd.DataFrame({"text": TEXTS, "label": pd.Series([1, None, 0], dtype=kind)})
        for table in (frame, dict(frame), frame.to_dict("records")):
            refused(table, r"the table, row 2: the label .* is missing")
        if kind in ("object", "string", "category"):
            frame = pd.DataFrame({"text": pd.Series(["a", None, "b"], dtype=kind), "label": LABELS})
            refused(frame, r"row 2: expected a text .*, got nothing")

    def test_rows_are_in_the_frames_order_whatever_its_index(self, pd: Any) -> None:
        frame = pd.DataFrame({"text": ["drop", *TEXTS], "label": [5, *LABELS]})
        kept = frame[frame["label"] < 5]
        backwards = kept.sort_index(ascending=False)
        for table in (kept, kept.set_axis(["x", "y", "z"]), kept.set_index("text"), dict(kept)):
            assert rows(load_task(table)) == PLAIN
        assert rows(load_task(backwards)) == rows(load_task(dict(backwards))) == PLAIN[::-1]
        assert load_task(kept).guids == ("row-0", "row-1", "row-2")
        assert load_task(kept).fingerprint() == load_task(COLUMNS).fingerprint()

    def test_other_columns_may_hold_anything(self, pd: Any) -> None:
        days = pd.to_datetime(["2020-01-01 00:00:00.123456789", None, None])
        mixed = {"mixed": [{"a": 1}, [2], "x"], "sets": [{1}, object(), 1j]}
        frame = pd.DataFrame(COLUMNS).assign(**mixed, day=days)
        frame[7] = [1, 2, 3]
        assert rows(load_task(frame)) == PLAIN

    def test_what_is_wrong_is_said(self, pd: Any) -> None:
        frame = pd.DataFrame(COLUMNS)
        for table, message in (
            (pd.concat([frame, frame], axis=1), "two columns are called 'text'; rename one of"),
            (frame[:0], "has no rows"),
            (frame.assign(text=[1, "x", "y"]), "row 1: expected a text in column 'text', got 1"),
            (frame.assign(label=pd.to_datetime(["2020"] * 3)), "expected a text or a number"),
            (frame.groupby("label"), "got DataFrameGroupBy"),
        ):
            refused(table, message)


class TestPolars:
    @pytest.mark.parametrize("kind", ["String", "Categorical", "Enum"])
    def test_columns_of_texts_and_slices(self, pl: Any, kind: str) -> None:
        words = ["drop", *TEXTS, "pos", "neg"]
        form = pl.Enum(words) if kind == "Enum" else getattr(pl, kind)
        labels = ["drop", "pos", "neg", "neg", "drop"]
        columns = {"text": ["drop", *TEXTS, "drop"], "label": labels}
        frame = pl.DataFrame(columns, schema={"text": form, "label": form})
        for table in (
            frame[1:4],
            frame.filter(pl.col("label") != "drop"),
            dict(frame[1:4].to_dict()),
        ):
            assert rows(load_task(table)) == NAMED
        single = [frame[row : row + 1] for row in (1, 2, 3)]
        assert rows(load_task(pl.concat(single, rechunk=False))) == NAMED

    @pytest.mark.parametrize("kind", ["Int8", "UInt64", "Float32", "Decimal", "Boolean"])
    def test_labels_follow_the_one_rule(self, pl: Any, kind: str) -> None:
        form = pl.Decimal(9, 2) if kind == "Decimal" else getattr(pl, kind)
        frame = pl.DataFrame(COLUMNS).with_columns(pl.col("label").cast(form))
        names = ["true", "false", "false"] if kind == "Boolean" else list("100")
        assert rows(load_task(frame)) == list(zip(TEXTS, names, strict=True))

    def test_what_is_wrong_is_said(self, pl: Any) -> None:
        for table, message in (
            (pl.DataFrame({"text": TEXTS, "label": [1, None, 0]}), "row 2: the label .* missing"),
            (pl.DataFrame({"text": TEXTS, "label": [1.0, float("nan"), 0.0]}), "row 2: the label"),
            (pl.DataFrame({"text": TEXTS, "label": [[1], [0], [0]]}), "expected a text or a num"),
            (pl.LazyFrame(COLUMNS), "got LazyFrame; collect it first"),
        ):
            refused(table, message)


def test_frames_of_two_libraries_are_splits(pd: Any, pl: Any) -> None:
    columns = {"text": TEXTS, "label": ["pos", "neg", "neg"]}
    train = pd.DataFrame(columns, dtype="category")[::-1]
    dataset = load_task({"train": train, "dev": pl.DataFrame(columns)})
    assert rows(dataset) == NAMED[::-1] + NAMED
    assert dataset.predefined == ("train",) * 3 + ("validation",) * 3
    bare = pl.DataFrame({"text": TEXTS, "label": [None] * 3})
    refused({"train": train, "dev": bare}, "the validation table: none of its 3 rows has a label")


class TestDatasets:
    def test_rows_are_in_the_order_of_the_split(self, ds: Any) -> None:
        split = named(ds, ["drop", *TEXTS], [0, *LABELS])
        assert rows(load_task(split.select([1, 2, 3]))) == NAMED
        assert rows(load_task(split.select([3, 2, 1]))) == NAMED[::-1]
        many = [str(number) for number in range(20)]
        shuffled = named(ds, many, [number % 2 for number in range(20)]).shuffle(seed=1)
        assert shuffled[:]["text"] != many
        assert rows(load_task(shuffled)) == [
            (text, ("neg", "pos")[int(text) % 2]) for text in shuffled[:]["text"]
        ]

    @pytest.mark.parametrize("form", ["numpy", "pandas", "polars", "arrow"])
    def test_a_form_set_for_other_use_changes_nothing(self, ds: Any, form: str) -> None:
        split = named(ds)
        for table in (split.with_format(form), split.with_format(form, columns=["label"])):
            dataset = load_task(table)
            assert rows(dataset) == NAMED
            assert {type(text) for text in dataset.texts} == {str}

    def test_a_stream_is_read_once(self, ds: Any) -> None:
        passes: list[int] = []

        def generate() -> Iterator[dict[str, Any]]:
            passes.append(len(passes))  # a second pass would be in another order
            for text, label in zip(TEXTS, LABELS, strict=True):
                yield {"text": text, "label": label}

        assert rows(load_task(ds.IterableDataset.from_generator(generate))) == PLAIN
        assert len(passes) == 1
        stream = named(ds).to_iterable_dataset()
        assert rows(load_task(stream)) == NAMED
        assert sorted(rows(load_task(stream.shuffle(seed=0)))) == sorted(NAMED)

    @pytest.mark.parametrize("second", ["validation", "dev", "test"])
    def test_a_dictionary_of_splits(self, ds: Any, second: str) -> None:
        table = ds.DatasetDict({ds.Split.TRAIN: named(ds), second: named(ds).select([1, 0])})
        dataset = load_task(table)
        assert rows(dataset) == [*NAMED, NAMED[1], NAMED[0]]
        assert (
            dataset.predefined
            == ("train",) * 3 + ("test" if second == "test" else "validation",) * 2
        )
        assert dataset.guids[2:4] == ("train-2", f"{dataset.predefined[-1]}-0")

    def test_what_is_wrong_is_said(self, ds: Any) -> None:
        split, bare = named(ds), named(ds, codes=[-1, -1, -1])
        for table, message in (
            (named(ds, codes=[1, -1, 0]), "the table, row 2: the label .* is missing"),
            (
                ds.DatasetDict({"train": split, "validation": split, "test": bare}),
                "the test table: none of its 3 rows has a label in column 'label'; leave this",
            ),
            (
                ds.DatasetDict({"train": split, "test": split, "unsupervised": bare}),
                "got also 'unsupervised'; leave them out",
            ),
            (ds.DatasetDict({"train": split}), "expected train and at least one of"),
            (ds.Dataset.from_dict({}), "has no rows"),
        ):
            refused(table, message)
