"""A release in clean environments, which takes minutes and a package index."""

from __future__ import annotations

import sys

import pytest

import release_check


@pytest.mark.timeout(1800)
def test_a_release_answers_without_torch_and_serves(capfd: pytest.CaptureFixture[str]) -> None:
    """The base install on every Python found, and two extras of few packages."""
    code = release_check.main(["--extras", "serve,hub"])
    said = capfd.readouterr()
    assert code == 0, said.err
    assert f"base, Python {sys.version_info.major}.{sys.version_info.minor}" in said.out
    assert "all that was asked for has passed" in said.out
