"""What the steps of the bandit systems share: what they have learnt, as arrays, and the arm played.

The mathematics is that of :mod:`dimec.policies.literature.bandits`, whose vectorised replays have
to agree with these steps to the last bit.

A bandit learns from what was seen of an input once it is answered. Where several inputs are on
their way at once, the arm of each is chosen by what is known when it begins, and noted with it:
by the time that it is answered the index may have moved on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dimec.base.errors import ConfigError, DataError
from dimec.policies.base import require_one_model
from dimec.policies.literature.bandits import best_arm
from dimec.policies.step import Learns, Site, State

_MOST = 2**53  # beyond it a float no longer counts in steps of one


class Tally:
    """Sums and numbers of rewards, and how many samples were learnt from.

    Args:
        shape: of the table of arms, or of contexts.

    Attributes:
        totals: float64 of that shape, the rewards summed up.
        counts: int64 of that shape, how many they were.
        seen: samples learnt from, t.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.totals = np.zeros(shape, np.float64)
        self.counts = np.zeros(shape, np.int64)
        self.seen = 0

    def add(self, place: int | tuple[int, ...], reward: float) -> None:
        """Count a reward."""
        self.totals[place] += reward
        self.counts[place] += 1

    def state(self) -> State:
        """``totals``, ``counts``, and ``seen`` () int64; copies."""
        seen = np.array(self.seen, np.int64)
        return {"totals": self.totals.copy(), "counts": self.counts.copy(), "seen": seen}

    def restore(self, state: State) -> None:
        """Take up what another tally of this shape held.

        Raises:
            DataError: other arrays, shapes or types, or numbers that no tally has.
        """
        own = {name: (array.shape, array.dtype) for name, array in self.state().items()}
        found = {name: (array.shape, array.dtype) for name, array in state.items()}
        if own != found:
            raise DataError(
                f"expected what a bandit has learnt, {_listed(own)}; got {_listed(found)}"
            )
        totals, counts, seen = state["totals"], state["counts"], state["seen"]
        if not np.isfinite(totals).all():
            raise DataError("expected totals that are finite numbers, got others")
        for name, numbers in (("counts", counts), ("seen", seen)):
            if (numbers < 0).any() or (numbers > _MOST).any():
                raise DataError(f"expected {name} from 0 to 2^53, got others")
        self.totals, self.counts, self.seen = totals.copy(), counts.copy(), int(seen)


def _listed(arrays: dict[str, tuple[tuple[int, ...], np.dtype[np.generic]]]) -> str:
    """Names, types and shapes, for a message."""
    parts = [f"{name} {dtype}{list(shape)}" for name, (shape, dtype) in sorted(arrays.items())]
    return ", ".join(parts) or "nothing"


class BanditSteps:
    """Steps that learn once an input is answered, and hold it in a tally.

    Args:
        shape: of the tally.
    """

    learns: Learns = "answered"

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.tally = Tally(shape)

    def state(self) -> State:
        """What the tally holds."""
        return self.tally.state()

    def restore(self, state: State) -> None:
        """Take up what another tally held; errors: as :meth:`Tally.restore`."""
        self.tally.restore(state)


class ArmSteps(BanditSteps):
    """Steps of a bandit that plays one of K arms for each sample, by UCB.

    Args:
        arms: K.
        c, opening, offsets: see :func:`dimec.policies.literature.bandits.ucb_choices`.
    """

    def __init__(
        self,
        arms: int,
        c: float,
        *,
        opening: Sequence[int] | None = None,
        offsets: Sequence[float] | None = None,
    ) -> None:
        super().__init__((arms,))
        self._c = c
        self._opening = list(range(arms) if opening is None else opening)
        self._offsets = [0.0] * arms if offsets is None else list(offsets)

    def arm(self) -> int:
        """The arm to play now.

        Where inputs overlap, an opening may end before each arm has had its reward; the first that
        has none goes before any index then.
        """
        seen, counts = self.tally.seen, self.tally.counts.tolist()
        if seen < len(self._opening):
            return self._opening[seen]
        if 0 in counts:
            return int(counts.index(0))
        totals = self.tally.totals.tolist()
        pairs = zip(totals, counts, self._offsets, strict=True)
        values = [total / count + known for total, count, known in pairs]
        return best_arm(values, counts, self._c, seen)


def arm_layers(site: Site) -> list[int]:
    """The exits, ascending, of the one deployed model, whose last layer has the last of them.

    Raises:
        ConfigError: tiers with models of their own, or no exit at the last layer.
    """
    deployment = site.deployment
    require_one_model(deployment, "a bandit over the exits of a model")
    layers = [layer for layer in site.exits_of(0) if layer <= deployment.layers]
    if deployment.layers not in layers:
        raise ConfigError(
            f"a bandit over exits needs one at layer {deployment.layers}, the last; this model "
            f"has them at {layers}"
        )
    return layers
