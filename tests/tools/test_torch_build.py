"""Telling torch's CPU build from its CUDA build, from what pip reports."""

from __future__ import annotations

from typing import Any

import pytest
from packaging.markers import default_environment

import torch_build
from torch_build import Candidate

PURE = ["filelock", "typing-extensions>=4.10.0", 'setuptools>=77; python_version >= "3.12"']
EXTRA = ['opt-einsum>=3.3; extra == "opt-einsum"']
SYSTEM = default_environment()["platform_system"]
HERE = f'platform_system == "{SYSTEM}"'
ELSEWHERE = f'platform_system != "{SYSTEM}"'


def report(version: str, requires: list[str]) -> dict[str, Any]:
    """A report of pip's with another package in front of torch."""
    other = {"metadata": {"name": "filelock", "version": "3"}}
    torch = {"metadata": {"name": "torch", "version": version, "requires_dist": requires}}
    return {"version": "1", "install": [other, torch]}


def test_a_report_gives_version_and_requirements() -> None:
    assert torch_build.read_report(report("2.13.0+cpu", PURE)) == Candidate(
        "2.13.0+cpu", tuple(PURE)
    )


def test_a_report_without_torch_is_refused() -> None:
    with pytest.raises(ValueError, match="does not mention torch"):
        torch_build.read_report({"install": []})


@pytest.mark.parametrize(
    "line",
    [
        f"nvidia-cudnn-cu13==9.20.0.48; {HERE}",
        f"cuda-toolkit[cublas,cudart]==13.0.3; {HERE}",
        f'cuda-bindings<14,>=13.0.3; {HERE} and python_version < "4"',
        "triton==3.7.1",
        "pytorch-triton-rocm>=3",
        "NVIDIA_NCCL_cu13==2.29.7",
    ],
)
def test_one_gpu_package_makes_a_gpu_build(line: str) -> None:
    candidate = Candidate("2.13.0", (*PURE, line, *EXTRA))
    assert torch_build.is_gpu_build(candidate)
    assert len(torch_build.gpu_requirements(candidate.requires)) == 1


def test_gpu_packages_of_another_platform_do_not_count() -> None:
    lines = (*PURE, f"nvidia-cudnn-cu13==9; {ELSEWHERE}", f"triton==3; {ELSEWHERE}")
    assert not torch_build.is_gpu_build(Candidate("2.13.0", lines))


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("2.13.0", False),
        ("2.13.0+cpu", False),
        ("2.13.0+cu130", True),
        ("2.13.0+rocm7.0", True),
        ("2.13.0+xpu", True),
    ],
)
def test_a_local_version_names_the_build(version: str, expected: bool) -> None:
    assert torch_build.is_gpu_build(Candidate(version, tuple(PURE))) is expected


def test_the_lock_gets_the_pure_requirements_of_every_platform() -> None:
    lines = [*PURE, f"sympy; {ELSEWHERE}", f"nvidia-nccl-cu13==2; {ELSEWHERE}", "triton", *EXTRA]
    kept = torch_build.pure_requirements(lines)
    assert [line.split(";")[0].strip() for line in kept] == [
        "filelock",
        "typing-extensions>=4.10.0",
        "setuptools>=77",
        "sympy",
    ]
    assert 'python_version >= "3.12"' in kept[2]


def test_without_a_cpu_build_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Candidate("2.13.0", ("nvidia-cudnn-cu13==9",))
    calls: list[list[str]] = []

    def refuse(command: list[str]) -> bool:
        calls.append(command)
        return False

    monkeypatch.setattr(torch_build, "ask_pip", lambda version: gpu)
    monkeypatch.setattr(torch_build, "_install", refuse)
    problem = torch_build.install("2.13.0", "cpu")
    assert problem is not None
    assert "\n" not in problem
    for remedy in ("PIP_INDEX_URL", "PIP_FIND_LINKS", "DIMEC_TORCH=cuda", "a GPU build (2.13.0)"):
        assert remedy in problem
    assert [call[0] for call in calls] == ["uv"]
    assert "--torch-backend=cpu" in calls[0]


def test_a_cpu_build_is_taken_from_pip_without_dependencies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[list[str]] = []

    def accept(command: list[str]) -> bool:
        calls.append(command)
        return True

    monkeypatch.setattr(torch_build, "ask_pip", lambda version: Candidate(version, tuple(PURE)))
    monkeypatch.setattr(torch_build, "_install", accept)
    assert torch_build.install("2.13.0", "cpu") is None
    assert [call[0] for call in calls] == ["pip"]
    assert "--no-deps" in calls[0]
    assert calls[0][-1] == "torch==2.13.0"
