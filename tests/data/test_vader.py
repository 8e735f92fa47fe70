from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dimec.base.errors import DataError
from dimec.data import load_task
from dimec.data.vader import read_vader


def write(folder: Path, truth: str, ratings: str) -> Path:
    (folder / "amazonReviewSnippets_GroundTruth.txt").write_bytes(truth.encode())
    (folder / "amazonReviewSnippets_anonDataRatings.txt").write_bytes(ratings.encode())
    return folder


def test_the_two_files_are_joined_by_id(tmp_path: Path) -> None:
    write(
        tmp_path,
        '1_1\t-0.9\tno "picture\r\n1_2\t0\tneither\r\n2_1\t1.5\tfine',
        "\ufeff2_1\t1.5\t0.25\t[1, 2]\r\n1_1\t-0.9\t0.75\t[-1]\r\n1_2\t0\t1.25\t[0, 0]",
    )
    dataset = read_vader("amazon", tmp_path)
    assert dataset.texts == ('no "picture', "neither", "fine")
    assert dataset.labels.tolist() == [0, 0, 1]  # a mean of 0 is not above 0
    assert dataset.label_names == ("negative", "positive")
    assert dataset.guids == ("amazon-1_1", "amazon-1_2", "amazon-2_1")
    assert dataset.extra["rating"].tolist() == [-0.9, 0.0, 1.5]
    assert dataset.extra["rating_std"].tolist() == [0.75, 1.25, 0.25]
    assert dataset.predefined is None


@pytest.mark.parametrize(
    ("truth", "ratings", "message"),
    [
        ("1\t0.5\ta\n2\t0.5\tb", "1\t0.5\t1.0\t[]", r"GroundTruth\.txt, line 2: the id '2' is not"),
        ("1\t0.5\ta\n1\t0.5\tb", "1\t0.5\t1.0\t[]", "line 2: expected 3 fields"),
        ("1\t0.5", "1\t0.5\t1.0\t[]", "line 1: expected 3 fields"),
        ("1\t0.5\ta", "1\t0.5\thigh\t[]", r"anonDataRatings\.txt, line 1: .* number in field 3"),
    ],
)
def test_files_that_are_wrong(tmp_path: Path, truth: str, ratings: str, message: str) -> None:
    write(tmp_path, truth, ratings)
    with pytest.raises(DataError, match=message):
        read_vader("amazon", tmp_path)


def test_the_real_archive_from_the_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DIMEC_CACHE", str(tmp_path))
    sets = {name: load_task(f"vader/{name}") for name in ("movies", "tweets", "amazon", "nyt")}
    assert capfd.readouterr() == ("", "")
    assert {name: len(dataset) for name, dataset in sets.items()} == {
        "movies": 10605,
        "tweets": 4200,
        "amazon": 3708,
        "nyt": 5190,
    }
    movies = sets["movies"]
    assert int(movies.labels.sum()) == 5242
    assert movies.texts[0].startswith("The Rock is destined to be the 21st Century's new ''Conan''")
    assert movies.extra["rating"][0] == pytest.approx(34 / 15)
    assert movies.extra["rating_std"][0] == 1.06249
    for dataset in sets.values():
        assert np.all(np.abs(dataset.extra["rating"]) <= 4)
        assert np.all(dataset.extra["rating_std"] >= 0)
    # Nothing stays but the files that are needed and the lock.
    names = sorted(path.name for path in (tmp_path / "packages").iterdir())
    assert names == [".vaderSentiment-3.3.2.lock", "vaderSentiment-3.3.2"]
