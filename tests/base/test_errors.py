"""The tree of errors is the one that its module draws."""

from __future__ import annotations

import inspect
import re

import pytest

from dimec.base import errors
from dimec.base.errors import DimecError, MissingExtraError, option, quoted, shown, typed_options


def drawn_parents() -> dict[str, str]:
    """Child → parent, read from the drawing in the module's docstring."""
    assert errors.__doc__ is not None
    parents: dict[str, str] = {}
    path: dict[int, str] = {}
    for text in errors.__doc__.splitlines():
        if match := re.search(r"\b[A-Z]\w+Error\b", text):
            path[match.start()] = match[0]
            above = [column for column in path if column < match.start()]
            if above:
                parents[match[0]] = path[max(above)]
    return parents


def test_every_class_stands_where_the_docstring_draws_it() -> None:
    classes = {
        name: cls
        for name, cls in inspect.getmembers(errors, inspect.isclass)
        if cls.__module__ == errors.__name__
    }
    real = {name: cls.__bases__[0].__name__ for name, cls in classes.items()}
    assert real.pop("DimecError") == "Exception"
    assert drawn_parents() == real


def test_every_class_says_what_it_is_for() -> None:
    for _, cls in inspect.getmembers(errors, inspect.isclass):
        assert cls.__doc__


def test_one_clause_catches_them_all() -> None:
    for name in drawn_parents():
        assert issubclass(getattr(errors, name), DimecError)


def test_a_missing_extra_names_package_purpose_and_remedy() -> None:
    with pytest.raises(DimecError) as caught:
        raise MissingExtraError("torch", "train", "training")
    assert isinstance(caught.value, MissingExtraError)
    assert (caught.value.package, caught.value.extra) == ("torch", "train")
    message = str(caught.value)
    assert "training needs the package 'torch'" in message
    assert "pip install 'dimec[train]'" in message


def test_texts_of_others_are_shown_on_one_line_without_what_a_terminal_obeys() -> None:
    assert shown("plain \N{SNOWMAN}") == "plain \N{SNOWMAN}"
    assert shown("a\x1b[2J\nb\u202ec") == r"a\x1b[2J\nb\u202ec"
    assert shown("x" * 10**6) == "x" * 297 + "..."
    assert shown("\n" * 99, 10) == r"\n\n\n\..."


def test_values_of_others_are_quoted_in_short() -> None:
    assert quoted("a\x1b'") == '"a\\x1b\'"'
    assert quoted("x" * 10**6) == "'" + "x" * 36 + "..."
    assert quoted([1, 2]) == "[1, 2]"
    assert len(quoted(["x"] * 99)) == 40
    assert quoted(10**30) == "a huge number"
    assert quoted([1 << 20_000]) == "a value of the type list"


def test_an_option_is_named_as_its_reader_gives_it() -> None:
    assert [option("lam"), option("header")] == ["lam", "header=False"]
    assert option("encoding", "ascii") == "encoding='ascii'"
    with typed_options({"lam": "--lambda", "encoding": "--encoding", "no_header": "--no-header"}):
        assert [option("lam"), option("header")] == ["--lambda", "--no-header"]
        assert option("encoding", "ascii") == "--encoding ascii"
        assert option("grid") == "grid"
        with typed_options({}):
            assert option("lam") == "lam"
        assert option("lam") == "--lambda"
    assert option("lam") == "lam"
