"""A phone folder as it is opened: what is checked, and what is never taken for one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dimec.base.errors import CorruptArtefactError, MissingArtefactError
from dimec.base.storage import read_json, write_json
from dimec.bundle.folders import TierBundle, file_records
from dimec.bundle.phone import PhoneFolder, PhoneManifest, ProgramRecord, TensorRecord, app_folder


@pytest.fixture
def phone(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A phone folder of the tiny bundle, whose programs are no programs: nothing here runs them."""
    device, folder = TierBundle.open(tiny_bundle / "mobile").manifest, tmp_path / "phone"
    app = folder / "mobile"
    app.mkdir(parents=True)
    for name in ("tokenizer.json", "policy.json", "policy.safetensors", "exit0.safetensors"):
        shutil.copyfile(tiny_bundle / "mobile" / name, app / name)
    for name in ("embed.pte", "layers-1.pte"):
        (app / name).write_bytes(name.encode())
    shutil.copyfile(tiny_bundle / "golden.json", folder / "golden.json")
    ids = TensorRecord(name="input_ids", dtype="int64", shape=(1, "tokens"))
    hidden = TensorRecord(name="hidden", dtype="float32", shape=(1, "tokens", device.width))
    said = TensorRecord(name="probabilities", dtype="float32", shape=(1, 2))
    embed: Any = {"inputs": (ids,), "outputs": (hidden,), "operators": ("aten::embedding.out",)}
    layers: Any = {"inputs": (hidden,), "outputs": (said,), "operators": ()}
    manifest = PhoneManifest(
        runtime="1.5.1",
        tier="mobile",
        inputs=("input_ids",),
        programs=(
            ProgramRecord(file="embed.pte", start=0, stop=0, **embed),
            ProgramRecord(file="layers-1.pte", start=0, stop=1, **layers),
        ),
        files=file_records(app),
        golden=file_records(folder)["golden.json"],
        **{
            name: getattr(device, name)
            for name in (
                *("tiers", "labels", "provenance", "vocabulary", "max_tokens", "pairs"),
                *("width", "segments"),
            )
        },
    )
    write_json(app / "manifest.json", manifest.model_dump(mode="json"))
    return folder


def test_it_is_opened_and_says_what_it_holds(phone: Path) -> None:
    found = PhoneFolder.open(phone)
    assert found.app == phone / "mobile"
    assert found.manifest.exit0
    assert found.manifest.programs[0].inputs[0].shape == (1, "tokens")
    assert found.bytes == sum(
        path.stat().st_size for path in found.app.iterdir() if path.name != "manifest.json"
    )


def _cut_short(folder: Path) -> None:
    (folder / "mobile" / "layers-1.pte").write_bytes(b"layer")


def _other_golden(folder: Path) -> None:
    golden = json.loads((folder / "golden.json").read_text("utf-8"))
    golden["inputs"][0]["text"] += "!"
    (folder / "golden.json").write_text(json.dumps(golden), "utf-8")


def _changed(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "mobile" / "manifest.json"
        write_json(path, {**read_json(path, "a test"), **changes})

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_cut_short, "layers-1.pte was altered or truncated"),
        (_other_golden, "golden.json was altered or truncated"),
        (_changed(format=2), "no phone's manifest that this version of dimec reads"),
        (_changed(segments=[1, 2]), "programs: they must be those of the segments"),
        (_changed(tier="edge"), "tier: it must be the first of the tiers"),
        (_changed(files={}), "programs: they must be those of the segments"),
        (_changed(precision="int8"), "precision"),
    ],
)
def test_what_is_not_what_it_must_be_is_refused(
    phone: Path, change: Callable[[Path], None], expected: str
) -> None:
    change(phone)
    with pytest.raises(CorruptArtefactError, match=expected):
        PhoneFolder.open(phone)


def test_a_folder_of_another_tier_s_name_is_refused(phone: Path) -> None:
    (phone / "mobile").rename(phone / "handset")
    with pytest.raises(CorruptArtefactError, match="expected that of its folder, handset"):
        PhoneFolder.open(phone)


def test_a_file_that_is_gone_is_named(phone: Path) -> None:
    (phone / "mobile" / "embed.pte").unlink()
    with pytest.raises(MissingArtefactError, match=r"embed\.pte does not exist"):
        PhoneFolder.open(phone)


def test_nothing_else_is_taken_for_one(phone: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    assert app_folder(phone) == phone / "mobile"
    assert app_folder(tiny_bundle) is None
    assert app_folder(tmp_path / "nothing") is None
    (phone / "notes.txt").write_text("of a user")
    assert app_folder(phone) is None
    with pytest.raises(MissingArtefactError, match="is no phone folder; make one with"):
        PhoneFolder.open(phone)
