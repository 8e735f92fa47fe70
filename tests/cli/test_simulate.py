"""``dimec simulate``: the example, a fleet from a file, and its page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dimec.base.errors import ConfigError
from dimec.cli.simulate import simulate
from dimec.fleet.settings import FleetSettings

FLEET = """
mobiles = 5
hours = 2.0
layers = [[1, 2], [2, 4]]
[policy]
system = "dimec-adaptive-quantile"
[sharing]
rounds_per_day = 24.0
[[populations]]
name = "a <b> & c"
trace = "mrpc/minilm-joint/0"
"""


class _Headings(HTMLParser):
    """Second headings, and cells that name a row."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag == "h2" or (tag == "th" and ("scope", "row") in attrs)

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found.append(data)
            self._inside = False


def test_the_example_is_a_file_of_a_fleet(capsys: pytest.CaptureFixture[str]) -> None:
    simulate(example=True)
    assert FleetSettings.parse(capsys.readouterr().out.encode(), "it").mobiles == 1000


def test_the_example_takes_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="prints a file and reads none"):
        simulate(tmp_path / "fleet.toml", example=True)
    assert not list(tmp_path.iterdir())


def test_a_fleet_from_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "fleet.toml").write_text(FLEET)
    simulate(tmp_path / "fleet.toml", out=tmp_path / "out", as_json=True)
    said = json.loads(capsys.readouterr().out)
    kept = json.loads((tmp_path / "out" / "fleet.json").read_text("utf-8"))
    assert said["inputs"] == kept["result"]["inputs"] > 0
    assert [(row["m"], row["n"]) for row in kept["layers"]] == [(1, 2), (2, 4)]
    ways = kept["sharing"]["mrpc/minilm-joint/0"]
    assert list(ways) == ["fixed", "alone", "shared"]
    first = (tmp_path / "out" / "fleet.html").read_bytes()
    headings = _Headings()
    headings.feed(first.decode())
    assert {"Tiers", "Layer distribution", "a <b> & c", "edge"} <= set(headings.found)
    simulate(tmp_path / "fleet.toml", out=tmp_path / "out", as_json=True)
    assert (tmp_path / "out" / "fleet.html").read_bytes() == first
