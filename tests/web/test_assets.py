"""The files of a site: complete, those that were recorded, and a clear word where they are not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dimec.base.errors import CorruptArtefactError, MissingArtefactError
from dimec.web.assets import CHECKOUT, VENDOR, assets
from web_vendor import record

pytestmark = pytest.mark.skipif(
    not (CHECKOUT / "node_modules").is_dir(), reason="the packages of web/ are not fetched"
)


def carried(folder: Path) -> Path:
    """The files as a wheel has them."""
    folder.mkdir()
    for name in ("src", "page"):
        shutil.copytree(CHECKOUT / name, folder / name)
    shutil.copy(CHECKOUT / VENDOR, folder)
    for path, content in assets().items():
        if path.startswith("vendor/"):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
    return folder


def test_what_is_recorded_is_what_npm_has_fetched() -> None:
    assert json.loads((CHECKOUT / VENDOR).read_text("utf-8")) == record(CHECKOUT)


def test_a_wheel_and_a_checkout_have_the_same_files(tmp_path: Path) -> None:
    assert assets(carried(tmp_path / "assets")) == assets()


def test_every_module_that_is_imported_is_in_the_site() -> None:
    files = assets()
    for path, content in files.items():
        if path.startswith(("mobile/", "page/")) and path.endswith(".js"):
            for line in content.decode("utf-8").splitlines():
                if line.startswith(("import ", "export ", "} from ")) and ' from "' in line:
                    name = line.rpartition(' from "')[2].rstrip('";')
                    where = (Path("/") / path).parent / name
                    if name.startswith("node:"):  # of the loader that only Node ever fetches
                        assert path == "mobile/folder_loader.js"
                        continue
                    assert str(where.resolve()).removeprefix("/") in files, (path, name)


def test_every_package_of_others_comes_with_its_licence() -> None:
    folders = {
        path.split("/")[1] for path in assets() if path.count("/") == 2 and "vendor/" in path
    }
    assert folders == {"onnxruntime", "tokenizers", "uplot"}
    for folder in folders:
        assert b"icen" in assets()[f"vendor/{folder}/LICENSE"]


def test_a_file_that_is_not_the_recorded_one_is_refused(tmp_path: Path) -> None:
    folder = carried(tmp_path / "assets")
    (folder / "vendor" / "uplot" / "uPlot.esm.js").write_text("another")
    with pytest.raises(CorruptArtefactError, match="is not the file that"):
        assets(folder)


def test_a_missing_package_says_what_fetches_it(tmp_path: Path) -> None:
    folder = carried(tmp_path / "assets")
    (folder / "vendor" / "tokenizers" / "tokenizers.mjs").unlink()
    with pytest.raises(MissingArtefactError, match="make setup"):
        assets(folder)
    with pytest.raises(MissingArtefactError, match="are not here"):
        assets(tmp_path / "nowhere", tmp_path / "neither")
