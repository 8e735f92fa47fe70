from __future__ import annotations

import subprocess
import sys

import pytest

import dimec

PUBLIC = [
    "AsyncMobile",
    "CentroidRouter",
    "Collection",
    "CostModel",
    "DataMap",
    "Deployment",
    "DimecError",
    "Ledger",
    "Mobile",
    "MultiExitClassifier",
    "Prediction",
    "Run",
    "Trace",
    "TrainingDynamics",
    "__version__",
    "build_pools",
    "evaluate",
    "load_task",
    "load_trace",
    "search_thresholds",
    "track",
    "train",
]


def test_the_public_names_are_these() -> None:
    assert dimec.__all__ == PUBLIC
    assert dir(dimec) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_is_there_under_its_own_name(name: str) -> None:
    value = getattr(dimec, name)
    if name != "__version__":
        assert value.__name__ == name
        assert value.__module__.startswith("dimec.")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Trainer'"):
        dimec.Trainer  # noqa: B018


def test_importing_it_loads_next_to_nothing() -> None:
    heavy = {"numpy", "pydantic", "rich", "typer", "torch", "safetensors", "matplotlib"}
    heavy |= {"onnxruntime", "httpx2", "tokenizers", "sqlite3", "pandas", "polars", "datasets"}
    code = f"import sys, dimec; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
