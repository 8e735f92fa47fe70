"""The bottleneck itself: projection, quantised code, bytes on the wire, and projection back.

BottleNet++ (Shao and Zhang, arXiv 1910.14315; github.com/shaojiawei07/BottleNetPlusPlus) squeezes a
feature map through a convolution with a sigmoid, rounds it to 8 bits and passes the gradient
straight through; BottleFit (Matsubara et al., arXiv 2201.02693;
github.com/yoshitomo-matsubara/bottlefit-split_computing) narrows a block of the network and
quantises its output to 8 bits. Both are for images. For an encoder's hidden states the counterpart
is one linear map a token, D → k and back, which starts at the principal axes: of all linear
bottlenecks of a width, the one that loses the least of the hidden states (Eckart and Young 1936).

Each of the k numbers has a range of its own, ±r_j. It is a weight, learned like any other, and
both sides have it: no scale travels, and a token's code is ⌈k·b/8⌉ bytes exactly, whatever it
says. With n = 2^b - 1 steps:

    level = round(n·(clip(z/r, -1, 1) + 1)/2)          0 … n, b bits
    z' = r·(2·level/n - 1)

The gradient passes through the rounding as if it were not there (Bengio et al., arXiv 1308.3432);
that of r is then LSQ's, (2·level/n - 1) - z/r where |z| < r (Esser et al., arXiv 1902.08153).
"""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dimec.base.arrays import FloatArray
from dimec.base.errors import DataError
from dimec.policies.literature.bottleneck import RAW_BITS, token_code_bytes

LevelArray = npt.NDArray[np.uint32]

# Ranges that are tried at the start, in standard deviations of each number of the code.
_RANGES = np.linspace(0.5, 6.0, 45)


class Bottleneck(nn.Module):
    """Hidden states to a narrow code and back: (…, D) → (…, D).

    Args:
        hidden: D, numbers in a token's hidden state.
        width: k, numbers in its code.
        bits: of each; 1 to 16, or 32 to leave them as they are.

    Attributes:
        down, up: the projections, D → k and k → D.
        log_range: (k,) ln r_j.

    Raises:
        ConfigError: width or bits out of range.
    """

    def __init__(self, hidden: int, width: int, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.token_bytes = token_code_bytes(width, bits)
        self.down = nn.Linear(hidden, width)
        self.up = nn.Linear(width, hidden)
        self.log_range = nn.Parameter(torch.zeros(width))

    @property
    def width(self) -> int:
        """k, numbers in a token's code."""
        return self.down.out_features

    def encoder_parameters(self) -> list[nn.Parameter]:
        """What the mobile has: the way down, and the ranges."""
        return [*self.down.parameters(), self.log_range]

    def decoder_parameters(self) -> list[nn.Parameter]:
        """What the cloud has beside the ranges: the way up."""
        return list(self.up.parameters())

    def forward(self, hidden: Tensor) -> Tensor:
        """What the cloud gets of hidden states (…, D), with gradients."""
        code = self.down(hidden)
        if self.bits != RAW_BITS:
            code = from_levels(
                to_levels(code, self.log_range, self.bits), self.log_range, self.bits
            )
        return cast(Tensor, self.up(code))

    @torch.no_grad()
    def send(self, hidden: Tensor) -> bytes:
        """The message for the hidden states (T, D) of a text's real tokens: T codes."""
        code = self.down(hidden)
        if self.bits == RAW_BITS:
            return pack_levels(code.cpu().numpy().view(np.uint32), RAW_BITS)
        levels = to_levels(code, self.log_range, self.bits)
        return pack_levels(levels.cpu().numpy().astype(np.uint32), self.bits)

    @torch.no_grad()
    def receive(self, message: bytes) -> Tensor:
        """(T, D) hidden states that the cloud goes on with, from a message of :meth:`send`.

        Raises:
            DataError: not a whole number of codes.
        """
        levels, device = unpack_levels(message, self.width, self.bits), self.up.weight.device
        if self.bits == RAW_BITS:
            return cast(Tensor, self.up(torch.from_numpy(levels.view(np.float32)).to(device)))
        code = torch.from_numpy(levels.astype(np.float32)).to(device)
        return cast(Tensor, self.up(from_levels(code, self.log_range, self.bits)))

    @torch.no_grad()
    def start_from(self, hidden: FloatArray) -> None:
        """Begin at the principal axes of hidden states (R, D), and the best range for each.

        Raises:
            DataError: fewer than 2 of them.
        """
        mean, axes = principal_axes(hidden, self.width)
        self.down.weight.copy_(torch.from_numpy(axes))
        self.down.bias.copy_(torch.from_numpy(-axes @ mean))
        self.up.weight.copy_(torch.from_numpy(axes.T))
        self.up.bias.copy_(torch.from_numpy(mean))
        if self.bits != RAW_BITS:
            ranges = best_ranges((hidden - mean) @ axes.T, self.bits)
            self.log_range.copy_(torch.from_numpy(np.log(ranges)))


def to_levels(code: Tensor, log_range: Tensor, bits: int) -> Tensor:
    """Levels 0 … 2^bits - 1, as floats, of a code (…, k); the rounding passes gradients through."""
    top = 2**bits - 1
    place = (torch.clamp(code / log_range.exp(), -1.0, 1.0) + 1.0) * (top / 2)
    # Exact in floats: the difference has no more digits than ``place``, and the sum is whole.
    levels: Tensor = place + (place.round() - place).detach()
    return levels


def from_levels(levels: Tensor, log_range: Tensor, bits: int) -> Tensor:
    """The code (…, k) that levels stand for."""
    code: Tensor = (levels * (2 / (2**bits - 1)) - 1.0) * log_range.exp()
    return code


def pack_levels(levels: LevelArray, bits: int) -> bytes:
    """Levels (T, k) as bytes: each token's k levels bit after bit, filled up to whole bytes."""
    shifts = np.arange(bits - 1, -1, -1, dtype=np.uint32)
    digits = (levels[:, :, None] >> shifts) & 1
    rows = digits.astype(np.uint8).reshape(len(levels), levels.shape[1] * bits)
    return np.packbits(rows, axis=1).tobytes()


def unpack_levels(message: bytes, width: int, bits: int) -> LevelArray:
    """(T, k) levels from what :func:`pack_levels` made; T follows from the size.

    Raises:
        DataError: not a whole number of tokens.
    """
    size = token_code_bytes(width, bits)
    if len(message) % size:
        raise DataError(
            f"expected codes of {size} bytes a token ({width} numbers of {bits} bits), got a "
            f"message of {len(message)} bytes, which is no whole number of them"
        )
    rows = np.frombuffer(message, np.uint8).reshape(-1, size)
    digits = np.unpackbits(rows, axis=1, count=width * bits).reshape(len(rows), width, bits)
    weights = np.uint32(1) << np.arange(bits - 1, -1, -1, dtype=np.uint32)
    levels: LevelArray = (digits * weights).sum(axis=2, dtype=np.uint32)
    return levels


def principal_axes(hidden: FloatArray, width: int) -> tuple[FloatArray, FloatArray]:
    """The mean (D,) of vectors (R, D), and their first ``width`` principal axes (k, D).

    Each axis points where its largest part is positive, so that the result is one and the same.

    Raises:
        DataError: fewer than 2 vectors.
    """
    if len(hidden) < 2:
        raise DataError(f"principal axes need at least 2 hidden states, got {len(hidden)}")
    mean: FloatArray = hidden.mean(axis=0)
    centred = hidden - mean
    _, vectors = np.linalg.eigh(centred.T @ centred)  # ascending
    axes: FloatArray = vectors[:, ::-1].T[:width]
    largest = axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)]
    return mean, axes * np.where(largest < 0, -1.0, 1.0)[:, None]


def best_ranges(code: FloatArray, bits: int) -> FloatArray:
    """(k,) ranges r with the least squared error of quantising codes (R, k), of those tried.

    Tried are 0.5 to 6 standard deviations: few bits want a narrow range, many a wide one
    (Max 1960, Quantizing for Minimum Distortion).
    """
    spread = code.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)  # a number that never varies: any range will do
    top = 2**bits - 1
    unit = code / spread
    errors = np.empty((len(_RANGES), code.shape[1]))
    for row, size in enumerate(_RANGES):
        levels = np.round((np.clip(unit / size, -1, 1) + 1) * (top / 2))
        errors[row] = ((size * (levels * (2 / top) - 1) - unit) ** 2).sum(axis=0)
    ranges: FloatArray = _RANGES[errors.argmin(axis=0)] * spread
    return ranges
