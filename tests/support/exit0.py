"""An exit 0 of random weights, for tests."""

from __future__ import annotations

import numpy as np

from dimec.bundle.exit0 import Exit0
from dimec.bundle.exit0_rows import BINS

VOCABULARY, WIDTH, SEPARATOR = 24, 6, 2


def make_exit0(
    *, pairs: bool = False, classes: int = 2, seed: int = 0, power: float = 0.5
) -> Exit0:
    """Weights of 10 of 24 tokens and of 16 hashed neighbours; the separator has none."""
    rng = np.random.default_rng(seed)
    columns = 1 if classes == 2 else min(classes, 4)
    mix = np.array([[-0.5, 0.5]]) if classes == 2 else rng.standard_normal((columns, classes))

    def half(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float16]]:
        return rng.standard_normal((*shape, columns)).astype(np.float16)

    return Exit0(
        ids=np.sort(rng.permutation(np.arange(3, VOCABULARY))[:10]).astype(np.int32),
        tokens=half(3 if pairs else 1, 10),
        bigrams=half(0 if pairs else 16),
        shares=half(3 if pairs else 0, BINS),
        pooled=rng.standard_normal((columns, WIDTH)).astype(np.float32),
        mix=mix.astype(np.float32),
        bias=rng.standard_normal(classes).astype(np.float32),
        prior=rng.dirichlet(np.ones(classes)).astype(np.float32),
        vocabulary=VOCABULARY,
        separator=SEPARATOR,
        power=power,
        model="0123456789abcdef" * 4,
    )
