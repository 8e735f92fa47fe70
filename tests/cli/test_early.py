"""What is wrong with options and files is told before torch is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from support.tiny import contents, environment

_WITHOUT_TORCH = """
import json, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "accelerate"}:
            print(f"{name} is loaded", file=sys.stderr)
            sys.exit(3)
sys.meta_path.insert(0, Blocker())
from dimec.cli import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["dimec", *words]
    try:
        main()
    except SystemExit as stop:
        assert stop.code == 2, (words, stop.code)
    else:
        raise AssertionError(words)
"""


def test_wrong_options_and_files_need_no_torch(
    finished_run: Path, tiny_bundle: Path, tiny_reviews: Path, tmp_path: Path
) -> None:
    run, none, new = str(finished_run), str(tmp_path / "none.csv"), str(tmp_path / "new")
    train = ["train", "--task", f"csv:{tiny_reviews}", "--out", new]
    wrong = [
        (["fit", run, "--alphas", "2"], "--alphas must lie from 0 to 1"),
        ([*train, "--recipe", "own", "--unlabelled", none], "none.csv does not exist"),
        (["fit", run, "--lambda", "-1"], "--lambda must be a finite"),
        (["evaluate", run, "--systems", "none"], "no system is named 'none'"),
        (["evaluate", run, "--scenarios", none], "none.csv"),
        (["report", run, "--seed", "-1"], "--seed must be"),
        (["map", "select", run, "--by", "foo"], "--by: rows can be chosen by"),
        (["map", "select", run, "--by", "easy", "--share", "2"], "--share lies above 0"),
        (["map", "select", run, "--by", "easy"], "--record-train"),
        (["bottleneck", run, "--epochs", "1"], "--epochs must be at least 2"),
        (["bottleneck", run, "--bits", "20"], "1 to 16 bits"),
        (["bottleneck", run, "--objective", "both"], "--objective must be one of"),
        (["bottleneck", run, "--layer", "4"], "got --layer 4"),
        (["bottleneck", run, "--width", "99"], "got --width 99"),
        (["bottleneck", str(tmp_path)], "training.json does not exist"),
        (["compress", run, "--method", "zip"], "--method must be one of"),
        (["compress", str(tmp_path)], "training.json does not exist"),
        (["trace", "record", run, "--task", f"csv:{none}"], "none.csv does not exist"),
        (["trace", "record", run, "--task", "vader/none"], "unknown task"),
        (["trace", "record", run, "--task", f"csv:{none}", "--rows", "some"], "--rows is 'some'"),
        (
            ["trace", "record", str(tmp_path), "--task", f"csv:{none}"],
            "training.json does not exist",
        ),
        (["export", run, new, "--int8", "phone"], "for --int8, got 'phone'"),
        (["export", run, new, "--triton", new, "--triton-instances", "0"], "one instance"),
        (["export", str(tmp_path), new], "training.json does not exist"),
        (["profile", "--out", new, "--tokens", "0"], "--tokens: expected lengths"),
        (["reproduce", "table7"], "no item is named 'table7'"),
        (["reproduce", "table1", "--tasks", "none"], "no task 'none'"),
        (["reproduce", "table1", "--data-dir", none], "--data-dir"),
        (["reproduce", "table1", "--workers", "0"], "--workers"),
        (["train", "--out", new], "say what to train on"),
        (["train", "--task", "csv:x", "--out", new, "--epochs", "1"], "--epochs"),
        ([*train, "--backbone", "no/such"], "no folder 'no/such', the hub is switched off"),
    ]
    before = contents(finished_run)
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_TORCH, json.dumps([words for words, _ in wrong])],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        cwd=tmp_path,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("dimec: ")]
    assert len(lines) == len(wrong)
    for line, (words, message) in zip(lines, wrong, strict=True):
        assert message in line, words
    assert contents(finished_run) == before
    assert list(tmp_path.iterdir()) == []
