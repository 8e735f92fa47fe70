"""What is altered, missing or hostile is refused before it is used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dimec.base.errors import CorruptArtefactError, MissingArtefactError
from dimec.bundle.folders import TierBundle, file_records, verify_bundle, write_manifest
from dimec.bundle.manifest import MANIFEST, FileRecord, TierManifest, tier_version
from dimec.tiers.names import TIER_NAMES

GRAPHS = {"mobile": "layers-1.onnx", "edge": "model.onnx", "cloud": "model.onnx"}


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def _change(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest, which has no hash of its own but in the whole bundle's."""
    value = json.loads((folder / MANIFEST).read_text())
    change(value)
    (folder / MANIFEST).write_text(json.dumps(value))


def _as_it_was(folder: Path, earlier: int) -> None:
    """Make a manifest one of an earlier format, which had the paper's tiers and no other."""
    value = json.loads((folder / MANIFEST).read_text())
    value.pop("tiers", None)
    value |= {"exits": [1, 2, 4], "costs": {}, "format": earlier}
    value["versions"] = dict.fromkeys(TIER_NAMES, "41")
    (folder / MANIFEST).write_text(json.dumps(value))


class TestASoundBundle:
    def test_it_opens_as_a_whole_and_tier_by_tier(self, tiny_bundle: Path) -> None:
        manifest, tiers = verify_bundle(tiny_bundle)
        assert tuple(tiers) == TIER_NAMES
        for name, tier in tiers.items():
            assert tier == TierBundle.open(str(tiny_bundle / name), name)
            assert tier.file(GRAPHS[name]) == tiny_bundle / name / GRAPHS[name]
            assert tier.size == sum(
                path.stat().st_size
                for path in (tiny_bundle / name).iterdir()
                if path.name != MANIFEST
            )
            assert manifest.versions[tier.manifest.tier] == tier.manifest.version

    def test_a_tier_can_be_moved_alone(self, tiny_bundle: Path, tmp_path: Path) -> None:
        shutil.copytree(tiny_bundle / "mobile", tmp_path / "phone")
        assert TierBundle.open(tmp_path / "phone").manifest.tier == "mobile"

    def test_a_manifest_survives_being_written(self, tiny_bundle: Path, tmp_path: Path) -> None:
        manifest = TierBundle.open(tiny_bundle / "edge").manifest
        write_manifest(tmp_path, manifest)
        assert TierManifest.model_validate_json((tmp_path / MANIFEST).read_text()) == manifest

    def test_records_are_of_the_files_alone(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"abc")
        (tmp_path / MANIFEST).write_text("{}")
        (tmp_path / "folder").mkdir()
        digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4
        assert file_records(tmp_path) == {"a": FileRecord(sha256=digest, bytes=3)}
        assert set(file_records(tmp_path, manifest=True)) == {"a", MANIFEST}


class TestFoldersAndManifests:
    def test_no_folder(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for place in (tmp_path / "nothing", tmp_path / "file"):
            for look in (TierBundle.open, verify_bundle):
                with pytest.raises(MissingArtefactError, match="is no bundle folder"):
                    look(place)

    def test_no_manifest(self, tmp_path: Path) -> None:
        for look in (TierBundle.open, verify_bundle):
            with pytest.raises(MissingArtefactError, match="does not exist; make it with"):
                look(tmp_path)

    def test_another_tier_than_the_one_asked_for(self, tiny_bundle: Path) -> None:
        with pytest.raises(CorruptArtefactError, match="of the edge tier, expected the cloud"):
            TierBundle.open(tiny_bundle / "edge", "cloud")

    def test_a_whole_bundle_is_no_tier(self, tiny_bundle: Path) -> None:
        with pytest.raises(CorruptArtefactError, match="is no manifest"):
            TierBundle.open(tiny_bundle)
        with pytest.raises(CorruptArtefactError, match="is no manifest"):
            verify_bundle(tiny_bundle / "edge")

    def test_a_tier_of_another_export(self, bundle: Path) -> None:
        other = str(int(TierBundle.open(bundle / "edge").manifest.version) + 1)
        folder = bundle / "cloud"
        _change(folder, lambda value: value["tiers"][1].update(version=other))
        records = file_records(folder, manifest=True)[MANIFEST].model_dump()
        _change(bundle, lambda value: value["files"].update({f"cloud/{MANIFEST}": records}))
        with pytest.raises(CorruptArtefactError, match="is of another export"):
            verify_bundle(bundle)

    @pytest.mark.parametrize(
        "change",
        [
            {"kind": "dimec bundle"},
            {"format": 1},
            {"format": 2},
            {"format": "3"},
            {"surplus": 1},
            {"tier": "fog"},
            {"tier": "mobile"},
            {"tiers": []},
            {"tiers": {"edge": 2}},
            {"tiers": [["edge", 2]]},
            {"exits": [1, 2, 4]},
            {"version": "41"},
            {"precision": "fp8"},
            {"labels": []},
            {"labels": ["same", "same"]},
            {"labels": [1, 2]},
            {"inputs": ["input_ids", "attention_mask", "secret"]},
            {"inputs": ["input_ids", "input_ids", "attention_mask"]},
            {"vocabulary": 0},
            {"vocabulary": 1e400},
            {"vocabulary": 10**30},
            {"max_tokens": 10**9},
            {"width": 10**12},
            {"padding": 10**6},
            {"padding": -1},
            {"pairs": "perhaps"},
            {"costs": {"mobile_layer": 1.5}},
            {"files": {"model.onnx": {"sha256": "0" * 64}}},
            {"files": {"model.onnx": {"sha256": "g" * 64, "bytes": 1}}},
            {"files": {"model.onnx": {"sha256": "0" * 64, "bytes": -1}}},
            {"files": []},
        ],
        ids=lambda change: next(f"{key}-{value!r}"[:40] for key, value in change.items()),
    )
    def test_a_value_that_does_not_belong(self, bundle: Path, change: dict[str, Any]) -> None:
        _change(bundle / "edge", lambda value: value.update(change))
        with pytest.raises(CorruptArtefactError, match="is no manifest that this version"):
            TierBundle.open(bundle / "edge")

    @pytest.mark.parametrize(
        "change",
        [
            {"name": ""},
            {"name": "Edge"},
            {"name": "../cloud"},
            {"name": "-edge"},
            {"name": "e" * 33},
            {"name": "ed\u0261e"},
            {"name": "edge\n"},
            {"name": "manifest.json"},
            {"name": "mobile"},
            {"name": "cloud"},
            {"name": "fog"},
            {"name": None},
            {"layer": 0},
            {"layer": 5},
            {"layer": -1},
            {"layer": "two"},
            {"layer": 2.5},
            {"layer": 10**30},
            {"layer_price": -1},
            {"layer_price": 1e13},
            {"layer_price": None},
            {"send_price": float("nan")},
            {"send_price": float("inf")},
            {"send_price": -1e-9},
            {"visit_price": float("-inf")},
            {"visit_price": 1e400},
            {"visit_price": "dear"},
            {"source": "x" * 65},
            {"source": None},
            {"version": "0"},
            {"version": "01"},
            {"version": "../1"},
            {"version": "9" * 19},
            {"version": 41},
            {"petrol": 1.0},
        ],
        ids=lambda change: next(f"{key}-{value!r}"[:40] for key, value in change.items()),
    )
    def test_a_tier_that_can_be_none(self, bundle: Path, change: dict[str, Any]) -> None:
        """In the list of tiers, which decides what is run, asked and priced."""
        for part, look in (("edge", TierBundle.open), ("", verify_bundle)):
            _change(bundle / part, lambda value: value["tiers"][1].update(change))
            with pytest.raises(
                CorruptArtefactError,
                match=r"is no manifest that this version|not valid JSON|of no tier",
            ):
                look(bundle / part)

    @pytest.mark.parametrize("missing", ["name", "layer", "send_price", "version"])
    def test_a_tier_of_which_something_is_not_said(self, bundle: Path, missing: str) -> None:
        _change(bundle / "edge", lambda value: value["tiers"][1].pop(missing))
        with pytest.raises(CorruptArtefactError, match=rf"tiers\.1\.{missing}.*required"):
            TierBundle.open(bundle / "edge")

    def test_more_tiers_than_anybody_has(self, bundle: Path) -> None:
        """Each would be a folder to hash and a server to start."""

        def add(value: dict[str, Any]) -> None:
            cloud = value["tiers"].pop()
            value["tiers"] += [{**cloud, "name": f"cloud{number}"} for number in range(14)]
            value["tiers"].append(cloud)

        _change(bundle / "edge", add)
        with pytest.raises(CorruptArtefactError, match=r"tiers: .* at most 16 items"):
            TierBundle.open(bundle / "edge")

    def test_tiers_out_of_order(self, bundle: Path) -> None:
        """The device is the first of them, so it is the one that has segments."""
        _change(bundle / "edge", lambda value: value["tiers"].reverse())
        with pytest.raises(CorruptArtefactError, match="at least as deep as the one before"):
            TierBundle.open(bundle / "edge")

    @pytest.mark.parametrize(
        "segments", [None, [], [2], [1, 1], [2, 1], [0, 1], [-1, 1], [1, 2], ["x"], "1", [[1]]]
    )
    def test_segments_that_do_not_end_at_the_mobiles_exit(
        self, bundle: Path, segments: Any
    ) -> None:
        _change(bundle / "mobile", lambda value: value.update(segments=segments))
        with pytest.raises(CorruptArtefactError, match=r"reads \(.*segments.*dimec export"):
            TierBundle.open(bundle / "mobile")

    def test_segments_of_a_tier_that_runs_as_a_whole(self, bundle: Path) -> None:
        _change(bundle / "edge", lambda value: value.update(segments=[2]))
        with pytest.raises(CorruptArtefactError, match="the first tier has them, and no"):
            TierBundle.open(bundle / "edge")

    def test_a_segment_that_the_manifest_leaves_out(self, cut_bundle: Path, tmp_path: Path) -> None:
        """The ones behind it would take the hidden states of another layer."""
        folder = Path(shutil.copytree(cut_bundle / "mobile", tmp_path / "mobile"))
        _change(folder, lambda value: value.update(segments=[1, 4]))
        with pytest.raises(
            CorruptArtefactError, match=r"names layers-2\.onnx, but .* layers 1, 4; make .*export"
        ):
            TierBundle.open(folder)

    def test_a_bundle_of_an_earlier_version_says_how_to_make_it_anew(self, bundle: Path) -> None:
        for part, look in (("", verify_bundle), ("mobile", TierBundle.open)):
            for earlier in (1, 2):
                _as_it_was(bundle / part, earlier)
                with pytest.raises(
                    CorruptArtefactError, match=r"is of format [123], .* reads 4; .* dimec export$"
                ):
                    look(bundle / part)

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"null",
            b"[]",
            b"{",
            b"\xff\xfe",
            b"[" * 100_000,
            b'{"a":' * 5000 + b"1" + b"}" * 5000,
            b"1" * 5000,
            b" " * (1 << 21),
            b'{"kind": NaN}',
        ],
        ids=range(10),
    )
    def test_what_is_no_manifest_at_all(self, bundle: Path, content: bytes) -> None:
        for folder, look in ((bundle / "edge", TierBundle.open), (bundle, verify_bundle)):
            original = (folder / MANIFEST).read_bytes()
            (folder / MANIFEST).write_bytes(content)
            with pytest.raises(
                CorruptArtefactError, match=r"is no manifest|not valid JSON|too large"
            ):
                look(folder)
            (folder / MANIFEST).write_bytes(original)


class TestVersions:
    def test_one_function_one_version(self) -> None:
        arguments = [("a" * 64, 2, "fp32"), ("a" * 64, 2, "int8"), ("a" * 64, 3, "fp32")]
        arguments.append(("b" * 64, 2, "fp32"))
        versions = [tier_version(*each) for each in arguments]
        assert len(set(versions)) == 4
        assert versions == [tier_version(*each) for each in arguments]

    def test_it_is_a_whole_number_that_triton_takes(self) -> None:
        """Triton keeps versions in 64 bits, and a folder of the version 0 is none."""
        for exit_ in range(1, 200):
            version = tier_version("c" * 64, exit_, "fp32")
            assert 1 <= int(version) <= 1 << 48
            assert version == str(int(version))
