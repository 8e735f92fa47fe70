"""The Triton model repository. A real Triton drives it in conformance/."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from dimec.base.errors import ArtefactError, ConfigError
from dimec.bundle.folders import TierBundle
from dimec.bundle.triton import write_triton_repository


@pytest.mark.parametrize("tier", ["edge", "cloud"])
def test_a_model_lies_in_the_folder_of_its_version_with_the_bundles_own_graph(
    tiny_bundle: Path, tmp_path: Path, tier: str
) -> None:
    out = write_triton_repository(tiny_bundle, tmp_path / "repository")
    bundle = TierBundle.open(tiny_bundle / tier)
    (version,) = (path for path in (out / tier).iterdir() if path.is_dir())
    assert version.name == bundle.manifest.version
    assert {path.name for path in version.iterdir()} == set(bundle.manifest.files)
    for name in bundle.manifest.files:
        assert (version / name).read_bytes() == bundle.file(name).read_bytes()


def test_the_configuration_names_tensors_version_and_batch(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    out = write_triton_repository(tiny_bundle, tmp_path / "repository", instances=2)
    config = (out / "edge" / "config.pbtxt").read_text()
    manifest = TierBundle.open(tiny_bundle / "edge").manifest
    assert 'name: "edge"' in config
    assert 'backend: "onnxruntime"' in config
    assert re.findall(r'name: "(\w+)" data_type: TYPE_INT64 dims: \[ -1 \]', config) == list(
        manifest.inputs
    )
    assert f'name: "probabilities" data_type: TYPE_FP32 dims: [ {len(manifest.labels)} ]' in config
    assert f"versions: [ {manifest.version} ]" in config
    assert "count: 2 kind: KIND_CPU" in config
    assert not list(out.rglob("model.py"))


def test_the_python_backend_gets_a_program_that_compiles_and_needs_nothing_of_dimec(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    out = write_triton_repository(tiny_bundle, tmp_path / "repository", backend="python")
    programs = list(out.rglob("model.py"))
    assert len(programs) == 2
    for program in programs:
        source = program.read_text()
        compile(source, str(program), "exec")
        assert set(re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE)) == {
            "json",
            "os",
            "pathlib",
            "numpy",
            "onnxruntime",
            "triton_python_backend_utils",
        }


def test_a_folder_that_holds_something_is_refused_and_left_alone(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        write_triton_repository(tiny_bundle, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "options", [{"backend": "tensorrt"}, {"instances": 0}], ids=["backend", "instances"]
)
def test_bad_options_are_refused(
    tiny_bundle: Path, tmp_path: Path, options: dict[str, object]
) -> None:
    with pytest.raises(ConfigError, match="expected"):
        write_triton_repository(tiny_bundle, tmp_path / "out", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="bundle"):
        write_triton_repository(tmp_path / "nothing", tmp_path / "out")


class TestAFolderThatIsTaken:
    def test_a_repository_is_replaced_only_when_asked_for(
        self, tiny_bundle: Path, tmp_path: Path
    ) -> None:
        out = write_triton_repository(tiny_bundle, tmp_path / "repository")
        with pytest.raises(ConfigError, match="--overwrite"):
            write_triton_repository(tiny_bundle, out, instances=3)
        assert "count: 1" in (out / "cloud" / "config.pbtxt").read_text()
        write_triton_repository(tiny_bundle, out, instances=3, overwrite=True)
        assert "count: 3" in (out / "cloud" / "config.pbtxt").read_text()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["repository"]

    @pytest.mark.parametrize("name", ["letters.txt", "edge/letters.txt", "resnet/config.pbtxt"])
    def test_anything_else_is_never_replaced(
        self, tiny_bundle: Path, tmp_path: Path, name: str
    ) -> None:
        out = tmp_path / "repository"
        (out / name).parent.mkdir(parents=True)
        (out / name).write_text("dear")
        with pytest.raises(ConfigError, match="no Triton repository of a bundle"):
            write_triton_repository(tiny_bundle, out, overwrite=True)
        assert (out / name).read_text() == "dear"

    def test_a_broken_bundle_leaves_the_old_repository(
        self, tiny_bundle: Path, tmp_path: Path
    ) -> None:
        out = write_triton_repository(tiny_bundle, tmp_path / "repository")
        bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
        (bundle / "cloud" / "model.onnx.data").unlink()
        with pytest.raises(ArtefactError, match=r"model\.onnx\.data does not exist"):
            write_triton_repository(bundle, out, overwrite=True)
        assert (out / "cloud" / "config.pbtxt").exists()
