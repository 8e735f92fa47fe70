"""``dimec export``: what it prints, and what it refuses."""

from __future__ import annotations

import json
import re
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dimec.bundle.folders import verify_bundle
from support.tiny import Said, contents
from support.warm import warm_dimec

pytestmark = pytest.mark.usefixtures("one_trace")

Cli = Callable[..., Said]


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle; an export of the same run to it does not trace the model again."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def test_it_prints_what_each_tier_takes_and_how_it_compares(
    cli: Cli, finished_run: Path, bundle: Path
) -> None:
    said = cli("export", finished_run, bundle)
    assert said.code == 0, said
    head, mobile, edge, cloud, *notes = said.out.splitlines()
    for word in ("tier", "exit", "disk MB", "max Δp", "labels", "routes", "start ms", "RAM MB"):
        assert word in head
    assert re.match(r"mobile +1 +fp32 .* 100\.0 % +100\.0 % ", mobile)
    assert re.match(r"edge +2 +fp32 .* 100\.0 % ", edge)
    assert re.match(r"cloud +4 +fp32 .* 100\.0 % ", cloud)
    assert all(len(line) <= 80 for line in (head, mobile, edge, cloud))
    assert "240 rows of the run" in notes[0]
    assert notes[-2:] == [f"exported {finished_run} to {bundle}", f"next: dimec up {bundle}"]
    assert "is exported already" in said.err


@pytest.mark.parametrize("looks", ["none", "1"])
def test_looks_at_nothing_but_its_own_exit_are_the_same_bundle(
    cli: Cli, finished_run: Path, bundle: Path, looks: str
) -> None:
    said = cli("export", finished_run, bundle, "--looks", looks)
    assert "is exported already" in said.err
    assert not re.search("^mobile, exit", said.out, re.MULTILINE)


def test_each_exit_of_the_mobile_is_compared(cli: Cli, cut_bundle: Path, tmp_path: Path) -> None:
    run = cut_bundle.parent / "run"
    copy = shutil.copytree(cut_bundle, tmp_path / "bundle")
    said = cli("export", run, copy)
    found = re.findall(r"^mobile, exit (\d): max Δp .*e-0., labels 100\.0 %$", said.out, re.M)
    assert found == ["0", "1", "2", "4"]


def test_json_is_all_that_stands_on_standard_output(
    cli: Cli, finished_run: Path, bundle: Path, tmp_path: Path
) -> None:
    words: list[Any] = ["export", finished_run, bundle, "--triton", tmp_path / "triton"]
    words += ["--triton-backend", "python", "--triton-instances", 2]
    said = cli(*words, "--json")
    assert said.code == 0, said
    report = json.loads(said.out)
    assert report["path"] == str(bundle)
    assert report["reused"] is True
    assert report["triton"] == str(tmp_path / "triton")
    assert [tier["tier"] for tier in report["tiers"]] == ["mobile", "edge", "cloud"]
    for tier in report["tiers"]:
        assert tier["parity"]["agreement"] == 1
        assert tier["parity"]["difference"] < 1e-5
        assert tier["footprint"]["memory_bytes"] > tier["footprint"]["base_bytes"]
        assert tier["disk_bytes"] > 0
    config = (tmp_path / "triton" / "edge" / "config.pbtxt").read_text()
    assert 'backend: "python"' in config
    assert "count: 2" in config


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--int8", "phone"], "expected the tiers mobile, edge, cloud for --int8, got 'phone'"),
        (["--int8", "mobile"], "holds another bundle"),
        (["--looks", "1;2"], "--looks: expected layers such as 1,2, or none, got '1;2'"),
        (["--looks", "2"], "--looks: the mobile can stop at the exits 1 of this run, got 2"),
        (["--looks", ""], "--looks: expected layers"),
        (["--triton", "NEW", "--triton-backend", "tensorrt"], "got 'tensorrt'"),
        (["--executorch", "NEW"], "pip install 'dimec[executorch]'"),
        (["--triton", "NEW", "--triton-instances", "0"], "expected at least one instance"),
    ],
)
def test_wrong_options_are_one_line_and_change_nothing(
    cli: Cli, finished_run: Path, bundle: Path, words: list[str], expected: str
) -> None:
    before = contents(bundle)
    given = [str(bundle.parent / "new") if word == "NEW" else word for word in words]
    assert expected in cli("export", finished_run, bundle, *given).complaint()
    assert contents(bundle) == before
    assert not (bundle.parent / "new").exists()


def test_what_is_no_run_is_one_line(cli: Cli, tmp_path: Path) -> None:
    line = cli("export", tmp_path / "nothing", tmp_path / "bundle").complaint()
    assert "is no run directory" in line
    assert not list(tmp_path.iterdir())


def test_an_unfitted_run_says_what_to_do(
    cli: Cli, run_copy: Callable[..., Path], tmp_path: Path
) -> None:
    run = run_copy()
    (run / "policy.json").unlink()
    assert "make it with: dimec fit" in cli("export", run, tmp_path / "bundle").complaint()


def test_a_full_disk_is_one_line_and_leaves_the_old_bundle(
    run_copy: Callable[..., Path], bundle: Path
) -> None:
    run, before = run_copy(), contents(bundle)
    words = ("export", run, bundle, "--overwrite")
    line = warm_dimec(*words, limits={resource.RLIMIT_FSIZE: 40_000}).complaint()
    assert line.startswith(("no room to write", "cannot write"))
    assert contents(bundle) == before
    verify_bundle(bundle)
    assert sorted(path.name for path in bundle.parent.iterdir()) == ["bundle", "run"]


def test_a_site_is_written_of_a_bundle_that_is_there(
    cli: Cli, finished_run: Path, bundle: Path, tmp_path: Path
) -> None:
    site, cloud = tmp_path / "site", "https://cloud.example:8002"
    words = ("export", finished_run, bundle, "--web", site, "--web-tier", f"cloud={cloud}")
    said = cli(*words)
    assert said.code == 0, said
    assert re.search(rf"^site: {re.escape(str(site))}, \d+ files of [\d.]+ MB$", said.out, re.M)
    setup = json.loads((site / "setup.json").read_text("utf-8"))
    assert setup["tiers"] == {"cloud": cloud}
    assert setup["token"] is None
    assert not setup["control"]
    # The first tier's files and no others: no golden vectors, which hold texts, no other tier.
    first = {path.name for path in (bundle / "mobile").iterdir()}
    assert {path.name for path in (site / "bundle").iterdir()} == first
    assert "Content-Security-Policy" in (site / "index.html").read_text("utf-8")
    # Once more takes the place of the site, and leaves nothing of it.
    (site / "old").write_text("old")
    assert cli(*words, "--json").code == 0
    assert not (site / "old").exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--web-tier", "cloud=https://c.example"), "--web-tier does nothing without --web"),
        (("--web", "SITE", "--web-tier", "cloud"), "expected NAME=URL"),
        (("--web", "SITE", "--web-tier", "mobile=https://c.example"), "are edge, cloud"),
        (("--web", "SITE", "--web-tier", "cloud=ftp://c.example"), "expected an address"),
        (("--web", "SITE", *("--web-tier", "cloud=https://c.example") * 2), "given twice"),
        (("--web", "BUNDLE"), "lies in the bundle's folder"),
        (("--web", "OTHER"), "is no site of dimec's"),
    ],
)
def test_what_cannot_be_a_site_is_one_line_and_nothing_is_lost(
    cli: Cli,
    finished_run: Path,
    bundle: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    complaint: str,
) -> None:
    places = {"SITE": tmp_path / "site", "BUNDLE": bundle, "OTHER": tmp_path / "other"}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    before = contents(bundle)
    said = cli("export", finished_run, bundle, *(places.get(word, word) for word in options))
    assert said.code == 2
    assert complaint in said.err
    assert "Traceback" not in said.err
    assert contents(bundle) == before
    assert (tmp_path / "other" / "mine.txt").read_text() == "mine"
    assert not (tmp_path / "site").exists()
