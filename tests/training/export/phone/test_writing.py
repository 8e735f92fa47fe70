"""What ``dimec export --executorch`` refuses before it does anything."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from dimec.base.errors import ConfigError, MissingExtraError
from dimec.training.export.phone import writing
from dimec.training.export.phone.writing import check_phone


@pytest.fixture
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is checked here does not touch ExecuTorch, which the tests' environment has not."""
    monkeypatch.setattr(writing, "require_executorch", lambda: None)


def test_without_the_extra_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'dimec\[executorch\]'"):
        check_phone(tmp_path / "phone", tmp_path / "bundle")


@pytest.mark.usefixtures("_installed")
class TestFolder:
    def test_a_new_or_an_empty_one_will_do(self, tmp_path: Path) -> None:
        check_phone(tmp_path / "new", tmp_path / "bundle")
        (tmp_path / "empty").mkdir()
        check_phone(tmp_path / "empty", tmp_path / "bundle")

    @pytest.mark.parametrize("inside", ["", "phone", "mobile/phone"])
    def test_none_in_the_bundle(self, tmp_path: Path, inside: str) -> None:
        with pytest.raises(ConfigError, match="lies in the bundle's folder"):
            check_phone(tmp_path / "bundle" / inside, tmp_path / "bundle")

    def test_nothing_of_a_user_s_is_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        (tmp_path / "link").symlink_to(tmp_path)
        for name in ("file", "link"):
            with pytest.raises(ConfigError, match="is no folder"):
                check_phone(tmp_path / name, tmp_path / "bundle")
        (tmp_path / "mine" / "mobile").mkdir(parents=True)
        with pytest.raises(ConfigError, match="is no phone folder of dimec's"):
            check_phone(tmp_path / "mine", tmp_path / "bundle")
