"""The set-up: what it thinks is needed, what it refuses, and how it waits and resumes."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from pathlib import Path

import pytest

import setup_env
from setup_env import SetupError, Stamp

PYPROJECT = '[tool.dimec]\ntorch = "2.13.0"\n'


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with just the files that a stamp is made from."""
    (tmp_path / "src" / "dimec").mkdir(parents=True)
    (tmp_path / "src" / "dimec" / "__about__.py").write_text('__version__ = "1"\n')
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "pyproject.toml").write_text("")
    (tmp_path / "requirements.lock").write_text("numpy==2.0.0 \\\n    --hash=sha256:00\n")
    return tmp_path


def test_the_pin_is_read_from_the_project_file(tree: Path) -> None:
    assert setup_env.torch_pin(tree / "pyproject.toml") == "2.13.0"


def test_an_unchanged_tree_needs_nothing(tree: Path) -> None:
    stamp = setup_env.wanted_stamp(tree, "", None)
    again = setup_env.wanted_stamp(tree, "", stamp)
    assert again == stamp
    assert setup_env.steps_needed(stamp, again, python_works=True) == (False, False)


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("requirements.lock", "numpy==2.0.1\n", (True, True)),
        ("pyproject.toml", PYPROJECT.replace("2.13.0", "2.14.0"), (True, True)),
        ("pyproject.toml", PYPROJECT + "# a comment\n", (False, True)),
        ("studies/pyproject.toml", "# a comment\n", (False, True)),
        ("src/dimec/__about__.py", '__version__ = "2"\n', (False, True)),
    ],
)
def test_a_changed_file_asks_for_what_depends_on_it(
    tree: Path, file: str, text: str, expected: tuple[bool, bool]
) -> None:
    before = setup_env.wanted_stamp(tree, "", None)
    (tree / file).write_text(text)
    after = setup_env.wanted_stamp(tree, "", before)
    assert setup_env.steps_needed(before, after, python_works=True) == expected


def test_a_moved_tree_is_built_anew(tree: Path) -> None:
    before = setup_env.wanted_stamp(tree, "", None)
    moved = tree.rename(tree.with_name("moved"))
    after = setup_env.wanted_stamp(moved, "", before)
    assert setup_env.steps_needed(before, after, python_works=True) == (True, True)


def test_an_environment_without_stamp_or_python_is_built_anew(tree: Path) -> None:
    stamp = setup_env.wanted_stamp(tree, "", None)
    assert setup_env.steps_needed(None, stamp, python_works=True) == (True, True)
    assert setup_env.steps_needed(stamp, stamp, python_works=False) == (True, True)


def test_the_build_of_torch_stays_until_another_is_asked_for(tree: Path) -> None:
    plain = setup_env.wanted_stamp(tree, "", None)
    assert plain.torch == "cpu"
    cuda = setup_env.wanted_stamp(tree, "cuda", plain)
    assert setup_env.steps_needed(plain, cuda, python_works=True) == (True, True)
    assert setup_env.wanted_stamp(tree, "", cuda) == cuda
    with pytest.raises(SetupError, match="cpu or cuda, got 'gpu'"):
        setup_env.wanted_stamp(tree, "gpu", None)


def test_a_stamp_survives_the_disk(tmp_path: Path) -> None:
    stamp = Stamp("a", "b", "cpu")
    stamp.write(tmp_path / "stamp")
    assert Stamp.read(tmp_path / "stamp") == stamp
    assert [path.name for path in tmp_path.iterdir()] == ["stamp"]


@pytest.mark.parametrize("text", ["", '{"packages": "a"', '{"packages": "a"}', "[]", "7"])
def test_a_damaged_stamp_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "stamp").write_text(text)
    assert Stamp.read(tmp_path / "stamp") is None
    assert Stamp.read(tmp_path / "absent") is None


def test_digest_keeps_its_parts_apart() -> None:
    assert setup_env.digest(b"ab", b"c") != setup_env.digest(b"a", b"bc")


def test_packages_are_counted_without_their_markers() -> None:
    lock = "# a==1\na-b==1 ; os_name == 'nt' \\\n    --hash=sha256:00\nc.d==2 \\\n"
    assert setup_env.count_packages(lock) == 2


def test_the_last_error_is_quoted_else_the_last_line() -> None:
    said = ["Collecting a", "ERROR: first", "ERROR: No match for a", "  "]
    assert setup_env.last_words(said) == "No match for a"
    assert setup_env.last_words(["one", "two", ""]) == "two"
    assert setup_env.last_words([]) == "it said nothing"


def test_an_environment_of_the_users_own_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / ".venv"
    folder.mkdir()
    (folder / "precious").touch()
    with pytest.raises(SetupError, match="was not made by this set-up"):
        setup_env.clear_venv(folder)
    assert (folder / "precious").exists()


@pytest.mark.parametrize("name", [setup_env.MARK, setup_env.STAMP])
def test_an_environment_made_here_is_removed_whole(tmp_path: Path, name: str) -> None:
    folder, left = tmp_path / ".venv", tmp_path / ".venv.old-1"
    for each in (folder, left):
        each.mkdir()
        (each / name).touch()
    setup_env.clear_venv(folder)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_step_raises_with_its_words_and_keeps_a_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = "import sys; print('Collecting a==1'); print('error: no room'); sys.exit(3)"
    log = tmp_path / "setup.log"
    handle = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    try:
        with pytest.raises(SetupError, match="2/4 x failed: no room"):
            setup_env.run_step("2/4 x", [sys.executable, "-c", script], lock=handle, log=log)
    finally:
        os.close(handle)
    assert "Collecting a==1\nerror: no room\n" in log.read_text()
    assert "2/4 x: failed" in capfd.readouterr().out


def _hold(path: str, held: object, seconds: float) -> None:
    with setup_env.hold_lock(Path(path)):
        held.set()  # type: ignore[attr-defined]
        time.sleep(seconds)


def test_a_second_set_up_waits_for_the_first(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    other = context.Process(target=_hold, args=(str(tmp_path / "lock"), held, 0.6))
    other.start()
    assert held.wait(30)
    start = time.monotonic()
    with setup_env.hold_lock(tmp_path / "lock"):
        waited = time.monotonic() - start
    other.join()
    assert other.exitcode == 0
    assert waited > 0.3
    assert capfd.readouterr().out.count("waiting for it") == 1
