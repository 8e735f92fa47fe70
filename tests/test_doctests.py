"""The examples in docstrings give what they say, and those that cannot run say why."""

from __future__ import annotations

import ast
import doctest
import importlib
from pathlib import Path

import pytest

import dimec

SOURCE = Path(dimec.__file__).parent
PARTS = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
NOT_RUN = "Example (not run, "


def _docstrings(path: Path) -> list[doctest.DocTest]:
    """The docstrings of a file that hold examples; nothing is imported."""
    tests = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, PARTS) and (text := ast.get_docstring(node, clean=False)):
            name, line = getattr(node, "name", path.stem), node.body[0].lineno - 1
            tests.append(doctest.DocTestParser().get_doctest(text, {}, name, str(path), line))
    return [test for test in tests if test.examples]


def _module(path: Path) -> str:
    """Its name."""
    name = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
    return name.removesuffix(".__init__")


EXAMPLES = [test for path in sorted(SOURCE.rglob("*.py")) for test in _docstrings(path)]
RUN = [test for test in EXAMPLES if NOT_RUN not in (test.docstring or "")]
OTHERS = [test for test in EXAMPLES if test not in RUN]


@pytest.mark.parametrize("test", RUN, ids=[test.name for test in RUN])
def test_an_example_gives_what_it_says(test: doctest.DocTest) -> None:
    """It may use what its module has imported, as the code around it does."""
    assert not any(doctest.SKIP in example.options for example in test.examples)
    test.globs = dict(vars(importlib.import_module(_module(Path(test.filename or "")))))
    said: list[str] = []
    assert doctest.DocTestRunner(verbose=False).run(test, out=said.append).attempted
    assert not said, "".join(said)


@pytest.mark.parametrize("test", OTHERS, ids=[test.name for test in OTHERS])
def test_an_example_that_is_not_run_is_marked_for_others_and_is_python(
    test: doctest.DocTest,
) -> None:
    """Other runners of examples heed the mark; its syntax is looked at all the same."""
    for example in test.examples:
        assert example.options.get(doctest.SKIP), f"{test.name}: # doctest: +SKIP"
        compile(example.source, test.name, "single")
