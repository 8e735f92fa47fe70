"""The rooms of ``src/dimec`` from the bottom up, and the table of them in the docs.

A module may import from its own room and from rooms of lower levels; ``tests/test_imports.py``
holds to that. ``python tools/rooms.py`` writes the table anew.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "dimec"
STUDIES = ROOT / "studies" / "dimec_studies"
DOCS = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- rooms: made by tools/rooms.py -->", "<!-- end of rooms -->"

# A module with a level of its own stands above the room that it lies in.
LEVELS = (
    ("__about__",),
    ("base",),
    ("protocol", "telemetry", "tiers"),
    ("bundle", "cartography", "contract", "settings", "traces"),
    ("client", "data", "hub", "routing"),
    ("web",),
    ("policies", "serving"),
    ("mobile", "scoring"),
    ("evaluation",),
    ("report",),
    ("runs",),
    ("fleet", "publishing", "training"),
    ("runs.run",),
    ("runs.train",),
    ("cli",),
    ("__main__",),
)
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}


def room_of(module: str) -> str:
    """The room of a module of dimec, given without ``dimec.``.

    Example:
        >>> room_of("training.loop"), room_of("runs.run"), room_of("runs.fitting")
        ('training', 'runs.run', 'runs')
    """
    return module if module in LEVEL else module.split(".")[0]


def modules() -> list[Path]:
    """Every source file, in order."""
    return sorted(SOURCE.rglob("*.py"))


def name_of(path: Path) -> str:
    """``training.loop`` for src/dimec/training/loop.py, ``training`` for its ``__init__.py``."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imports(tree: ast.AST) -> Iterator[tuple[str, bool]]:
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
            if module.split(".")[0] == "dimec":
                yield from ((f"{module}.{alias.name}", top) for alias in node.names)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        todo += [(child, top and not inside) for child in ast.iter_child_nodes(node)]


def uses(path: Path) -> Iterator[tuple[str, bool]]:
    """Rooms of dimec that a file imports from, each with whether at its top."""
    for module, top in imports(ast.parse(path.read_text("utf-8"))):
        if module.startswith("dimec."):
            yield room_of(module.removeprefix("dimec.")), top


def table() -> str:
    """The rooms as a Markdown table: name, what its docstring says, and what it does import."""
    lines = ["| room | what lives there | imports |", "|---|---|---|"]
    for names in LEVELS:
        for name in names:
            if not name.startswith("_"):
                lines.append(f"| {_title(name)} | {_purpose(name)} | {_imported(name)} |")
    return "\n".join(lines)


def _path(name: str) -> Path:
    folder = SOURCE.joinpath(*name.split("."))
    return folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")


def _title(name: str) -> str:
    path = _path(name)
    where = name.replace(".", "/")
    return f"`{where}/`" if path.name == "__init__.py" else f"`{where}.py`"


def _purpose(name: str) -> str:
    docstring = ast.get_docstring(ast.parse(_path(name).read_text("utf-8"))) or ""
    return docstring.splitlines()[0].rstrip(".")


def _imported(name: str) -> str:
    files = [path for path in modules() if room_of(name_of(path)) == name]
    found = {room for path in files for room, _ in uses(path)}
    below = [room for rooms in LEVELS for room in rooms if room in found and room != name]
    return ", ".join(f"`{room}`" for room in below if not room.startswith("_")) or "nothing"


def written(page: str) -> str:
    """The page with the table between its two marks made anew."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    DOCS.write_text(written(DOCS.read_text("utf-8")), "utf-8")
    sys.stdout.write(f"{DOCS.relative_to(ROOT)} has the table of the rooms as they are\n")
