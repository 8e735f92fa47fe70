"""A window of texts walked to their answers, the policy's steps being taken for all at once.

Text by text it is what :func:`dimec.policies.drive.walked` does with a trace. Here the layers run
for all texts that stand before them and are to go on, batched by length; a text that has its answer
takes none of the deeper ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import Float32Array, IntArray
from dimec.base.errors import ConfigError
from dimec.bundle.exit0 import Exit0
from dimec.policies.step import Answer, Go, Look, Signal, Steps, Walk
from dimec.scoring.part import Part, States, Text, Tokens
from dimec.tiers.deployment import Deployment

Exit = tuple[int, int]  # position of the part, and layer


class Window:
    """N texts on their way.

    Args:
        texts: for parts that tokenise for themselves.
        tokens: of the first part.
        parts: the models, the first tier's first.
        exit0: where the first has one.
        steps: of the policy, which learn nothing.
        deployment: its tiers.

    Attributes:
        walks: of each text.
        looks: the look that answers each.
    """

    def __init__(
        self,
        texts: Sequence[Text],
        tokens: Tokens,
        parts: Sequence[Part],
        exit0: Exit0 | None,
        steps: Steps,
        deployment: Deployment,
    ) -> None:
        self._texts, self._parts, self._exit0 = texts, parts, exit0
        self._steps, self._deployment = steps, deployment
        size = len(texts)
        sources = [part.record.source for part in parts]
        self._part_of = [sources.index(tier.source) for tier in deployment.tiers]
        self._tokens: dict[int, Tokens] = {0: tokens}
        self._states = [States(size) for _ in parts]
        # The layer up to which each part has run each text; -1 before its embeddings.
        self._at = np.full((len(parts), size), -1, np.int64)
        self._said: dict[Exit, dict[int, Float32Array]] = {}
        self._wants: dict[int, Exit] = {}
        self.walks: list[Walk] = []
        self.looks: list[Look | None] = [None] * size

    def run(self) -> None:
        """Walk all of them to the end."""
        self._begin()
        while self._wants:
            exit_, rows = self._next()
            answers = self._answers(exit_, rows)
            self._said.setdefault(exit_, {}).update(zip(rows.tolist(), answers, strict=True))
            for row in [row for row in rows.tolist() if self._wants.get(row) == exit_]:
                self._lead(row)

    def _begin(self) -> None:
        tokens, rows = self._tokens[0], np.arange(len(self._texts))
        pooled = self._parts[0].embed(tokens, rows, self._states[0])
        assert pooled is not None  # the first part is never whole: the policy decides by it
        self._at[0] = 0
        for row, length in enumerate(tokens.lengths.tolist()):
            walk = Walk(Signal(pooled[row], length))
            self.walks.append(walk)
            step = self._steps.begin(walk.signal)
            if isinstance(step, Answer):
                raise ConfigError("a policy cannot answer before any exit was seen")
            self._go(row, step)

    def _go(self, row: int, step: Go) -> None:
        self.walks[row].go(step, self._deployment)
        self._wants[row] = (self._part_of[step.tier], step.layer)

    def _lead(self, row: int) -> None:
        """Lead a text on, as far as the exits that have spoken of it lead."""
        walk = self.walks[row]
        while (said := self._said.get(self._wants[row], {}).get(row)) is not None:
            walk.see(said)
            step = self._steps.after(walk)
            if isinstance(step, Answer):
                self.looks[row] = walk.answer(step)
                self._end(row)
                return
            self._go(row, step)

    def _end(self, row: int) -> None:
        del self._wants[row]
        for states in self._states:
            states.drop(row)
        for said in self._said.values():
            said.pop(row, None)

    def _next(self) -> tuple[Exit, IntArray]:
        """The shallowest exit that texts go to next, of the first model; and these texts."""
        part = min(exit_[0] for exit_ in self._wants.values())
        here = sorted(row for row, exit_ in self._wants.items() if exit_[0] == part)
        rows = np.array(here, np.int64)
        free = np.array([self._wants[row][1] == 0 for row in rows.tolist()])
        if free.any():
            return (part, 0), rows[free]
        stops = np.array(self._parts[part].stops)
        at = np.maximum(self._at[part, rows], 0)
        following = stops[np.searchsorted(stops, at, side="right")]
        stop = int(following.min())
        return (part, stop), rows[following == stop]

    def _answers(self, exit_: Exit, rows: IntArray) -> Sequence[Float32Array] | Float32Array:
        number, layer = exit_
        tokens = self._tokens_of(number)
        if layer == 0:
            if self._exit0 is None or number:
                raise ConfigError("the policy looks at exit 0, and the run has none")
            signals: Any = [self.walks[row].signal.embedding for row in rows.tolist()]
            pairs = zip(rows.tolist(), signals, strict=True)
            return [self._exit0.one(_whole(tokens.ids[row]), pooled) for row, pooled in pairs]
        part, states = self._parts[number], self._states[number]
        new = rows[self._at[number, rows] < 0]
        if len(new):
            part.embed(tokens, new, states)
        self._at[number, rows] = layer
        return part.run(layer, tokens, rows, states)

    def _tokens_of(self, number: int) -> Tokens:
        """The texts as a part has them; each tokenises the window once, when it is first asked."""
        if number not in self._tokens:
            first, part = self._parts[0], self._parts[number]
            same = part.words == first.words
            self._tokens[number] = self._tokens[0] if same else part.tokenise(self._texts)
        return self._tokens[number]


def _whole(ids: npt.NDArray[np.int32]) -> IntArray:
    return ids.astype(np.int64)
