"""What is of this machine alone is taken out, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dimec.base.storage import load_arrays, save_arrays
from dimec.publishing.private import cleaned, renamed, without_path, without_paths


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/home/me/data/reviews.csv", "reviews.csv"),
        ("csv:/home/me/reviews.csv", "csv:reviews.csv"),
        ("csv:~/reviews.csv", "csv:reviews.csv"),
        ("~me/models/small/", "small"),
        ("C:\\Users\\me\\reviews.csv", "reviews.csv"),
        ("jsonl:C:/data/a.jsonl", "jsonl:a.jsonl"),
        ("\\\\server\\share\\a.csv", "a.csv"),
        ("csv:data/reviews.csv", "csv:data/reviews.csv"),
        ("glue/sst2", "glue/sst2"),
        ("org/model", "org/model"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("a film, and/or a play", "a film, and/or a play"),
        ("", ""),
    ],
)
def test_a_path_is_shortened_to_its_name(text: str, left: str) -> None:
    assert without_path(text) == left


def test_a_home_within_a_sentence_is_shortened() -> None:
    assert without_path(f"made from {Path.home()}/a.csv") == "made from ~/a.csv"


def test_names_of_classes_and_rows_stay_as_they_are() -> None:
    value = {"labels": ["/n/", "/m/"], "guids": ["/a/1"], "config": {"id2label": {"0": "/n/"}}}
    assert without_paths(value) == value
    assert without_paths({"data": [{"task": "csv:/a/b.csv"}]}) == {"data": [{"task": "csv:b.csv"}]}


def test_renamed_changes_whole_texts_only() -> None:
    assert renamed({"a": ["a", "ab", {"b": "a"}]}, {"a": "x"}) == {"x": ["x", "ab", {"b": "x"}]}


def test_files_without_anything_private_are_taken_as_they_are(tmp_path: Path) -> None:
    source = tmp_path / "a.json"
    source.write_text('{ "task": "glue/sst2" }')
    assert cleaned(source, tmp_path / "new" / "a.json", {}) == source


def test_arrays_keep_their_values_and_change_their_header(tmp_path: Path) -> None:
    source, target = tmp_path / "a.safetensors", tmp_path / "new" / "a.safetensors"
    header = {"task": "csv:/a/b.csv", "model": "old", "label_names": ["/n/"]}
    save_arrays(source, "trace", {"x": np.arange(3)}, header)
    assert cleaned(source, target, {"old": "new"}) == target
    arrays, new = load_arrays(target, "trace", "-")
    assert arrays["x"].tolist() == [0, 1, 2]
    assert new == {"task": "csv:b.csv", "model": "new", "label_names": ["/n/"]}


def test_settings_are_written_anew(tmp_path: Path) -> None:
    source = tmp_path / "config.toml"
    source.write_text('[data]\ntask = "csv:/a/b.csv"\nheader = true\n')
    new = cleaned(source, tmp_path / "new.toml", {})
    assert new.read_text() == '[data]\ntask = "csv:b.csv"\nheader = true\n'
    assert json.dumps(source.read_text()).count("/a/b.csv") == 1
