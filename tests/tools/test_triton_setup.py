"""The Triton server's environment: where it can be had, and when it is built anew."""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path

import pytest

import pinned_env
import triton_setup
from setup_env import SetupError
from triton_setup import LOCK, check_platform


@pytest.fixture
def fitting(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine on which the wheel runs."""
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.35"))
    monkeypatch.setattr(triton_setup, "python_library", lambda: Path("/usr/lib"))
    monkeypatch.setattr(triton_setup, "PYTHONS", (sys.version_info[:2], (3, 12)))
    return monkeypatch


def test_a_fitting_machine_is_taken(fitting: pytest.MonkeyPatch) -> None:
    check_platform()


@pytest.mark.parametrize(
    ("where", "name", "value", "complaint"),
    [
        (platform, "system", "Darwin", "this is Darwin on x86_64"),
        (platform, "machine", "aarch64", "this is Linux on aarch64"),
        (platform, "libc_ver", ("glibc", "2.31"), "this has glibc 2.31"),
        (platform, "libc_ver", ("", ""), "this has no glibc"),
        (triton_setup, "python_library", None, "needs Python's shared library"),
    ],
)
def test_any_other_is_refused_with_what_is_needed(
    fitting: pytest.MonkeyPatch, where: object, name: str, value: object, complaint: str
) -> None:
    fitting.setattr(where, name, lambda: value)
    with pytest.raises(SetupError, match=complaint) as caught:
        check_platform()
    assert "the Triton server needs" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_python_is_refused(fitting: pytest.MonkeyPatch) -> None:
    fitting.setattr(triton_setup, "PYTHONS", ((3, 8), (3, 9)))
    with pytest.raises(SetupError, match=r"Python 3\.8 or 3\.9, this is Python 3\.1\d$"):
        check_platform()


@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers"])
def test_both_servers_run_the_graphs_and_tokenise_by_the_same_packages(package: str) -> None:
    pins = [
        re.findall(rf"^{package}==(\S+)", text, re.MULTILINE)
        for text in (LOCK.read_text("utf-8"), pinned_env.ours())
    ]
    assert pins[0] == pins[1]
    assert len(pins[0]) == 1
