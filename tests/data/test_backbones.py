"""What an encoder's files say, without torch, and an encoder that is nowhere."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import save_file

from dimec.base.errors import ConfigError
from dimec.data.backbones import backbone_source, check_backbone_files, check_model
from dimec.settings.model import ModelSettings
from dimec.settings.run import RunSettings
from dimec.settings.training import TrainingSettings

if TYPE_CHECKING:
    from support.tiny import Said

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "encoder"
    place.mkdir()
    (place / "config.json").write_text('{"model_type": "bert", "num_hidden_layers": 6}')
    (place / "tokenizer.json").write_text("{}")
    save_file({"a": np.zeros(100, np.float32)}, place / "model.safetensors")
    return place


def test_a_sound_folder_tells_its_layers(folder: Path) -> None:
    assert check_backbone_files(folder) == 6
    (folder / "config.json").write_text('{"model_type": "distilbert", "n_layers": 3}')
    assert check_backbone_files(folder) == 3
    (folder / "config.json").write_text('{"model_type": "odd"}')
    assert check_backbone_files(folder) is None


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: (f / "model.safetensors").write_text(POINTER), "git lfs pull"),
        (lambda f: (f / "tokenizer.json").write_text(POINTER), "git lfs pull"),
        (lambda f: (f / "config.json").write_text(POINTER), "git lfs pull"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "truncated"),
        (
            lambda f: (f / "model.safetensors").write_bytes(
                (f / "model.safetensors").read_bytes()[:-9]
            ),
            "truncated",
        ),
        (lambda f: (f / "model.safetensors").unlink(), "has no weights"),
        (lambda f: (f / "config.json").unlink(), "no config.json"),
        (lambda f: (f / "config.json").write_text("{"), "not readable JSON"),
        (lambda f: (f / "config.json").write_bytes(b"\xff\xfe{}"), "not readable JSON"),
        (lambda f: (f / "config.json").write_text("[" * 99999), "not readable JSON"),
        (lambda f: (f / "config.json").write_text("[]"), "JSON object, got list"),
    ],
)
def test_a_broken_one_is_one_line(
    folder: Path, damage: Callable[[Path], object], words: str
) -> None:
    damage(folder)
    with pytest.raises(ConfigError, match=words) as caught:
        check_backbone_files(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_weights_in_several_files_are_all_looked_at(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "part-1.safetensors")
    index = folder / "model.safetensors.index.json"
    parts = {"a": "part-1.safetensors", "b": "part-2.safetensors"}
    index.write_text(json.dumps({"weight_map": parts}))
    with pytest.raises(ConfigError, match=r"1 of the 2 files .* part-2\.safetensors"):
        check_backbone_files(folder)
    (folder / "part-2.safetensors").write_text(POINTER)
    with pytest.raises(ConfigError, match="git lfs pull"):
        check_backbone_files(folder)
    index.write_text("[]")
    with pytest.raises(ConfigError, match="is damaged"):
        check_backbone_files(folder)


def _settings(folder: Path, **changes: object) -> RunSettings:
    training = {k: changes.pop(k) for k in ("recipe", "loss_weights") if k in changes}
    return RunSettings.model_validate(
        {
            "data": {"task": "csv:none.csv"},
            "model": ModelSettings.model_validate({"backbone": str(folder), **changes}),
            "training": TrainingSettings.model_validate(training),
        }
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"exits": (2, 3, 9)}, "layers 1 to 6"),
        ({"exits": (1, 2, 3)}, "last layer, 6"),
        ({"exits": (2, 3, 6), "loss_weights": (1.0, 2.0)}, "expected 3 loss weights"),
        ({"exits": (6,), "recipe": "two-stage"}, "needs exits before the last"),
    ],
)
def test_settings_are_held_against_the_configuration(
    folder: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        check_model(_settings(folder, **changes))


def test_what_looks_like_a_path_is_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    for name in (f"{tmp_path}/none", "./none", "a/b/c", "~/none-of-it"):
        with pytest.raises(ConfigError, match="there is no folder"):
            backbone_source(name)
    (tmp_path / "file.bin").write_bytes(b"")
    with pytest.raises(ConfigError, match="is a file; give the folder"):
        backbone_source(str(tmp_path / "file.bin"))


def test_a_home_folder_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert backbone_source("~/encoder") == str(folder)


def test_before_torch_is_loaded_and_at_once_where_the_hub_is_off(
    cli: Callable[..., Said], tmp_path: Path, folder: Path
) -> None:
    from support.tiny import dimec

    table = tmp_path / "a.csv"
    table.write_text("text,label\na,b\n")
    common = ("train", "--task", f"csv:{table}", "--out", tmp_path / "run")
    message = dimec(*common, "--backbone", "no-such/encoder").complaint()
    assert "HF_HUB_OFFLINE" in message
    assert len(message) < 300
    said = dimec(*common, "--backbone", folder, "--exits", "2,3,9")
    assert "layers 1 to 6" in said.complaint()
    assert "loading torch" not in said.err
    assert not (tmp_path / "run").exists()


def test_a_hub_that_cannot_be_reached_is_not_asked_again_and_again(tmp_path: Path) -> None:
    """A listener that hangs up on whoever calls, and counts them."""
    from support.tiny import dimec

    calls = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            while True:
                try:
                    calls.append(listener.accept()[0])
                except OSError:
                    return
                calls[-1].close()

        threading.Thread(target=hang_up, daemon=True).start()
        said = dimec(
            *("train", "--task", "csv:none.csv", "--out", tmp_path / "run"),
            *("--backbone", "no-such/encoder"),
            HF_HUB_OFFLINE="0",
            HF_HOME=str(tmp_path / "cache"),
            HF_ENDPOINT=f"http://127.0.0.1:{listener.getsockname()[1]}",
        )
        if sys.platform.startswith("linux"):
            listener.shutdown(socket.SHUT_RDWR)
    assert "the hub cannot be reached" in said.complaint()
    assert 1 <= len(calls) <= 2  # a connection that was lost is tried anew; not six times
