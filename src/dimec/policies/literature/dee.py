"""DEE, dynamic early exit: at each exit, seeing how confident it is, exit or go on.

Source: W. Ju, W. Bao, L. Ge and D. Yuan, "Dynamic early exit scheduling for deep neural network
inference through contextual bandits", ACM CIKM 2021, pages 823-832, doi 10.1145/3459637.3482335.

The contextual form of LEE (:mod:`dimec.policies.literature.lee`), with its reward: a sample that is
answered at the exit i earns r_i = C_i - w·μ·cost(i), cost(i) = λ_m·i. The context is what the
sample has shown at the exit that it has reached, known before any deeper layer runs; the decision
there is to exit or to go on. Exiting earns r_i, which is known. What going on earns is known only
at the exit where the sample ends, the deeper decisions included; it is learnt for each exit and
context. The confidence is cut into ``bins`` equal parts of [0, 1], and the sample goes on at the
exit i in the part b if nobody went on from there before, or if

    mean of what those earned who went on from (i, b) + c·sqrt(ln(t + 1) / N(i, b)) > r_i,

with t samples seen before this one and N(i, b) that went on from there. The optimism is what pays
for exploring the deep exits, which are reached less often. At the last exit every sample ends;
then all contexts that it went on from learn what it earned.

The decisions (per exit, on the confidence observed; rewards that come later) are those of the
paper's abstract; it is not openly available, so bins and index are the textbook's: UCB on a uniform
partition of the context, 10 parts. μ is the ledger's λ when fitted. w, the user's trade, and c are
chosen on the validation split: there are so many contexts to explore that at c = 1 a stream of
some thousand samples ends before most of them are decided.

Cost of a sample: λ_m·layer of the exit; everything runs on the mobile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray, IntArray
from dimec.base.errors import ConfigError
from dimec.policies.base import Outcome, first_tier_outcome
from dimec.policies.kinds import FromSettings, register_kind
from dimec.policies.literature.bandit_steps import BanditSteps, arm_layers
from dimec.policies.literature.bandits import (
    arm_columns,
    check_weight,
    layer_costs,
    priced_system,
)
from dimec.policies.literature.lee import exit_rewards
from dimec.policies.registry import WEIGHTS, register
from dimec.policies.step import Answer, Go, Look, Signal, Site, Step, Steps, Walk
from dimec.tiers.costs import check_lambda
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace

EXPLORATIONS = (1.0, 0.5, 0.2, 0.1)


class DEEPolicy(FromSettings):
    """A contextual bandit at each exit: stop, or go on.

    Args:
        weight: w, of latency, as a multiple of μ.
        mu: μ, the weight of one λ of cost against confidence.
        c: weight of the exploration term.
        bins: parts into which the confidence is cut.

    Raises:
        ConfigError: a negative weight, μ or c, or fewer than 1 bin.
    """

    name = "dee"
    sees_labels = False
    learns_online = True
    replay_only = ""
    kind = "dee"
    stored = ("weight", "mu", "c", "bins")

    def __init__(
        self, weight: float = 1.0, mu: float = 0.02, c: float = 1.0, bins: int = 10
    ) -> None:
        self.weight = check_weight("the weight of latency", weight)
        self.mu = check_lambda(mu, "mu")
        self.c = check_weight("c, the weight of exploration,", c)
        if not isinstance(bins, int) or bins < 1:
            raise ConfigError(f"the confidence must be cut into at least 1 bin, got {bins!r}")
        self.bins = bins

    def steps(self, site: Site) -> Steps:
        """From exit to exit on the mobile until the bandit stops."""
        return StoppingSteps(site, self.weight * self.mu, self.bins, self.c)

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """Go from exit to exit on the mobile until the bandit stops."""
        columns = arm_columns(trace, deployment)
        rewards = exit_rewards(trace, deployment, columns, self.weight * self.mu)
        contexts = confidence_bins(trace.confidences[:, columns], self.bins)
        stops = stopping_exits(rewards, contexts, self.bins, self.c)
        return first_tier_outcome(trace, deployment, columns[stops])


def confidence_bins(confidences: npt.NDArray[np.floating], bins: int) -> IntArray:
    """Which of ``bins`` equal parts of [0, 1] each confidence lies in; 1 lies in the last."""
    parts = np.floor(np.asarray(confidences, np.float64) * bins).astype(np.int64)
    return np.clip(parts, 0, bins - 1)


def stops_here(reward: float, total: float, count: int, c: float, log: float) -> bool:
    """Whether what is earned here is at least what going on promises; never where count is 0."""
    return bool(count) and reward >= total / count + c * math.sqrt(log / count)


def stopping_exits(rewards: FloatArray, contexts: IntArray, bins: int, c: float) -> IntArray:
    """(N,) the exits at which the samples end, in order of arrival.

    Args:
        rewards: (N, K) of ending at each exit.
        contexts: (N, K) 0 … bins - 1, seen at each exit.
        bins: number of contexts.
        c: weight of the exploration term.
    """
    last = rewards.shape[1] - 1
    totals = [[0.0] * bins for _ in range(last)]
    counts = [[0] * bins for _ in range(last)]
    stops: list[int] = []
    rows = zip(rewards.tolist(), contexts.tolist(), strict=True)
    for t, (reward, context) in enumerate(rows):
        log = math.log(t + 1)
        stop = last
        for i in range(last):
            count = counts[i][context[i]]
            if stops_here(reward[i], totals[i][context[i]], count, c, log):
                stop = i
                break
        stops.append(stop)
        for i in range(stop):
            totals[i][context[i]] += reward[stop]
            counts[i][context[i]] += 1
    return np.array(stops, np.int64)


class StoppingSteps(BanditSteps):
    """The steps of :class:`DEEPolicy`; a row of the tally for each exit but the last.

    Args:
        site: whose K exits are asked.
        price: of one λ, in units of confidence.
        bins: number of contexts.
        c: weight of the exploration term.
    """

    def __init__(self, site: Site, price: float, bins: int, c: float) -> None:
        self._layers = arm_layers(site)
        super().__init__((len(self._layers) - 1, bins))
        self._costs = (price * layer_costs(site.deployment, self._layers)).tolist()
        self._bins, self._c = bins, c

    @property
    def reach(self) -> Sequence[Go]:
        """Every exit."""
        return [Go(0, layer) for layer in self._layers]

    def begin(self, signal: Signal) -> Go:
        """To the first exit."""
        return Go(0, self._layers[0])

    def after(self, walk: Walk) -> Step:
        """To the next exit, unless there is none or going on promises no more."""
        seen = len(walk.looks)
        return Answer() if self._stops(walk.last, seen - 1) else Go(0, self._layers[seen])

    def _stops(self, look: Look, exit_: int) -> bool:
        if exit_ == len(self._layers) - 1:
            return True
        place = exit_, self._context(look)
        total, count = float(self.tally.totals[place]), int(self.tally.counts[place])
        log = math.log(self.tally.seen + 1)
        return stops_here(look.confidence - self._costs[exit_], total, count, self._c, log)

    def learn(self, walk: Walk, first: Go) -> None:
        """What was earned at the last exit, to every context that went on."""
        last = len(walk.looks) - 1
        reward = walk.last.confidence - self._costs[last]
        for exit_, look in enumerate(walk.looks[:last]):
            self.tally.add((exit_, self._context(look)), reward)
        self.tally.seen += 1

    def _context(self, look: Look) -> int:
        return int(confidence_bins(np.array(look.confidence), self._bins))


register_kind(DEEPolicy.kind, DEEPolicy.made_of)
register(
    priced_system(
        "dee",
        "Ju, Bao, Ge and Yuan, ACM CIKM 2021, doi 10.1145/3459637.3482335",
        DEEPolicy,
        {"weight": WEIGHTS, "c": EXPLORATIONS},
    ),
    title="DEE",
)
