"""Checkpoints: one checksummed file an epoch, so that a killed run goes on where it was.

A checkpoint holds the weights and the optimizer's state as safetensors, with the history of the
epochs so far. There is no random state to keep: every epoch seeds its own (see ``loop``).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dimec.base.storage import load_arrays, save_arrays

_KIND = "checkpoint"


def _path(folder: Path, epochs_done: int) -> Path:
    return folder / f"epoch-{epochs_done:04d}.safetensors"


def save_checkpoint(
    folder: Path,
    epochs_done: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    record: Any,
) -> None:
    """Write the state after ``epochs_done`` epochs, then drop the earlier one."""
    arrays = {f"model.{name}": _numpy(value) for name, value in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        arrays |= {f"optimizer.{index}.{name}": _numpy(value) for name, value in state.items()}
    save_arrays(_path(folder, epochs_done), _KIND, arrays, {"record": record})
    for path in folder.glob("epoch-*.safetensors"):
        if path != _path(folder, epochs_done):
            path.unlink(missing_ok=True)


def latest_checkpoint(folder: Path) -> int:
    """Epochs done at the latest checkpoint; 0 where there is none."""
    found = [re.fullmatch(r"epoch-(\d+)\.safetensors", path.name) for path in folder.glob("*")]
    return max((int(match[1]) for match in found if match), default=0)


def load_checkpoint(
    folder: Path, epochs_done: int, model: nn.Module, optimizer: torch.optim.Optimizer
) -> Any:
    """Put the saved state into ``model`` and ``optimizer`` and return the record.

    Raises:
        CorruptArtefactError: the file is truncated or altered.
    """
    path = _path(folder, epochs_done)
    arrays, metadata = load_arrays(path, _KIND, "dimec train --overwrite")
    weights: dict[str, Tensor] = {}
    state: dict[int, dict[str, Tensor]] = {}
    for name, array in arrays.items():
        kind, _, rest = name.partition(".")
        if kind == "model":
            weights[rest] = torch.from_numpy(array)
        else:
            index, _, key = rest.partition(".")
            state.setdefault(int(index), {})[key] = torch.from_numpy(array)
    model.load_state_dict(weights)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return metadata["record"]


def _numpy(value: Any) -> npt.NDArray[Any]:
    return np.asarray(torch.as_tensor(value).detach().cpu().numpy())
