"""Docstrings of the package as the site shows them.

An extension of Griffe, which reads the docstrings for mkdocstrings (mkdocs.yml). References such
as ``:class:`Run``` become names in code type, and ``Example:``, which Griffe takes for a remark,
becomes the section that it knows.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod|obj):`~?([^`]+)`")
_EXAMPLE = re.compile(r"^( *)Example(?: \((.+?)\))?:$", re.MULTILINE)


def _section(match: re.Match[str]) -> str:
    indent, note = match.groups()
    told = f"\n{indent}    {note[0].upper()}{note[1:]}.\n" if note else ""
    return f"{indent}Examples:{told}"


def for_site(text: str) -> str:
    """The docstring with plain names for references, and sections as Griffe calls them."""
    return _EXAMPLE.sub(_section, _ROLE.sub(r"`\1`", text))


class Docstrings(Extension):
    """Rewrites every docstring once its object is known."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """A module, class, function or attribute was read."""
        if obj.docstring is not None:
            obj.docstring.value = for_site(obj.docstring.value)
