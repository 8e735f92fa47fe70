"""Others' tables become folders of traces: parted, priced, and whole or not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from dimec.base.errors import ConfigError, DataError
from dimec.data.recorded import Columns
from dimec.runs.importing import Import, import_table
from dimec.traces.collection import load_trace
from support.records import correctness_rows, long_rows, write_rows


def test_the_halves_are_stratified_and_the_same_again(tmp_path: Path) -> None:
    table = str(write_rows(tmp_path / "exits.csv", long_rows(41)))
    made = import_table(table, tmp_path / "one", Import())
    again = import_table(table, tmp_path / "two", Import())
    digests = {"sha256": made.card.sha256}  # of headers in no certain order
    assert made.card.model_dump() == again.card.model_dump() | digests
    assert made.card.rows == {"validation": 21, "test": 20}
    assert [(tier.name, tier.layer, tier.price) for tier in made.card.tiers] == [
        ("mobile", 2, None),
        ("edge", 3, None),
        ("cloud", 6, None),
    ]
    traces = [load_trace(f"{tmp_path}/one/{split}") for split in ("validation", "test")]
    assert not set(traces[0].guids) & set(traces[1].guids)
    shares = [trace.labels.mean() for trace in traces]
    assert abs(shares[0] - shares[1]) < 0.05
    other = import_table(table, tmp_path / "three", Import(seed=1, share=0.3))
    assert other.card.rows == {"validation": 12, "test": 29}


def test_a_column_or_a_second_table_says_the_splits(tmp_path: Path) -> None:
    rows = long_rows(45)
    for row in rows:
        part = int(str(row["id"]).removeprefix("s")) % 3
        row["part"] = ("train", "dev", "Test")[part]
    table = str(write_rows(tmp_path / "all.csv", rows))
    made = import_table(table, tmp_path / "one", Import(columns=Columns(split_column="part")))
    assert (made.card.rows, made.left_out) == ({"validation": 15, "test": 15}, 15)
    files = {
        part: str(
            write_rows(tmp_path / f"{part}.csv", [row for row in rows if row["part"] == part])
        )
        for part in ("dev", "Test")
    }
    import_table(files["Test"], tmp_path / "two", Import(validation=files["dev"], task="all"))
    for split in ("validation", "test"):
        one, other = (load_trace(f"{tmp_path}/{name}/{split}") for name in ("one", "two"))
        assert one.guids == other.guids
        np.testing.assert_array_equal(one.probabilities, other.probabilities)


def test_models_are_tiers_from_the_cheapest_on_or_as_they_are_named(tmp_path: Path) -> None:
    table = str(write_rows(tmp_path / "models.csv", rows := correctness_rows(30)))
    made = import_table(table, tmp_path / "one", Import(per=1000))
    means = {name: mean_of(rows, f"{name}_cost") for name in ("a", "B", "c")}
    assert [tier.name for tier in made.card.tiers] == ["c", "a", "b"]
    for tier, name in zip(made.card.tiers, "caB", strict=True):
        assert tier.price == pytest.approx((0, 0, 1000 * means[name]))
    trace = load_trace(f"{tmp_path}/one/test")
    assert trace.sources == ("c", "a", "b")
    by_guid = {row["id"]: row for row in rows}
    for source, column in zip("cab", "caB", strict=True):
        right = [by_guid[guid][column] == 1 for guid in trace.guids]
        assert trace.correct[:, trace.column(1, source)].tolist() == right
    named = Import(tiers="dc=B,c", costs={"c": 9.0})
    other = import_table(table, tmp_path / "two", named)
    told = [(tier.name, tier.price) for tier in other.card.tiers]
    assert told == [("dc", (0, 0, pytest.approx(means["B"]))), ("c", (0, 0, 9.0))]


def mean_of(rows: Sequence[Mapping[str, object]], name: str) -> float:
    return float(np.mean([float(str(row[name])) for row in rows]))


def test_costs_of_exits_are_their_column_s_or_what_is_given(tmp_path: Path) -> None:
    rows = [{**row, "usd": 0.1 * int(str(row["layer"]))} for row in long_rows(30)]
    table = str(write_rows(tmp_path / "exits.csv", rows))
    wanted = Import(
        columns=Columns(cost_column="usd"), tiers="phone=1,dc=6", costs={"phone": 3.0}, per=2
    )
    made = import_table(table, tmp_path / "out", wanted)
    told = [(tier.name, tier.price) for tier in made.card.tiers]
    assert told == [("phone", (0, 0, 6.0)), ("dc", (0, 0, pytest.approx(1.2)))]


def test_embeddings_are_those_of_the_samples(tmp_path: Path) -> None:
    table = str(write_rows(tmp_path / "models.csv", rows := correctness_rows(24)))
    numbers = np.arange(48, dtype=np.float64).reshape(24, 2)
    np.save(tmp_path / "e.npy", numbers)
    import_table(table, tmp_path / "out", Import(embeddings=tmp_path / "e.npy"))
    trace = load_trace(f"{tmp_path}/out/test")
    place = [[row["id"] for row in rows].index(guid) for guid in trace.guids]
    np.testing.assert_allclose(trace.embeddings, numbers[place], atol=0.2)
    np.save(tmp_path / "e.npy", numbers[1:])
    for wrong in ("e.npy", "models.csv", "none.npy", "/dev/zero"):
        with pytest.raises(DataError, match=f"{wrong}.*expected"):
            import_table(table, tmp_path / "no", Import(embeddings=tmp_path / wrong))


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ({"tiers": "2,9"}, "tiers: the table has no exit 9; it has 1, 2, 3, 4, 5, 6"),
        ({"costs": {"phone": 1.0}}, "expected the tiers mobile, edge, cloud for costs"),
        ({"costs": {"edge": -1.0}}, "an answer of edge costs -1; expected a number from 0 on"),
        ({"label_names": ("yes",)}, "label_names: the table has the class 'no' too"),
        ({"share": 0.1}, "4 validation rows, of 40 in all"),
        ({"share": 1.0}, "validation_share is 1; give a share"),
        ({"form": "tall"}, "form is 'tall'; use one of long, wide, correctness"),
        ({"metric": "recall"}, "metric is 'recall'; use one of"),
        ({"columns": Columns(threshold=0.5)}, "threshold is of correctness tables"),
        ({"columns": Columns(split_column="gold")}, "expected train, validation"),
        ({"validation": "x.txt"}, "expected a table such as records.csv or csv:PATH, got 'x.txt'"),
        (
            {"validation": "x.csv", "columns": Columns(split_column="gold")},
            "give validation or split_column, not both",
        ),
        ({"validation": "x.csv", "embeddings": Path("e.npy")}, "embeddings is of one table"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(
    tmp_path: Path, wanted: dict[str, object], problem: str
) -> None:
    table = str(write_rows(tmp_path / "exits.csv", long_rows(40)))
    with pytest.raises((ConfigError, DataError)) as caught:
        import_table(table, tmp_path / "out", Import(**wanted))  # type: ignore[arg-type]
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_two_tables_are_of_one_form(tmp_path: Path) -> None:
    exits, models = (
        str(write_rows(tmp_path / f"{name}.csv", rows))
        for name, rows in (("exits", long_rows(12)), ("models", correctness_rows(12)))
    )
    with pytest.raises(ConfigError, match="the tables are long and correctness ones by their col"):
        import_table(exits, tmp_path / "out", Import(validation=models))


def test_a_model_whose_cost_nobody_knows_is_asked_for(tmp_path: Path) -> None:
    rows = [{k: v for k, v in row.items() if k != "a_cost"} for row in correctness_rows(30)]
    table = str(write_rows(tmp_path / "models.csv", rows))
    with pytest.raises(ConfigError, match="nobody says what an answer of a costs; give it with"):
        import_table(table, tmp_path / "out", Import(tiers="a,B"))
    for wanted in (Import(metric="f1"), Import(label_names=("right", "wrong"))):
        with pytest.raises(ConfigError, match="needs answers, and a table of which models"):
            import_table(table, tmp_path / "out", wanted)
    made = import_table(table, tmp_path / "out", Import(tiers="a,B", costs={"a": 1.0}))
    assert made.by_model


def test_a_folder_that_is_there_is_not_written_over_unasked(tmp_path: Path) -> None:
    table = str(write_rows(tmp_path / "exits.csv", long_rows(30)))
    out = tmp_path / "out"
    import_table(table, out, Import())
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    with pytest.raises(ConfigError, match="holds traces already; choose another out"):
        import_table(table, out, Import(seed=3))
    with pytest.raises(ConfigError, match="is there and holds no traces"):
        import_table(table, tmp_path, Import())
    with pytest.raises(ConfigError, match="no exit 9"):
        import_table(table, out, Import(tiers="9"), overwrite=True)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    assert import_table(table, out, Import(seed=3), overwrite=True).card.seed == 3
    assert load_trace(f"{out}/test").guids
