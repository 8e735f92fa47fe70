from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dimec.base.errors import CorruptArtefactError, MissingArtefactError
from dimec.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint


def _parts(seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    return model, torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)


def _step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(seed))
    model(x).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def _state(model: nn.Module) -> list[Tensor]:
    return [value.clone() for value in model.state_dict().values()]


def test_training_goes_on_bit_for_bit_where_it_was(tmp_path: Path) -> None:
    model, optimizer = _parts(0)
    _step(model, optimizer, 1)
    _step(model, optimizer, 2)
    save_checkpoint(tmp_path, 1, model, optimizer, [{"epoch": 0, "loss": 0.1}])
    _step(model, optimizer, 3)
    expected = _state(model)

    other, again = _parts(99)
    record = load_checkpoint(tmp_path, 1, other, again)
    assert record == [{"epoch": 0, "loss": 0.1}]
    _step(other, again, 3)
    for value, wanted in zip(_state(other), expected, strict=True):
        assert torch.equal(value, wanted)


def test_the_latest_one_stays_and_the_earlier_one_goes(tmp_path: Path) -> None:
    model, optimizer = _parts(0)
    assert latest_checkpoint(tmp_path / "nowhere") == 0
    assert latest_checkpoint(tmp_path) == 0
    for epochs in (1, 2, 10):
        save_checkpoint(tmp_path, epochs, model, optimizer, [])
        assert latest_checkpoint(tmp_path) == epochs
        assert len(list(tmp_path.iterdir())) == 1


def test_other_files_are_no_checkpoints(tmp_path: Path) -> None:
    for name in ("epoch-0003.safetensors.tmp", ".epoch-0004.safetensors.1-a.tmp", "best-0001"):
        (tmp_path / name).touch()
    assert latest_checkpoint(tmp_path) == 0


@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_a_damaged_one_is_refused(tmp_path: Path, damage: str) -> None:
    model, optimizer = _parts(0)
    _step(model, optimizer, 1)
    save_checkpoint(tmp_path, 1, model, optimizer, [])
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        del content[len(content) // 2 :]
    else:
        content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptArtefactError, match=damage):
        load_checkpoint(tmp_path, 1, model, optimizer)


def test_a_missing_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingArtefactError, match=r"epoch-0002\.safetensors"):
        load_checkpoint(tmp_path, 2, *_parts(0))
