"""The training dynamics of the training split, gathered from the training passes themselves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from torch import Tensor


class TrainingLogits:
    """The logits (N, X, C) of every training row in one epoch.

    Each row's are those of the step that learned from it: the weights of that moment, dropout on,
    in the precision of training. So do Swayamdipta et al. (2020, arXiv 2009.10795;
    github.com/allenai/cartography), and so it costs no pass of its own.
    """

    def __init__(self, rows: int, exits: int, classes: int, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._values = torch.zeros((rows, exits, classes), device=accelerator.device)

    def add(self, rows: Tensor, logits: Tensor) -> None:
        """Keep the logits (B, X, C) of some rows."""
        self._values[rows] = logits.detach().float()

    def collect(self) -> npt.NDArray[np.float32]:
        """All rows in order, on every process, whichever of them learned from a row."""
        values = self._values
        if self._accelerator.num_processes > 1:
            values = self._accelerator.reduce(values, reduction="sum")
        result: npt.NDArray[np.float32] = values.cpu().numpy()
        return result
