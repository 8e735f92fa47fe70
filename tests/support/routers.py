"""Streams of embeddings for a router, and what a router remembers."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from dimec.routing import CentroidRouter
from support.builders import Floats, Ints


def state(router: CentroidRouter) -> tuple[bytes, bytes]:
    """What a router remembers, bit for bit."""
    return router.sums.tobytes(), router.counts.tobytes()


@st.composite
def streams(draw: st.DrawFn) -> tuple[Floats, Ints, Floats]:
    """(embeddings (N, D), pools (N,), stream (M, D)); one sample or one pool are among them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    n, m, d = draw(st.integers(1, 12)), draw(st.integers(0, 30)), draw(st.integers(1, 5))
    present = draw(st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True))
    pools = rng.choice(present, n).astype(np.int64)
    # Centres of their own, so that pools differ and all get traffic.
    centres = rng.standard_normal((3, d))
    x = centres[pools] + rng.standard_normal((n, d))
    return x, pools, centres[rng.integers(0, 3, m)] + rng.standard_normal((m, d))
