"""``dimec traces``, and ``--trace`` in place of a trained run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dimec.report.wording import percent
from dimec.runs.run import Run
from dimec.traces.collection import VARIABLE, Collection
from dimec.traces.trace import Trace
from support.collected import ROWS, small_collection, small_entry, small_traces
from support.tiny import Said

Cli = Callable[..., Said]
NAME, OTHER = "sst2/tiny-joint/3", "sst2/tiny-own/3"
RUN = Path("runs/traces/sst2-tiny-joint-3")
QUICK = ("--draws", "5", "--no-curves")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_collection(tmp_path_factory.mktemp("collection"))


@pytest.fixture(autouse=True)
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small collection is the one that is looked in; runs go into an empty folder."""
    monkeypatch.setenv(VARIABLE, str(made))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shares_of(made: Path, name: str) -> list[float]:
    """How often each exit is right on the test rows."""
    shares: list[float] = (
        Collection.open(made).entry(name).trace("test").correct.mean(axis=0).tolist()
    )
    return shares


def test_the_list_has_every_name_with_its_tiers(made: Path, cli: Cli) -> None:
    said = cli("traces", "list")
    assert said.code == 0, said.err
    for name in (NAME, OTHER):
        (line,) = (line for line in said.out.splitlines() if name in line and "next" not in line)
        assert str(ROWS) in line
        assert " / ".join(percent(share) for share in shares_of(made, name)) in line
    assert f"next: dimec evaluate --trace {NAME} --systems all" in said.out
    told = json.loads(cli("traces", "list", "--json").out)
    assert [one["name"] for one in told] == [NAME, OTHER]
    assert told[0]["tiers"] == {"mobile": 2, "edge": 4, "cloud": 6}
    assert list(told[0]["test_accuracy"].values()) == pytest.approx(shares_of(made, NAME), abs=5e-5)


def test_an_empty_collection_lists_nothing(here: Path, cli: Cli) -> None:
    (here / "empty").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(here / "empty"))
        assert "0 recorded trainings" in cli("traces", "list").out
        assert json.loads(cli("traces", "list", "--json").out) == []


def test_a_card_is_shown_once_its_traces_are_checked(made: Path, cli: Cli) -> None:
    said = cli("traces", "show", NAME)
    assert said.code == 0, said.err
    right = f"edge: layer 4, right on {percent(shares_of(made, NAME)[1])} %"
    for words in ("glue/sst2", "tiny", "seed 3", right, "none stated"):
        assert words in said.out
    assert "both traces are whole" in said.out
    told = json.loads(cli("traces", "show", NAME, "--json").out)
    assert (told["name"], told["rows"]["test"]) == (NAME, ROWS)
    small_entry(Path("mine"))
    Path("mine/validation.safetensors").write_bytes(b"x")
    assert "is not what its card says" in cli("traces", "show", "mine").complaint()
    assert f"there are {NAME}" in cli("traces", "show", "sst2/tiny-jont/3").complaint()


@pytest.mark.parametrize("split", ["test", "validation"])
def test_a_trace_is_got_as_a_file_of_a_run(split: str, cli: Cli) -> None:
    out = Path("some folder/got.safetensors")
    said = cli("traces", "get", NAME, "--split", split, "--out", out, "--json")
    assert json.loads(said.out) == {"trace": str(out), "samples": ROWS, "exits": [2, 4, 6]}
    written = small_traces()[split == "test"]
    assert (Trace.load(out).guids, Trace.load(out).split) == (written.guids, split)
    assert (
        f"{out}: {ROWS} samples of glue/sst2, 3 exits"
        in cli("traces", "get", NAME, "--split", split, "--out", out).out
    )


def test_what_cannot_be_got_is_refused_and_leaves_nothing(here: Path, cli: Cli) -> None:
    line = cli("traces", "get", NAME, "--split", "train", "--out", "x").complaint()
    assert "has the traces validation and test, got 'train'" in line
    assert "has no traces 'none'" in cli("traces", "get", "none", "--out", "x").complaint()
    assert not list(here.iterdir())


def test_recorded_traces_are_fitted_evaluated_and_reported_on(cli: Cli) -> None:
    said = cli("fit", "--trace", NAME, "--policy", "max-softmax-tiers", "--lambda", "0.02")
    assert said.code == 0, said.err
    assert f"next: dimec evaluate {RUN}" in said.out
    said = cli("evaluate", "--trace", NAME, *QUICK, "--json")
    assert "nothing was fitted" not in said.err
    rows = {row["policy"] for row in json.loads(said.out)}
    assert rows >= {"all-mobile", "all-cloud", "max-softmax-tiers", "oracle"}
    said = cli("report", RUN)
    assert said.code == 0, said.err
    assert f"report: {RUN / 'report' / 'report.html'}" in said.out
    page = (RUN / "report" / "report.html").read_text("utf-8")
    assert "glue/sst2" in page
    assert "max-softmax-tiers" in page


def test_where_nothing_is_fitted_a_default_is_and_that_is_said(cli: Cli) -> None:
    said = cli("evaluate", "--trace", NAME, *QUICK, "--systems", "deebert,cascade", "--json")
    assert said.code == 0, said.err
    assert "nothing was fitted: fitted dimec" in said.err
    rows = {row["policy"] for row in json.loads(said.out)}  # nothing but JSON on standard output
    assert rows >= {"dimec-fixed", "dimec-adaptive", "deebert", "cascade"}
    again = cli("evaluate", RUN, *QUICK)
    assert "nothing was fitted" not in again.err


def test_a_folder_beside_the_option_is_where_the_work_goes(cli: Cli) -> None:
    said = cli("evaluate", "my run", "--trace", NAME, *QUICK)
    assert said.code == 0, said.err
    assert "next: dimec report 'my run'" in said.out
    assert Run(Path("my run")).recorded() is not None
    assert not Path("runs").exists()
    line = cli("evaluate", "my run", "--trace", OTHER, *QUICK).complaint()
    assert f"my run holds another run than the traces {OTHER}" in line
    assert Run(Path("my run")).training()["recorded"]["name"] == NAME


def test_neither_a_run_nor_a_name_is_refused(here: Path, cli: Cli) -> None:
    for command in ("fit", "evaluate"):
        said = cli(command)
        assert said.code == 2
        told = " ".join(said.err.replace("│", " ").split())  # in the box that shows the usage
        assert "Usage:" in told
        assert "--trace NAME for traces of the collection; got neither" in told
    assert "has no traces 'none'" in cli("fit", "--trace", "none").complaint()
    assert not list(here.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ("export", RUN, "bundle"),
        ("inspect", RUN),
        ("bottleneck", RUN),
        ("compress", RUN, "--method", "magnitude"),
        ("trace", "record", RUN, "--task", "csv:rows.csv"),
        ("map", "select", RUN, "--by", "easy"),
    ],
    ids=lambda words: words[0],
)
def test_what_needs_a_model_is_refused_in_one_line(
    words: tuple[object, ...], here: Path, cli: Cli
) -> None:
    Run.of_trace(NAME).fit_default()
    Path("rows.csv").write_text("text,label\ngood,1\nbad,0\n")
    line = cli(*words).complaint()
    assert line.startswith(f"{RUN} holds the recorded traces {NAME}, and no model")
    assert {path.name for path in here.iterdir()} == {"runs", "rows.csv"}
    assert "manifest.json does not exist" in cli("predict", RUN, "a text").complaint()
