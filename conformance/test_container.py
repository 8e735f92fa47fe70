"""deploy/Containerfile, instruction by instruction, in a folder in place of an image's root.

What an image adds to it (its base, its user, its read-only root) is not tried: that takes a
builder.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kserve_setup import ROOT
from support.served import Server
from support.tiny import environment

FILE = ROOT / "deploy" / "Containerfile"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first stage leaves in /opt/dimec."""
    folder = tmp_path_factory.mktemp("image")
    work, prefix = folder / "build", folder / "opt"
    work.mkdir()
    make = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir"]
    subprocess.run([*make, str(folder / "dist"), "."], check=True, cwd=ROOT, capture_output=True)
    text = FILE.read_text("utf-8").replace("\\\n", " ")
    stage = text.split("\nFROM ")[1]
    for name, words in re.findall(r"^(RUN|COPY) (.+)$", stage, re.MULTILINE):
        words = words.replace("/opt/dimec", str(prefix))
        if name == "COPY":
            pattern = words.split()[0]
            beside = folder if pattern.startswith("dist/") else ROOT
            (source,) = beside.glob(pattern)
            shutil.copy(source, work)
        else:
            # The image's own Python is the one that runs this.
            words = re.sub(r"\bpip --python", f"{sys.executable} -m pip --python", words)
            words = re.sub(r"^python ", f"{sys.executable} ", words)
            done = subprocess.run(
                words, shell=True, cwd=work, capture_output=True, text=True, env=environment()
            )
            assert done.returncode == 0, done.stdout + done.stderr
    return prefix


def test_it_serves_and_predicts_with_what_was_installed(
    built: Path, bundle: Path, tmp_path: Path
) -> None:
    program = str(built / "bin" / "dimec")
    serve = [program, "serve", str(bundle / "edge"), "--port", "0"]
    with Server.by(serve, tmp_path / "log", PYTHONPATH="") as server:
        words = ["predict", str(bundle), "--edge", server.url, "--state", str(tmp_path / "state")]
        done = subprocess.run(
            [program, *words, "--json", "the film is moving", "the plot is dull"],
            capture_output=True,
            text=True,
            check=True,
            env=environment(PYTHONPATH=""),
        )
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(answers) == 2
        assert server.stop() == 0


def test_nothing_is_installed_to_install_with_nor_to_train_with(built: Path) -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "--python", built / "bin" / "python", "list"],
        capture_output=True,
        text=True,
        check=True,
    )
    names = {line.split()[0] for line in listed.stdout.splitlines()[2:]}
    assert {"dimec", "onnxruntime", "uvicorn"} <= names
    assert not {"pip", "torch", "transformers", "accelerate"} & names
