"""The tree of errors is the one that its module draws."""

from __future__ import annotations

import inspect
import re

import pytest

from dimec import errors
from dimec.errors import DimecError, MissingExtraError


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
