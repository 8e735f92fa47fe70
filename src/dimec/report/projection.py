"""Embeddings in the plane, by t-SNE, the same every time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dimec.report.style import require

MAX_POINTS = 3000
MIN_POINTS = 10


def sample_rows(count: int, seed: int, limit: int = MAX_POINTS) -> NDArray[np.int64]:
    """At most ``limit`` row numbers out of ``count``, drawn with ``seed``, in rising order."""
    if count <= limit:
        return np.arange(count, dtype=np.int64)
    drawn = np.random.default_rng(seed).choice(count, size=limit, replace=False)
    return np.sort(drawn).astype(np.int64)


def project(embeddings: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    """t-SNE (van der Maaten and Hinton, 2008) of embeddings (N, D) to the plane (N, 2).

    The start is the first two principal components; one thread and exact neighbours keep the
    result the same from run to run.

    Raises:
        MissingExtraError: openTSNE is not installed.
    """
    tsne = require("openTSNE", "the t-SNE figure of the report")
    values = np.asarray(embeddings, dtype=np.float64)
    model = tsne.TSNE(
        perplexity=min(30.0, (len(values) - 1) / 3.5),
        initialization=_principal_plane(values, seed),
        neighbors="exact",
        negative_gradient_method="bh",
        n_jobs=1,
        random_state=seed,
        verbose=False,
    )
    return np.array(model.fit(values), dtype=np.float64)


def _principal_plane(values: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """The first two principal components, (N, 2), scaled to a standard deviation of 1e-4."""
    centred = values - values.mean(axis=0)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    plane = np.zeros((len(values), 2))
    plane[:, : min(2, len(scale))] = (left * scale)[:, :2]
    # A singular vector's sign is arbitrary; the largest entry is made positive.
    peaks = plane[np.argmax(np.abs(plane), axis=0), [0, 1]]
    plane *= np.where(peaks < 0, -1.0, 1.0)
    # Points that coincide cannot be pushed apart: a seeded trace of noise separates them.
    noise = np.random.default_rng(seed).normal(size=plane.shape)
    spread = plane[:, 0].std()
    unit = plane / spread if spread > 0 else noise
    return np.asarray(1e-4 * (unit + 1e-3 * noise))
