"""Packages as they are declared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dimec.data.packages import VADER, Archive


@pytest.mark.parametrize("members", [(), (None, None), ("a", None)])
def test_archives_that_are_no_slices(members: tuple[str | None, ...]) -> None:
    archives = tuple(Archive("a", "a.whl", "0" * 64, member) for member in members)
    with pytest.raises(ValueError, match="expected one archive, or several with a member each"):
        replace(VADER, archives=archives)
