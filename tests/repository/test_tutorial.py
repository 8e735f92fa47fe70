"""docs/tutorial.md: its code and all its commands run as they stand, in order, in one folder.

What is changed is size: the reviews are fewer, the encoder is a tiny one of as many layers, and
its training has a few options more. Servers take any free port.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

import dimec
from support import tutorial
from support.served import Server
from support.shared import made_once
from support.tiny import Said, command, make_backbone, reviews, write_reviews
from support.tutorial import Step
from support.warm import warm_dimec

PAGE = tutorial.PAGE.read_text("utf-8")
QUICK = ("--epochs", "3", "--learning-rate", "3e-3", "--max-tokens", "32", "--precision", "fp32")


class Told(NamedTuple):
    """What became of the page."""

    folder: Path
    said: list[tuple[Step, Said]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """The page, done from top to bottom."""
    folder = tmp_path_factory.mktemp("tutorial")
    encoder = made_once(tmp_path_factory, "six layers", lambda path: make_backbone(path, layers=6))
    with pytest.MonkeyPatch.context() as patch, ExitStack() as running:
        patch.chdir(folder)
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        patch.delenv("DIMEC_TOKEN", raising=False)
        few = dimec.load_task(f"csv:{write_reviews(folder / 'few.csv', reviews(800))}")
        patch.setattr(dimec, "load_task", lambda task: few)
        for code in tutorial.code(PAGE):
            exec(compile(code, "docs/tutorial.md", "exec"), {})
        yield Told(folder, list(done(folder, encoder, running)))


def done(folder: Path, encoder: Path, running: ExitStack) -> Iterator[tuple[Step, Said]]:
    """Each command that ends, with what it said; servers stay until the stack is closed."""
    places = {"minilm-l6": str(encoder)}
    for step in tutorial.steps(PAGE):
        words = [places.get(word, word) for word in step.words]
        if step.stays:
            asked = f"http://127.0.0.1:{words[words.index('--port') + 1]}"
            words[words.index("--port") + 1] = "0"
            starting = command(*words, "--threads", "1")
            server = running.enter_context(Server.by(starting, folder / f"{len(places)}.log"))
            places[asked] = server.url
        else:
            yield step, warm_dimec(*words, *(QUICK if step.words[0] == "train" else ()))


def test_every_command_succeeds(told: Told) -> None:
    failed = [(step.words, said.err) for step, said in told.said if said.code]
    assert failed == []
    names = {step.words[0] for step, _ in told.said}
    assert names == {"train", "fit", "evaluate", "report", "export", "inspect", "predict"}


def test_it_ends_with_three_tiers_and_a_contract(told: Told) -> None:
    bundle = told.folder / "bundles" / "reviews"
    assert {path.name for path in bundle.iterdir() if path.is_dir()} >= {"mobile", "edge", "cloud"}
    contract = json.loads((told.folder / "runs/reviews/fit.json").read_text("utf-8"))["contract"]
    assert (contract["max_accuracy_drop"], contract["confidence"]) == (2.0, 0.95)
    assert (told.folder / "runs/reviews/report/report.html").is_file()
    answers = (told.folder / "answers.jsonl").read_text("utf-8").splitlines()
    assert len(answers) == len((told.folder / "reviews.csv").read_text("utf-8").splitlines()) - 1
    assert all(json.loads(line)["fallback_reason"] is None for line in answers)


def test_what_the_page_shows_is_what_is_printed(told: Told) -> None:
    """Line by line, as far as there is neither a number nor a policy's choice in it.

    Nor what some rows alone bring about: a warning, and what is said of a saving, if any.
    """
    by_chance, missing = ("warning:", "test split, where"), []
    for step, said in told.said:
        printed = {beginning(line) for line in (said.out + said.err).splitlines()}
        shown = {beginning(line) for line in step.shown.splitlines()} - {"", "…"}
        missing += [
            (step.words[0], line)
            for line in shown
            if line not in printed and ":" in line and not line.startswith(by_chance)
        ]
    assert not missing, "\n".join(map(str, missing))


def beginning(line: str) -> str:
    """The words of a line up to its first colon or number."""
    return re.split(r"\d", line.strip().partition(":")[0] + ":" * (":" in line))[0].strip()


def test_what_is_printed_takes_its_place_in_a_page() -> None:
    page = "A\n```console\n$ dimec fit a \\\n  b\nold\n$ dimec serve c &\n```\nB\n"
    assert [(step.words, step.shown, step.stays) for step in tutorial.steps(page)] == [
        (["fit", "a", "b"], "old\n", False),
        (["serve", "c"], "", True),
    ]
    new = tutorial.filled(page, lambda step: "" if step.stays else "new\n")
    assert new == page.replace("old", "new")


def test_progress_is_not_worth_showing() -> None:
    notes = (
        "loading torch\n  epoch 1 of 5: 16/3183 loss 2\n  epoch 1 of 5: loss 1.9, accuracy 1 %\n"
    )
    assert tutorial.worth_showing("trained\n", notes) == (
        "loading torch\n  epoch 1 of 5: loss 1.9, accuracy 1 %\ntrained\n"
    )
