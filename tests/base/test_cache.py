"""Where the cache is."""

from __future__ import annotations

from pathlib import Path

import pytest

from dimec.base.cache import CACHE_VARIABLE, cache_folder
from dimec.base.errors import ConfigError


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({CACHE_VARIABLE: "/a/b", "XDG_CACHE_HOME": "/x", "HOME": "/home"}, "/a/b"),
        ({CACHE_VARIABLE: "~/mine", "HOME": "/home/me"}, "/home/me/mine"),
        ({CACHE_VARIABLE: "", "XDG_CACHE_HOME": "/x", "HOME": "/home"}, "/x/dimec"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/home/me"}, "/home/me/.cache/dimec"),
        ({"XDG_CACHE_HOME": "", "HOME": "/home/me"}, "/home/me/.cache/dimec"),
        ({"HOME": "/home/me"}, "/home/me/.cache/dimec"),
    ],
)
def test_it_is_where_it_is_told_to_be(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (CACHE_VARIABLE, "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)


def test_a_relative_place_is_that_of_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, "here")
    assert cache_folder() == tmp_path / "here"


def test_a_home_that_there_is_not_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, "~no-such-user-of-this-machine/x")
    with pytest.raises(ConfigError, match=f"no home folder .*; set {CACHE_VARIABLE}"):
        cache_folder()
