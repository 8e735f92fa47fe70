"""What a policy is, and what its replay leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray, IntArray
from dimec.base.errors import DataError
from dimec.tiers.costs import CLOUD, MOBILE, TIER_NAMES
from dimec.tiers.usage import Deployment, Usage, hidden_bytes, tier_usage
from dimec.traces.trace import Trace


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a policy did with the N samples of a trace.

    A policy that draws lots is stored as its probabilities, so that the ledger can give expected
    values in place of one draw; a deterministic one has zeros and ones.

    Attributes:
        answers: (N, X) probability that the exit x gave the answer to sample i; rows sum to 1.
        tiers: (N, 3) probability that mobile, edge or cloud gave it; rows sum to 1.
        usage: what the answers took; :meth:`Deployment.price` makes costs of it.
    """

    answers: FloatArray
    tiers: FloatArray
    usage: Usage


@runtime_checkable
class Policy(Protocol):
    """Replays a trace.

    Attributes:
        name: of its row in the ledger.
        sees_labels: whether it looks at the trace's labels; true for references only.
        learns_online: whether what it does with a sample depends on those that came before.
    """

    @property
    def name(self) -> str: ...

    @property
    def sees_labels(self) -> bool: ...

    @property
    def learns_online(self) -> bool: ...

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """Decide on every sample in order of arrival; must change neither the trace nor itself."""
        ...


def tier_outcome(
    trace: Trace, deployment: Deployment, weights: npt.NDArray[np.floating]
) -> Outcome:
    """The outcome of sending sample i to tier k with probability ``weights[i, k]``.

    The answer is the tier's exit's, and it costs the tier's price: nothing ran before it.

    Args:
        trace: of N samples.
        deployment: where the tiers' exits stand.
        weights: (N, 3), rows summing to 1.
    """
    w = np.asarray(weights, np.float64)
    if w.shape != (len(trace), len(TIER_NAMES)):
        raise DataError(f"weights must have the shape ({len(trace)}, 3), got {w.shape}")
    answers = np.zeros((len(trace), len(trace.exits)))
    for k, column in enumerate(trace.columns(deployment.exits)):
        answers[:, column] += w[:, k]  # two tiers may share an exit
    return Outcome(answers, w, tier_usage(deployment, trace.lengths, w))


def exit_outcome(
    trace: Trace, columns: npt.NDArray[np.integer], tier: int | IntArray, usage: Usage
) -> Outcome:
    """The outcome of a policy that draws no lots.

    Args:
        trace: of N samples.
        columns: (N,) which of the trace's exits gave each answer, as positions, not layers.
        tier: where each answer was given, one for all or (N,).
        usage: what the answers took.
    """
    where = np.broadcast_to(np.asarray(tier), (len(trace),))
    return Outcome(one_hot(columns, len(trace.exits)), one_hot(where, len(TIER_NAMES)), usage)


def mobile_exit_outcome(trace: Trace, columns: npt.NDArray[np.integer]) -> Outcome:
    """The outcome of early exit on the mobile alone: λ_m for each layer up to the exit taken."""
    layers = np.asarray(trace.exits)[columns]
    return exit_outcome(trace, columns, MOBILE, Usage.of(len(trace), mobile_layers=layers))


def split_outcome(
    trace: Trace,
    deployment: Deployment,
    columns: npt.NDArray[np.integer],
    offloaded: npt.NDArray[np.bool_],
    width: int | None = None,
) -> Outcome:
    """The outcome of split computing with early exit: answer at the split, or offload.

    Every sample runs on the mobile up to its split, λ_m a layer. One that exits there is answered
    there. One that is offloaded pays o_c + γ beside: its hidden states travel, and the cloud runs
    the layers that are left and answers at the last exit. γ is due in full, the constant that the
    paper has the cloud charge for a sample.

    Args:
        trace: of N samples.
        deployment: where the last layer stands.
        columns: (N,) positions of the split's exit among the trace's exits.
        offloaded: (N,) whether the sample goes on to the cloud.
        width: numbers in a token's hidden state; that of the trace's embeddings by default.
    """
    layers = np.asarray(trace.exits)[columns].astype(np.float64)
    away = np.asarray(offloaded, bool)
    last = trace.columns((deployment.layers,))[0]
    payload = hidden_payload(trace, width)
    usage = Usage.of(
        len(trace),
        mobile_layers=layers,
        cloud_layers=np.where(away, deployment.layers - layers, 0.0),
        cloud_offloads=away,
        cloud_charges=away,
        cloud_bytes=np.where(away, payload, 0.0),
    )
    return exit_outcome(trace, np.where(away, last, columns), np.where(away, CLOUD, MOBILE), usage)


def hidden_payload(trace: Trace, width: int | None = None) -> FloatArray:
    """(N,) bytes of each sample's hidden states; the trace's embeddings tell their width."""
    return hidden_bytes(trace.lengths, trace.embeddings.shape[1] if width is None else width)


def one_hot(chosen: npt.NDArray[np.integer] | Sequence[int], size: int) -> FloatArray:
    """(N, size) zeros with a one at each of the N positions."""
    table = np.zeros((len(chosen), size))
    table[np.arange(len(chosen)), np.asarray(chosen, np.int64)] = 1.0
    return table
