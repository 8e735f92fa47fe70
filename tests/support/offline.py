"""The truth to hold the network against: the bundle's graphs, run directly, without a server.

No torch either: what the tiers answer over sockets must be what their own graphs answer here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.bundle.folders import TierBundle
from dimec.bundle.graphs import Graph, pad_batch, run_segments
from dimec.routing import CentroidRouter
from dimec.tiers.names import TIER_NAMES
from support.stored import stored_router
from support.tiny import reviews

FloatArray = npt.NDArray[np.float32]

# The same graph at another batch size sums in another order.
CLOSE = 1e-5
_BATCH = 256


class Offline:
    """Embeddings and every tier's probabilities of texts.

    Args:
        bundle: the exported bundle, with all three tiers.
    """

    def __init__(self, bundle: Path) -> None:
        from tokenizers import Tokenizer

        folders = {name: TierBundle.open(bundle / name, name) for name in TIER_NAMES}
        mobile = folders["mobile"]
        self.manifest = mobile.manifest
        self.labels = mobile.manifest.labels
        self.router = stored_router(mobile.path)
        priced = mobile.manifest.deployment.tiers
        self.prices = {tier.name: tier.price for tier in priced}
        self._tokenizer = Tokenizer.from_file(str(mobile.file("tokenizer.json")))
        self._embed, *self._segments = (Graph(mobile.file(name)) for name in mobile.manifest.graphs)
        self._servers = {
            name: Graph(folders[name].file("model.onnx")) for name in ("edge", "cloud")
        }
        self._mobiles: dict[str, tuple[FloatArray, FloatArray]] = {}

    def inputs(self, texts: Sequence[str]) -> dict[str, npt.NDArray[np.int64]]:
        """Model inputs (B, T) of a batch of texts."""
        rows: list[dict[str, npt.NDArray[np.int64]]] = []
        for encoding in self._tokenizer.encode_batch(list(texts)):
            columns = {
                "input_ids": encoding.ids,
                "attention_mask": encoding.attention_mask,
                "token_type_ids": encoding.type_ids,
            }
            rows.append({name: np.array(columns[name], np.int64) for name in self.manifest.inputs})
        return pad_batch(rows, self.manifest.padding)

    def replay(self, texts: Sequence[str]) -> Replay:
        """Everything that any tier could say about these texts.

        The mobile's share one by one, as the mobile runs it, so that embeddings and routes are the
        same to the last bit; the servers' in batches.
        """
        shares = [self._mobiles_share(text) for text in texts]
        embeddings = [embedding for embedding, _ in shares]
        answers: dict[str, list[FloatArray]] = {name: [] for name in TIER_NAMES}
        answers["mobile"] = [answer for _, answer in shares]
        for start in range(0, len(texts), _BATCH):
            batch: dict[str, Any] = self.inputs(texts[start : start + _BATCH])
            for name, graph in self._servers.items():
                answers[name].append(graph(**batch)[0])
        joined = {name: np.concatenate(parts) for name, parts in answers.items()}
        return Replay(np.concatenate(embeddings), joined)

    def _mobiles_share(self, text: str) -> tuple[FloatArray, FloatArray]:
        """Embedding (1, D) and answer (1, C); kept, since most tests ask about the same texts."""
        if text not in self._mobiles:
            one: dict[str, Any] = self.inputs([text])
            hidden, pooled = self._embed(**one)
            answer = run_segments(self._segments, hidden, one["attention_mask"])[-1]
            self._mobiles[text] = pooled, answer
        return self._mobiles[text]


class Replay:
    """What the tiers say about N texts.

    Attributes:
        embeddings: (N, D) pooled embeddings.
        answers: tier → (N, C) probabilities.
    """

    def __init__(self, embeddings: FloatArray, answers: dict[str, FloatArray]) -> None:
        self.embeddings = embeddings
        self.answers = answers

    def routes(self, router: CentroidRouter, *, adaptive: bool = False) -> list[str]:
        """The tier that the router, as fitted, sends each text to, in their order."""
        return [TIER_NAMES[tier] for tier in router.copy(adaptive).route(self.embeddings)]

    def disagreement(self, tier: str, row: int, probabilities: Sequence[float]) -> float:
        """How far probabilities are from what that tier itself says about that text."""
        return float(np.abs(self.answers[tier][row] - np.asarray(probabilities)).max())


def unseen_texts(number: int) -> list[str]:
    """So many different reviews that no run was trained on."""
    return [text for text, _ in reviews(number, seed=7)]
