"""The page: whole, well-formed, the same twice, and honest about what is not there."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from dimec.base.errors import CorruptArtefactError, MissingArtefactError
from dimec_studies.markdown import anchor
from dimec_studies.plan import ITEMS, PAGE_ITEMS, PROFILES, Plan
from dimec_studies.rendering import read_results, render
from support.stored_results import every_result, store, table_result


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """The folder of a page made from one result of every item, and the paths written."""
    folder = tmp_path_factory.mktemp("page")
    store(folder / "results", *every_result().values())
    return folder, render(folder / "results", folder / "docs")


def _page(rendered: tuple[Path, list[Path]]) -> str:
    return rendered[1][0].read_text("utf-8")


def test_every_item_has_a_result_in_these_tests() -> None:
    assert set(every_result()) == set(PAGE_ITEMS)


def test_the_same_results_give_the_same_bytes(
    rendered: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    folder, paths = rendered
    store(tmp_path / "others", *reversed(list(every_result().values())))
    again = render(tmp_path / "others", tmp_path / "docs")
    assert [p.relative_to(tmp_path / "docs") for p in again] == [
        p.relative_to(folder / "docs") for p in paths
    ]
    for one, other in zip(paths, again, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_every_figure_is_linked_and_every_link_is_there(
    rendered: tuple[Path, list[Path]],
) -> None:
    folder, paths = rendered
    links = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", _page(rendered))
    assert [folder / "docs" / link for link in links] == paths[1:]
    assert len(links) == len(set(links)) == 9


def test_the_contents_name_every_heading_once(rendered: tuple[Path, list[Path]]) -> None:
    page = _page(rendered)
    headings = re.findall(r"^#{2,4} (.*)$", page, flags=re.MULTILINE)
    anchors = [anchor(heading) for heading in headings]
    assert len(anchors) == len(set(anchors))
    linked = re.findall(r"^ *- \[(.*)\]\(#(.*)\)$", page, flags=re.MULTILINE)
    expected = re.findall(r"^#{2,3} (.*)$", page, flags=re.MULTILINE)
    assert [title for title, _ in linked] == expected
    assert {target for _, target in linked} <= set(anchors)


def test_every_table_is_well_formed(rendered: tuple[Path, list[Path]]) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", _page(rendered), flags=re.MULTILINE)
    assert len(tables) > 20
    for table in tables:
        header, rule, *rows = table.rstrip("\n").split("\n")
        width = header.count("|")
        assert re.fullmatch(r"\|( -{3}:? \|)+", rule)
        assert rows
        assert all(line.replace("\\|", "").count("|") == width for line in (rule, *rows))


def test_tables_stand_apart_from_the_text(rendered: tuple[Path, list[Path]]) -> None:
    lines = _page(rendered).split("\n")
    for above, line in itertools.pairwise(lines):
        if line.startswith("|") and not above.startswith("|"):
            assert above == ""
        if above.startswith("|") and not line.startswith("|"):
            assert line == ""


def test_what_is_absent_is_said_with_its_command(tmp_path: Path) -> None:
    store(tmp_path / "results", table_result())
    (page,) = render(tmp_path / "results", tmp_path / "docs")
    text = page.read_text("utf-8")
    for profile in PROFILES:
        for item in ITEMS:
            expected = item in {*Plan.load(profile).items} & {*PAGE_ITEMS}
            expected &= (profile, item) != ("small", "table1")
            said = f"absent; `dimec reproduce {item} --profile {profile}` makes it" in text
            assert said == expected, (profile, item)


def test_every_profile_has_its_own_part(tmp_path: Path) -> None:
    base = table_result(profile="base")
    base["tasks"]["sst2"]["summary"][0]["accuracy"]["mean"] = 0.98765
    base["deployment"] |= {"exits": [4, 6, 12], "charge": 15.0, "prices": [6.0, 8.5, 18.0]}
    own = table_result(profile="base-other")
    store(tmp_path / "results", base, own, table_result())
    text = render(tmp_path / "results", tmp_path / "docs")[0].read_text("utf-8")
    parts = re.split(r"^## ", text, flags=re.MULTILINE)
    by_title = {part.partition("\n")[0]: part for part in parts}
    profiles = [title for title in by_title if title.startswith("Profile")]
    assert profiles == ["Profile small", "Profile base", "Profile base-other", "Profile deep"]
    assert "98.8" in by_title["Profile base"]
    assert "98.8" not in by_title["Profile small"]
    assert "γ = 15λ" in by_title["Profile base"]
    assert "γ = 6λ" in by_title["Profile small"]
    assert "`dimec reproduce` with its options makes it" in by_title["Profile base-other"]


def test_a_result_at_other_prices_says_so_itself(tmp_path: Path) -> None:
    results = every_result()
    results["fig5"]["deployment"] |= {"charge": 7.5}
    results["fig5"]["deployment"]["costs"]["cloud_charge"] = 7.5
    chosen = [results[item] for item in ("table1", "fig5")]
    store(tmp_path / "results", *chosen)
    text = render(tmp_path / "results", tmp_path / "docs")[0].read_text("utf-8")
    figure = text[text.index("### Figure 5") :]
    assert "γ = 7.5λ (set by the plan)" in figure
    assert text.count("γ = 6λ (dimec's choice") == 1


def test_no_result_at_all_is_an_error_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "results" / "small").mkdir(parents=True)
    (tmp_path / "results" / "small" / "notes.json").write_text("{}", "utf-8")
    with pytest.raises(MissingArtefactError, match="dimec reproduce table1"):
        render(tmp_path / "results", tmp_path / "docs")
    assert not (tmp_path / "docs").exists()


def test_a_result_under_another_name_is_refused(tmp_path: Path) -> None:
    folder = store(tmp_path / "results", table_result("table2"))
    (folder / "small" / "table2.json").rename(folder / "small" / "table1.json")
    with pytest.raises(CorruptArtefactError, match=r"table1 of the study profile small.*table2"):
        read_results(folder)
    (folder / "small" / "table1.json").write_text("[]", "utf-8")
    with pytest.raises(CorruptArtefactError, match="no object"):
        read_results(folder)


def _without(result: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name != key}


@pytest.mark.parametrize(
    ("item", "key"),
    [
        ("table1", "tasks"),
        ("table1", "deployment"),
        ("fig1", "maps"),
        ("fig4", "tsne"),
        ("fig5", "curves"),
        ("robustness", "cells"),
        ("cartography", "rows"),
    ],
)
def test_a_result_that_lacks_something_is_refused_before_anything_is_written(
    item: str, key: str, tmp_path: Path
) -> None:
    store(tmp_path / "results", _without(every_result()[item], key))
    with pytest.raises(CorruptArtefactError, match=rf"{item}.json is not a result.*{key}"):
        render(tmp_path / "results", tmp_path / "docs")
    assert not (tmp_path / "docs").exists()


def test_results_are_read_and_not_changed(rendered: tuple[Path, list[Path]]) -> None:
    folder, _ = rendered
    for item, result in every_result().items():
        stored = (folder / "results" / "small" / f"{item}.json").read_text("utf-8")
        assert json.loads(stored) == result
