"""Links that were measured: a CSV file, and what is made of it on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dimec.base.errors import DataError
from dimec.fleet.links import measured_weather
from dimec.fleet.recordings import read_recordings
from dimec.tiers.scenario_file import Scenarios

HEAD = "recording,seconds,up_mbit,down_mbit,round_trip_ms\n"
TRAIN = HEAD + "train,100,8,40,50\ntrain,110,0,0,0\ntrain,120,2,10,200\nhome,0,20,80,10\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "links.csv"


def test_a_row_holds_until_the_next_and_the_recording_begins_anew(path: Path) -> None:
    path.write_text(TRAIN)
    train, home = read_recordings(path)
    assert (train.name, train.seconds, home.name, home.seconds) == ("train", 30.0, "home", 1.0)
    times = np.array([0.0, 9.9, 10.0, 20.0, 29.9, 30.0, 310.0])
    assert train.at(times).tolist() == [0, 0, 1, 2, 2, 0, 1]
    assert train.lost.tolist() == [False, True, False]
    assert home.at(times).tolist() == [0] * 7


def test_the_way_takes_what_was_measured(path: Path) -> None:
    path.write_text(TRAIN.replace("home,0,20,80,10\n", ""))
    scenario = Scenarios.load().scenario("phone-4g")
    recordings = read_recordings(path)
    times = np.linspace(0, 3600, 2000)
    mobiles = np.arange(2000) % 7
    rng = np.random.default_rng(0)
    weather = measured_weather(rng, scenario, recordings, 7, mobiles, times)
    payload = np.full(2000, 1000.0)
    there, back = weather.ways(1, 3, payload)
    lost = there < 0
    # A third of the time without a link, by moments that are spread evenly.
    assert abs(lost.mean() - 1 / 3) < 0.05
    assert ((back < 0) == lost).all()
    up, down = scenario.megabits(np.ones(1), np.array([1000.0]))
    expected = {0.025 + up[0] / 8 + 0.025 + down[0] / 40, 0.1 + up[0] / 2 + 0.1 + down[0] / 10}
    found = np.unique(np.round((there + back)[~lost], 9))
    assert found.tolist() == np.round(sorted(expected), 9).tolist()
    farther, _ = weather.ways(2, 3, payload)
    beyond = (scenario.cloud_round_trip_ms - scenario.edge_round_trip_ms) / 2e3
    np.testing.assert_allclose((farther - there)[~lost], beyond, rtol=1e-9)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seconds,up_mbit,down_mbit\n0,1,1\n", "round_trip_ms is missing"),
        ("", "seconds is missing"),
        (HEAD + "a,0,1,fast,3\n", "line 2: down_mbit must be a number, got 'fast'"),
        (HEAD + "a,0,1\n", "line 2: down_mbit must be a number"),
        (HEAD + "a,0,1,1,-3\n", "round_trip_ms must be finite and at least 0, got -3"),
        (HEAD + "a,0,1,inf,3\n", "down_mbit must be finite"),
        (HEAD + "a,5,1,1,3\na,5,1,1,3\n", "line 3: seconds must ascend"),
        (HEAD, "no row with a rate above 0"),
        (HEAD + "a,0,0,1,3\n", "no row with a rate above 0"),
    ],
)
def test_a_file_that_is_wrong_is_one_line(path: Path, text: str, said: str) -> None:
    path.write_text(text)
    with pytest.raises(DataError, match=said) as raised:
        read_recordings(path)
    assert str(path) in str(raised.value)


def test_no_file_and_no_text_are_told(path: Path) -> None:
    with pytest.raises(DataError, match="cannot read the links"):
        read_recordings(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="no text in UTF-8"):
        read_recordings(path)
    with pytest.raises(DataError, match="no regular file"):
        read_recordings(path.parent)
