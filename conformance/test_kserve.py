"""deploy/kserve against KServe's own types, its condition against GJSON on the edge's answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dimec.serving.local import LocalTiers
from kserve_setup import ROOT, set_up
from setup_env import venv_python

FOLDER = ROOT / "deploy" / "kserve"
FILES = sorted(FOLDER.glob("*.yaml"))
# Debian's golang-go and golang-github-tidwall-gjson-dev.
GJSON = Path("/usr/share/gocode/src/github.com/tidwall/gjson")
_PROGRAM = """package main

import (
	"bufio"
	"fmt"
	"os"

	"github.com/tidwall/gjson"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println(gjson.GetBytes(lines.Bytes(), os.Args[1]).Exists())
	}
}
"""


def typed(*files: Path) -> list[dict[str, Any]]:
    """What KServe's types make of manifests."""
    python = venv_python(set_up())
    script = Path(__file__).with_name("kserve_types.py")
    done = subprocess.run([python, script, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_kserve_has_a_place_for_every_field() -> None:
    found = typed(*FILES)
    assert len(found) == 5
    for one in found:
        assert one["lost"] == [], one


def test_a_misspelt_field_would_be_found(tmp_path: Path) -> None:
    (graph,) = yaml.safe_load_all((FOLDER / "graph.yaml").read_text("utf-8"))
    graph["spec"]["nodes"]["root"]["steps"][1]["conditon"] = "outputs"
    (tmp_path / "graph.yaml").write_text(yaml.safe_dump(graph))
    (found,) = typed(tmp_path / "graph.yaml")
    assert found["lost"] == ["/spec/nodes/root/steps/1/conditon"]


@pytest.fixture(scope="module")
def holds(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, list[bytes]], list[bool]]:
    """``holds(condition, answers)``: whether KServe's router would take the step."""
    if shutil.which("go") is None or not GJSON.is_dir():
        pytest.skip("needs Go and GJSON: apt-get install golang-go golang-github-tidwall-gjson-dev")
    folder = tmp_path_factory.mktemp("go")
    source = folder / "src" / "holds" / "main.go"
    source.parent.mkdir(parents=True)
    source.write_text(_PROGRAM)
    program, gopath = folder / "holds", f"{folder}:{GJSON.parents[3]}"
    go = {"GO111MODULE": "off", "GOPATH": gopath, "GOCACHE": str(folder / "cache")}
    subprocess.run(["go", "build", "-o", program, source], check=True, env={**os.environ, **go})

    def ask(condition: str, answers: list[bytes]) -> list[bool]:
        lines = b"".join(answer + b"\n" for answer in answers)
        done = subprocess.run([program, condition], input=lines, capture_output=True, check=True)
        return [line == b"true" for line in done.stdout.splitlines()]

    return ask


def condition(threshold: float = 0.9) -> str:
    """The graph's, for another confidence."""
    (graph,) = yaml.safe_load_all((FOLDER / "graph.yaml").read_text("utf-8"))
    found: str = graph["spec"]["nodes"]["root"]["steps"][1]["condition"]
    assert ">=0.9)" in found
    return found.replace(">=0.9)", f">={threshold})")


def test_the_cloud_is_asked_just_where_the_edge_is_not_sure(
    bundle: Path, holds: Callable[[str, list[bytes]], list[bool]]
) -> None:
    """On what the edge's real server says, at confidences between and beyond what it says."""
    import httpx2

    answers = []
    with LocalTiers(bundle) as tiers, httpx2.Client() as client:
        for word in range(5, 25):
            tensor = {"datatype": "INT64", "shape": [1, 3]}
            inputs = [
                {"name": "input_ids", **tensor, "data": [2, word, 3]},
                {"name": "attention_mask", **tensor, "data": [1, 1, 1]},
            ]
            url = f"{tiers.urls['edge']}/v2/models/edge/infer"
            answer = client.post(url, json={"inputs": inputs}).raise_for_status()
            answers.append(answer.content)
    sure = [max(json.loads(answer)["outputs"][0]["data"]) for answer in answers]
    assert len(set(sure)) > 5
    for threshold in (0.0, *sorted(sure)[:-1:4], max(sure), 1.5):
        wanted = [value < threshold for value in sure]
        assert holds(condition(threshold), answers) == wanted
    many = json.dumps({"outputs": [{"name": "probabilities", "data": [0.4, 0.35, 0.25]}]}).encode()
    assert holds(condition(), [many, b'{"error": "the queue is full"}']) == [True, False]
