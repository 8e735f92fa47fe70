"""Imports run downward only, and nothing but training needs torch."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import dimec

SOURCE = Path(dimec.__file__).parent

# From the bottom up. A module may import from its own level's package and from lower levels.
LEVELS = (
    ("__about__",),
    ("errors",),
    ("config", "costs", "exits", "held", "metrics", "progress", "protocol", "storage"),
    ("bundle", "cartography", "cutting", "data", "graphs", "local", "usage"),
    ("footprint", "latency", "ledger", "routing", "thresholds", "trace", "triton"),
    ("mobile", "scenarios", "serving"),
    ("policies",),
    ("bottleneck", "evaluation", "workspace"),
    ("intake",),
    ("fitting", "report", "selection", "training"),
    ("run",),
    ("reproduction",),
    ("cli",),
    ("__main__",),
)
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
# Within a level, on purpose: settings check tiers as costs do, and are written by storage.
BESIDE = {("config", "costs"), ("config", "storage"), ("exits", "costs")}
MODULES = sorted(SOURCE.rglob("*.py"))


def _room(path: Path) -> str:
    """``training`` for src/dimec/training/loop.py, ``cli`` for src/dimec/cli.py."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def _imports(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Modules that a file imports, each with whether it does so when it is imported itself.

    Imports for type checkers only do not count.
    """
    todo: list[tuple[ast.AST, bool]] = [(tree, True)]
    while todo:
        node, top = todo.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += [(child, top) for child in node.orelse]
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = node.module or ""
            yield module, top
            if module == "dimec":
                yield from ((f"dimec.{alias.name}", top) for alias in node.names)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        todo += [(child, top and not inside) for child in ast.iter_child_nodes(node)]


def _uses(path: Path) -> Iterator[tuple[str, bool]]:
    """Rooms of dimec that a file imports from."""
    for module, top in _imports(ast.parse(path.read_text("utf-8"))):
        parts = module.split(".")
        if parts[0] == "dimec" and len(parts) > 1:
            yield parts[1], top


def _id(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def test_the_reader_of_imports_sees_what_it_should() -> None:
    code = """
import dimec.cli
from dimec import run, Trace
if TYPE_CHECKING:
    from dimec.training import model
def f():
    from dimec.training import train_run
class C:
    from dimec.trace import Trace
"""
    found = set(_imports(ast.parse(code)))
    assert ("dimec.cli", True) in found
    assert ("dimec.run", True) in found
    assert ("dimec.training", False) in found
    assert ("dimec.training", True) not in found
    assert ("dimec.trace", True) in found


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_imports_run_downward_only(path: Path) -> None:
    room = _room(path)
    if room == "__init__":
        return  # the public names, loaded on first use
    for other, _ in _uses(path):
        if other not in LEVEL or other == room:
            continue
        downward = LEVEL[other] < LEVEL[room] or (room, other) in BESIDE
        assert downward, f"{_id(path)} imports dimec.{other}, which does not lie below it"


def test_every_room_has_its_level() -> None:
    assert {_room(path) for path in MODULES} - {"__init__"} == LEVEL.keys()


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_only_what_drives_the_work_reaches_for_training_and_serving_and_only_inside_functions(
    path: Path,
) -> None:
    room = _room(path)
    for other, top in _uses(path):
        if other in {"training", "serving"} and room != other:
            assert room in {"run", "reproduction", "cli"}
            assert not top


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_heavy_packages_are_imported_at_the_top_of_their_own_rooms_only(path: Path) -> None:
    heavy = {"torch", "transformers", "accelerate", "matplotlib", "openTSNE", "pyarrow", "datasets"}
    heavy |= {"onnx", "onnxscript", "onnxruntime", "pandas", "polars"}
    network = {"starlette": "serving", "uvicorn": "serving", "httpx2": "mobile"}
    for module, top in _imports(ast.parse(path.read_text("utf-8"))):
        package = module.split(".")[0]
        if top and package in heavy:
            assert _room(path) == "training"
        if top and package in network:
            assert _room(path) == network[package]


_BLOCKED = """
import importlib, pkgutil, sys
BLOCKED = {"torch", "transformers", "accelerate", "matplotlib", "openTSNE", "pyarrow", "onnx"}
BLOCKED |= {"pandas", "polars", "datasets"}
BLOCKED |= {"starlette", "uvicorn", "uvloop", "httptools", "prometheus_client", "onnxscript"}
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
import dimec
names = [m.name for m in pkgutil.walk_packages(dimec.__path__, "dimec.", onerror=lambda name: None)]
extras = ("dimec.training", "dimec.serving")
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
    outside = {n for n in walked if not n.startswith(("dimec.training", "dimec.serving"))}
    assert set(imported.split()) == outside - {"dimec.__main__"}
    assert len(outside) > 30


def test_training_itself_can_be_imported() -> None:
    training = importlib.import_module("dimec.training")
    for name in training.__all__:
        assert getattr(training, name).__module__.startswith("dimec.training.")
