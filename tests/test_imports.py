"""Imports run downward only, and nothing but training needs torch."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import dimec
import rooms

MODULES = rooms.modules()
# No room of the package: they stand on it, outside.
STUDIES = sorted(rooms.STUDIES.rglob("*.py"))
# What drives the work; all else runs where torch and Starlette are not installed.
DRIVERS = {"runs.run", "runs.train", "studies", "cli"}


def _id(path: Path) -> str:
    return str(path.relative_to(rooms.STUDIES if path in STUDIES else rooms.SOURCE))


def _room(path: Path) -> str:
    return "studies" if path in STUDIES else rooms.room_of(rooms.name_of(path))


@cache
def _packages(path: Path) -> list[tuple[str, bool]]:
    """What a file imports, the first word of each name, and whether at its top."""
    found = rooms.imports(ast.parse(path.read_text("utf-8")))
    return [(module.partition(".")[0], top) for module, top in found]


def test_the_reader_of_imports_sees_what_it_should() -> None:
    code = """
import dimec.cli
from dimec import runs, Trace
from dimec.runs import run
if TYPE_CHECKING:
    from dimec.training import model
def f():
    from dimec.training import train_run
class C:
    from dimec.traces import Trace
"""
    found = set(rooms.imports(ast.parse(code)))
    assert ("dimec.cli", True) in found
    assert ("dimec.runs", True) in found
    assert ("dimec.runs.run", True) in found
    assert ("dimec.training", False) in found
    assert ("dimec.training", True) not in found
    assert ("dimec.traces", True) in found


def test_imports_run_downward_only() -> None:
    upward = [
        f"{_id(path)} imports dimec.{other}, which does not lie below it"
        for path in MODULES
        if (room := _room(path)) != "__init__"  # the public names, loaded on first use
        for other, _ in rooms.uses(path)
        if other in rooms.LEVEL and other != room and rooms.LEVEL[other] >= rooms.LEVEL[room]
    ]
    assert upward == []


def test_every_room_has_its_level() -> None:
    assert {_room(path) for path in MODULES} - {"__init__"} == rooms.LEVEL.keys()


def test_the_docs_have_the_table_of_the_rooms() -> None:
    page = rooms.DOCS.read_text("utf-8")
    assert rooms.written(page) == page, "write it anew: python tools/rooms.py"


def test_the_package_knows_nothing_of_the_studies() -> None:
    knowing = [_id(path) for path in MODULES if "dimec_studies" in {p for p, _ in _packages(path)}]
    assert knowing == []


def test_only_what_drives_the_work_reaches_for_training_and_serving_and_only_inside_functions() -> (
    None
):
    reaching = [
        f"{_id(path)} reaches for dimec.{other}{' at its top' if top else ''}"
        for path in (*MODULES, *STUDIES)
        for other, top in rooms.uses(path)
        if other in {"training", "serving"}
        and (room := _room(path)) != other
        and (top or room not in DRIVERS)
    ]
    assert reaching == []


def test_heavy_packages_are_imported_at_the_top_of_their_own_rooms_only() -> None:
    heavy = {"torch", "transformers", "accelerate", "matplotlib", "openTSNE", "pyarrow", "datasets"}
    heavy |= {
        "huggingface_hub",
        "onnx",
        "onnxscript",
        "onnxruntime",
        "pandas",
        "polars",
        "sklearn",
        "scipy",
    }
    network = {"starlette": "serving", "uvicorn": "serving", "httpx2": "client"}
    network["opentelemetry"] = "telemetry"
    homes = dict.fromkeys(heavy, "training") | network
    elsewhere = [
        f"{_id(path)} imports {package} at its top"
        for path in (*MODULES, *STUDIES)
        for package, top in _packages(path)
        if top and _room(path) != homes.get(package, _room(path))
    ]
    assert elsewhere == []


_BLOCKED = """
import importlib, pkgutil, sys
BLOCKED = {"torch", "transformers", "accelerate", "matplotlib", "openTSNE", "pyarrow", "onnx"}
BLOCKED |= {"huggingface_hub", "pandas", "polars", "datasets", "sklearn", "scipy"}
BLOCKED |= {"starlette", "uvicorn", "uvloop", "httptools", "prometheus_client", "onnxscript"}
BLOCKED |= {"opentelemetry"}
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
import dimec, dimec_studies
names = [m.name for m in pkgutil.walk_packages(dimec.__path__, "dimec.", onerror=lambda name: None)]
studies = pkgutil.walk_packages(dimec_studies.__path__, "dimec_studies.")
for module in studies:
    importlib.import_module(module.name)
extras = ("dimec.training", "dimec.serving", "dimec.telemetry")
names = [n for n in names if not n.startswith(extras) and n != "dimec.__main__"]
for name in names:
    importlib.import_module(name)
for name in dimec.__all__:
    if name != "MultiExitClassifier":
        getattr(dimec, name)
assert not BLOCKED & set(sys.modules)
try:
    dimec.MultiExitClassifier
except dimec.DimecError as error:
    print(error)
print(*names)
"""


def test_everything_but_training_and_serving_works_without_the_extras() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BLOCKED], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    advice, imported = done.stdout.splitlines()
    assert "pip install 'dimec[train]'" in advice
    walked = {module.name for module in pkgutil.walk_packages(dimec.__path__, "dimec.")}
    extras = ("dimec.training", "dimec.serving", "dimec.telemetry")
    outside = {n for n in walked if not n.startswith(extras)}
    assert set(imported.split()) == outside - {"dimec.__main__"}
    assert len(outside) > 30


def test_training_itself_can_be_imported() -> None:
    training = importlib.import_module("dimec.training")
    for name in training.__all__:
        assert getattr(training, name).__module__.startswith("dimec.training.")
