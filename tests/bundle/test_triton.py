"""The Triton model repository. A real Triton drives it in conformance/."""

from __future__ import annotations

import json
import re
import shutil
import sys
import types
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import ArtefactError, ConfigError
from dimec.bundle.folders import TierBundle
from dimec.bundle.graphs import Graph
from dimec.bundle.triton import model_config, write_triton_repository
from dimec.protocol import LARGEST_TEXT
from support.texts import PANICKING, column, let_tier_take_texts, make_text_tier
from support.tiny import reviews


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


# --- Tiers that take texts -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_texts(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported bundle, with a cloud that is sent texts."""
    bundle = tmp_path_factory.mktemp("texts") / "bundle"
    shutil.copytree(tiny_bundle, bundle)
    let_tier_take_texts(bundle, "cloud")
    return bundle


def test_a_tier_that_takes_texts_has_the_python_backend_and_its_tokenizer(
    with_texts: Path, tmp_path: Path
) -> None:
    out = write_triton_repository(with_texts, tmp_path / "repository")
    config = (out / "cloud" / "config.pbtxt").read_text()
    assert 'backend: "python"' in config
    assert re.findall(r"\{ (name: .*?) \}", config) == [
        'name: "text" data_type: TYPE_STRING dims: [ 1 ]',
        'name: "probabilities" data_type: TYPE_FP32 dims: [ 2 ]',
    ]
    assert 'key: "padding" value: { string_value: "0" }' in config
    (version,) = (path for path in (out / "cloud").iterdir() if path.is_dir())
    assert {"model.onnx", "model.py", "tokenizer.json"} <= {path.name for path in version.iterdir()}
    edge = (out / "edge" / "config.pbtxt").read_text()
    assert 'backend: "onnxruntime"' in edge
    assert "padding" not in edge
    write_triton_repository(with_texts, out, overwrite=True)


class Triton(types.ModuleType):
    """What Triton gives to a Python model, as far as ours uses it."""

    class TritonError(Exception):
        INVALID_ARG = 3

        def __init__(self, message: str, code: int) -> None:
            super().__init__(message)
            self.code = code

    class Tensor:
        def __init__(self, name: str, values: Any) -> None:
            self.name, self.values = name, values

        def as_numpy(self) -> Any:
            return self.values

    class InferenceResponse:
        def __init__(self, tensors: Any = (), error: Any = None) -> None:
            self.tensors, self.error = tensors, error

    @staticmethod
    def get_input_tensor_by_name(request: dict[str, Any], name: str) -> Any:
        return Triton.Tensor(name, request[name])


Model = Callable[..., list[Any]]


def started(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """The program of a model, as Triton starts it; called with requests."""
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", Triton("utils"))
    config = (folder / "config.pbtxt").read_text()
    names = re.findall(r'name: "(\w+)" data_type: TYPE_(?:INT64|STRING)', config)
    values = dict(re.findall(r'key: "(\w+)" value: \{ string_value: "(\d+)"', config))
    values["EXECUTION_ENV_PATH"] = "$$TRITON_MODEL_DIRECTORY/env.tar.gz"  # a user's own
    parameters = {name: {"string_value": value} for name, value in values.items()}
    (program,) = folder.rglob("model.py")
    module = types.ModuleType("model")
    module.__file__ = str(program)
    exec(compile(program.read_text(), str(program), "exec"), module.__dict__)
    model = module.TritonPythonModel()
    inputs = [{"name": name} for name in names]
    model.initialize({"model_config": json.dumps({"input": inputs, "parameters": parameters})})

    def ask(*requests: dict[str, Any]) -> list[Any]:
        answers = model.execute(list(requests))
        return [answer.error or answer.tensors[0].values for answer in answers]

    return ask


def test_the_program_answers_texts_as_the_graph_answers_their_tokens(
    with_texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = write_triton_repository(with_texts, tmp_path / "repository", backend="python")
    texts, tokens = started(out / "cloud", monkeypatch), started(out / "edge", monkeypatch)
    for name, ask in (("cloud", texts), ("edge", tokens)):
        graph = Graph(with_texts / name / "model.onnx")
        for rows in (1, 9):
            said = [text for text, _ in reviews(rows, seed=3)]
            inputs = tokens_of(with_texts / "mobile" / "tokenizer.json", said)
            asked = {"text": column(*said)} if name == "cloud" else inputs
            (answer,) = ask(asked)
            np.testing.assert_allclose(answer, graph(**inputs)[0], atol=1e-5)


def tokens_of(path: Path, texts: list[str]) -> dict[str, Any]:
    """Model inputs (B, T), by the tokenizer's own padding."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_padding(pad_id=0)
    encodings = tokenizer.encode_batch(texts)
    return {
        "input_ids": np.array([each.ids for each in encodings], np.int64),
        "attention_mask": np.array([each.attention_mask for each in encodings], np.int64),
    }


def test_the_program_refuses_one_text_and_answers_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tier = TierBundle.open(make_text_tier(tmp_path / "tier", pairs=True))
    out = tmp_path / "edge"
    (out / "41").mkdir(parents=True)
    for name in tier.manifest.files:
        shutil.copy(tier.file(name), out / "41")
    program = files("dimec.bundle").joinpath("triton_model.py.txt").read_text("utf-8")
    (out / "41" / "model.py").write_text(program, "utf-8")
    (out / "config.pbtxt").write_text(model_config(tier.manifest, "python", 1))
    ask = started(out, monkeypatch)
    good = {"text": column("t1 t2", "t3"), "pair": column("t4", "")}
    bad: dict[str, Any] = {
        "the tokenizer fails on a text": PANICKING,
        "text: expected UTF-8": b"\xff",
        f"text: expected texts of at most {LARGEST_TEXT} bytes": b"x" * (LARGEST_TEXT + 1),
        "the tokenizer finds no token in a text": "",
    }
    asked = [{"text": column(text), "pair": column("")} for text in bad.values()]
    first, *errors, last = ask(good, *asked, good)
    assert [str(error) for error in errors] == list(bad)
    assert {error.code for error in errors} == {Triton.TritonError.INVALID_ARG}
    np.testing.assert_array_equal(first, last)
    graph = Graph(tier.file("model.onnx"))
    ids = np.array([[1, 2, 4], [3, 0, 0]])
    mask = np.array([[1, 1, 1], [1, 0, 0]])
    np.testing.assert_allclose(first, graph(input_ids=ids, attention_mask=mask)[0], atol=1e-6)
    long = ask({"text": column("t1 " * 100), "pair": column("")})[0]
    np.testing.assert_allclose(
        long,
        graph(input_ids=np.ones((1, 40), int), attention_mask=np.ones((1, 40), int))[0],
        atol=1e-6,
    )
