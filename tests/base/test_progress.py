from __future__ import annotations

import io

import pytest
from rich.console import Console

from dimec.base.progress import NoProgress, Progress, RichProgress


def console(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=80, no_color=True)


def text(of: Console) -> str:
    assert isinstance(of.file, io.StringIO)
    return of.file.getvalue()


def _work(progress: Progress, steps: int = 3) -> None:
    progress.say("epoch 1 begins")
    progress.start("training", steps)
    for step in range(steps):
        progress.advance(1, f"loss {step}")
    progress.end()
    progress.end()
    progress.say("done")


def test_no_progress_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    _work(NoProgress())
    assert capsys.readouterr() == ("", "")


def test_standard_error_is_where_it_goes(capsys: pytest.CaptureFixture[str]) -> None:
    with RichProgress() as progress:
        _work(progress)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "epoch 1 begins\ndone\n"


def test_off_a_terminal_lines_stay_whole_and_unstyled() -> None:
    screen = console(terminal=False)
    long = "a line of more than eighty characters " * 4 + "[bold]not markup[/bold] 1.5"
    with RichProgress(screen) as progress:
        progress.say(long)
    assert text(screen) == long + "\n"


def test_off_a_terminal_a_line_comes_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    screen = console(terminal=False)
    with RichProgress(screen) as progress:
        progress.start("training", 100)
        for step in range(10):
            now[0] += 4
            progress.advance(10, f"loss 0.{step}")
    # Every fourth step, once more than 15 seconds have gone by.
    assert text(screen) == "  training: 40/100 loss 0.3\n  training: 80/100 loss 0.7\n"


def test_on_a_terminal_a_bar_shows_the_stage_and_goes_again() -> None:
    screen = console(terminal=True)
    with RichProgress(screen) as progress:
        progress.start("training", 4)
        progress.advance(2, "loss 0.5")
        progress._bars.refresh()
        seen = text(screen)
        progress.end()
        assert not progress._bars.task_ids
    assert "training" in seen
    assert "2/4" in seen
    assert "loss 0.5" in seen


def test_a_new_stage_ends_the_one_before() -> None:
    with RichProgress(console(terminal=False)) as progress:
        progress.start("one", 2)
        progress.start("two", 2)
        assert len(progress._bars.task_ids) == 1
        progress.advance(2)
        progress.end()
        progress.advance(1)  # nothing is under way: no harm
        assert not progress._bars.task_ids
