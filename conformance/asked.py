"""What the conformance tests ask both servers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from dimec.bundle.folders import TierBundle
from dimec.bundle.graphs import pad_batch
from dimec.client.endpoint import Endpoint
from dimec.mobile.core import Core
from support.tiers import texts

TIERS = ("edge", "cloud")
BATCHES = (1, 2, 7, 40)
# The same onnxruntime runs the same graph; a batch may be run in parts of other sizes.
CLOSE = 1e-6


def endpoint(bundle: Path, tier: str, url: str, version: str | None = None) -> Endpoint:
    """Where a tier of the bundle is served."""
    manifest = TierBundle.open(bundle / tier, tier).manifest
    return Endpoint(
        tier, url, version or manifest.version, len(manifest.labels), timeout=20, retries=0
    )


def inputs(bundle: Path, batch: int) -> dict[str, npt.NDArray[np.int64]]:
    """The inputs (B, T) of some reviews."""
    core = Core(TierBundle.open(bundle / "mobile"))
    rows = [{k: v[0] for k, v in core.tokenise(text).items()} for text in texts(batch)]
    return pad_batch(rows, 0)
