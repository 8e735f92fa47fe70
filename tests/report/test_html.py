"""The page: complete by itself, safe, and the same every time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from dimec.base.errors import MismatchError, MissingExtraError, StorageError
from dimec.evaluation.ledger import Ledger
from dimec.report import PooledInputs, write_report
from dimec.report.projection import project

MakeInputs = Callable[..., PooledInputs]
FIGURES = ("accuracy_cost", "data_map", "pools", "tiers", "tsne")
VOID = {"meta", "link", "br", "img", "input", "hr"}


class _Page(HTMLParser):
    """Collects tags, ids and links, and checks that elements close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.labels: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._note(attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._note(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def _note(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name in ("src", "href", "xlink:href"):
                self.links.append(value or "")
            elif name in ("aria-labelledby", "aria-describedby"):
                self.labels += (value or "").split()


@pytest.fixture
def page(make_inputs: MakeInputs, tmp_path: Path) -> str:
    """The text of a page with an empty medium pool."""
    return write_report(make_inputs(beta=0.25), tmp_path).read_text("utf-8")


def test_page_is_well_formed_self_contained_and_without_script(page: str) -> None:
    parsed = _Page(page)
    assert "script" not in parsed.tags
    assert parsed.tags.count("svg") == len(FIGURES)
    outside = [link for link in parsed.links if not link.startswith(("#", "data:"))]
    assert sorted(outside) == sorted(
        f"{name}.{kind}" for name in FIGURES for kind in ("csv", "svg")
    )
    without_names = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert not re.search(r"https?://", without_names)
    assert "url(" not in re.sub(r"url\(#[^)]*\)", "", without_names)


def test_ids_are_unique_and_every_reference_has_a_target(page: str) -> None:
    parsed = _Page(page)
    assert len(parsed.ids) == len(set(parsed.ids))
    assert set(parsed.labels) <= set(parsed.ids)
    assert {link[1:] for link in parsed.links if link.startswith("#")} <= set(parsed.ids)


def test_page_tells_summary_table_notes_and_empty_pool(page: str) -> None:
    assert "dimec-fixed saves 34.1 % of the cost of sending everything to the cloud" in page
    assert "<small>1.2 to 3.8</small>" in page
    assert "<td>\N{MINUS SIGN}5.0<small>\N{MINUS SIGN}6.4 to \N{MINUS SIGN}3.7</small></td>" in page
    assert "dimec&#x27;s choice, not the paper&#x27;s" in page
    assert "The medium pool is empty: the edge gets no traffic." in page
    assert "versions dimec" in page
    assert "<code>dimec report RUN</code>" in page


def test_everything_from_data_is_escaped(
    make_inputs: MakeInputs,
    ledger: Ledger,
    change_row: Callable[..., Ledger],
    tmp_path: Path,
) -> None:
    evil = "<script>alert('x')</script>&\"$title$"
    changed = change_row(ledger, "oracle", policy=evil)
    context = {**changed.context, "task": evil, "backbone": evil, evil: {evil: evil}, "grid": evil}
    changed = replace(changed, context=context, metric_name=evil)
    text = write_report(make_inputs(12, ledger=changed), tmp_path).read_text("utf-8")
    parsed = _Page(text)
    assert "script" not in parsed.tags
    assert "<script" not in text
    assert "<title>dimec report: &lt;script&gt;" in text
    assert "$title$" in text


def test_two_writes_give_the_same_bytes(make_inputs: MakeInputs, tmp_path: Path) -> None:
    inputs = make_inputs(25)
    first = write_report(inputs, tmp_path / "a").parent
    second = write_report(inputs, tmp_path / "b").parent
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(
        ["report.html", *(f"{name}.{kind}" for name in FIGURES for kind in ("csv", "svg"))]
    )
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_another_process_finds_the_same_places(tmp_path: Path) -> None:
    embeddings = np.random.default_rng(0).normal(size=(25, 8)).astype(np.float32)
    np.save(tmp_path / "embeddings.npy", embeddings)
    code = (
        "import sys, numpy as np\n"
        "from dimec.report.projection import project\n"
        "sys.stdout.buffer.write(project(np.load(sys.argv[1]), 0).tobytes())"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "embeddings.npy")],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONHASHSEED": "1"},
    ).stdout
    assert told == project(embeddings, 0).tobytes()


def test_progress_is_told_and_the_path_returned(make_inputs: MakeInputs, tmp_path: Path) -> None:
    told: list[str] = []
    path = write_report(make_inputs(12), tmp_path / "new" / "report", progress=told.append)
    assert path == tmp_path / "new" / "report" / "report.html"
    assert len(told) == len(FIGURES) + 1


@pytest.mark.parametrize("package", ["matplotlib", "openTSNE"])
def test_a_missing_package_is_named_and_nothing_is_written(
    make_inputs: MakeInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{package}.*dimec\[plots\]"):
        write_report(make_inputs(12), tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_a_folder_that_cannot_be_made_is_a_storage_error(
    make_inputs: MakeInputs, tmp_path: Path
) -> None:
    (tmp_path / "report").write_text("in the way")
    with pytest.raises(StorageError):
        write_report(make_inputs(12), tmp_path / "report" / "inside")


def test_inputs_of_different_splits_are_refused(make_inputs: MakeInputs) -> None:
    with pytest.raises(MismatchError, match=r"embeddings of 12 validation samples.*got 7"):
        make_inputs(12, embeddings=np.zeros((7, 3), dtype=np.float32))
    with pytest.raises(MismatchError, match="pool codes of 0 to 2"):
        make_inputs(12, pools=np.full(12, 3))


def test_importing_the_report_loads_neither_matplotlib_nor_opentsne() -> None:
    code = (
        "import sys, dimec.report\n"
        "print([m for m in ('matplotlib', 'openTSNE', 'sklearn', 'rich') if m in sys.modules])"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert told.strip() == "[]"


def test_settings_are_told_once_and_unset_ones_not_at_all(
    make_inputs: MakeInputs, ledger: Ledger, tmp_path: Path
) -> None:
    extra = {"validation_rows": 12, "seed": 12345, "costs": {"edge_layer": 1.0, "other": None}}
    changed = replace(ledger, context={**ledger.context, **extra})
    text = write_report(make_inputs(12, ledger=changed), tmp_path).read_text("utf-8")
    assert text.count("validation rows</th><td>12</td>") == 1
    assert ">seed</th><td>12345</td>" in text
    assert "costs edge layer" in text
    assert "costs other" not in text
