"""``dimec export --executorch`` with ExecuTorch itself, and a reader that has nothing of dimec."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.bundle.golden import Golden
from dimec.bundle.phone import PhoneFolder
from executorch_setup import set_up
from setup_env import venv_python
from support.tiny import dimec, environment

_HERE = Path(__file__).parent
_TESTS = _HERE.parent / "tests"  # for what makes tiny encoders


def _python(*words: str | Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """The Python that has ExecuTorch."""
    command = [str(venv_python(set_up())), *map(str, words)]
    told = environment(**changes)
    return subprocess.run(command, capture_output=True, text=True, env=told, timeout=600)


def _export(run: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    words = ("-m", "dimec", "export", run, folder / "bundle", "--executorch", folder / "phone")
    return _python(*words, *options)


@pytest.fixture(scope="session")
def deep(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run with all layers on the phone, so that it is cut at the exits 1, 2 and 4."""
    copy = Path(shutil.copytree(run, tmp_path_factory.mktemp("deep") / "run"))
    said = dimec("fit", copy, "--tiers", "4,4,4")
    assert said.code == 0, said
    return copy


@pytest.fixture(scope="session")
def exported(deep: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundle and the phone folder of that run."""
    folder = tmp_path_factory.mktemp("phone")
    said = _export(deep, folder, "--json")
    assert said.returncode == 0, said
    told = json.loads(said.stdout)["phone"]
    assert told["reused"] is False
    assert told["parity"]["difference"] < 1e-5
    assert [each["exit"] for each in told["parity"]["exits"]] == [0, 1, 2, 4]
    assert list(told["programs"]) == ["embed.pte", "layers-1.pte", "layers-2.pte", "layers-4.pte"]
    return folder


def test_a_reader_without_dimec_gets_the_golden_vectors(exported: Path) -> None:
    phone = PhoneFolder.open(exported / "phone")
    said = _python(_HERE / "phone_reader.py", phone.path)
    assert said.returncode == 0, said.stderr
    found: list[dict[str, Any]] = json.loads(said.stdout)
    golden = Golden.load(phone.path)
    for got, wanted in zip(found, golden.inputs, strict=True):
        assert got["input_ids"] == list(wanted.input_ids)
        np.testing.assert_allclose(got["embedding"], wanted.embedding, atol=1e-4)
        exits = {each.layer: each.probabilities for each in wanted.exits if each.tier == "mobile"}
        for layer, row in got["exits"].items():
            np.testing.assert_allclose(row, exits[int(layer)], atol=1e-4)
        if wanted.alone.clear:
            first = wanted.alone.first
            assert (got["tier"], got["cost"]) == (first.tier, wanted.alone.cost)
            for score, expected in zip(got["scores"], first.scores, strict=True):
                assert score == (None if expected is None else pytest.approx(expected, abs=1e-4))
    assert {len(each.input_ids) for each in golden.inputs} >= {2, phone.manifest.max_tokens}


def test_the_app_gets_the_bundle_s_own_files_and_no_texts(exported: Path) -> None:
    phone = PhoneFolder.open(exported / "phone")
    for name in ("tokenizer.json", "policy.json", "policy.safetensors", "exit0.safetensors"):
        content = (phone.app / name).read_bytes()
        assert content == (exported / "bundle" / "mobile" / name).read_bytes()
    assert not (phone.app / "golden.json").exists()
    operators = {one for program in phone.manifest.programs for one in program.operators}
    assert not [one for one in operators if one.startswith("aten::addmm")], "left to kernels"


def test_the_same_again_is_taken_as_it_is_and_another_is_not_replaced_unasked(
    exported: Path, run: Path, tmp_path: Path, deep: Path
) -> None:
    shutil.copytree(exported, tmp_path, dirs_exist_ok=True)
    before = (tmp_path / "phone" / "mobile" / "manifest.json").read_bytes()
    again = _export(deep, tmp_path, "--json")
    assert json.loads(again.stdout)["phone"]["reused"] is True
    shutil.rmtree(tmp_path / "bundle")
    other = _export(run, tmp_path)
    assert other.returncode == 2
    assert "holds another phone folder" in other.stderr
    assert (tmp_path / "phone" / "mobile" / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--int8", "mobile"], "a phone's programs are in fp32"),
        (["--executorch", "bundle/phone"], "lies in the bundle's folder"),
    ],
)
def test_what_cannot_be_is_one_line_before_any_work(
    run: Path, tmp_path: Path, options: list[str], expected: str
) -> None:
    given = [str(tmp_path / word) if "/" in word else word for word in options]
    said = _export(run, tmp_path, *given)
    assert said.returncode == 2
    assert expected in said.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["bert", "mpnet", "roberta"])
def test_encoders_answer_as_the_model_at_other_lengths(tmp_path: Path, kind: str) -> None:
    said = _python(_HERE / "phone_encoders.py", tmp_path, kind, PYTHONPATH=str(_TESTS))
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)[kind] < 1e-5
