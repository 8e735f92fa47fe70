"""The driver by hand: paths of single samples, what they take, and steps that lead nowhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from dimec.base.errors import ConfigError
from dimec.policies import Outcome
from dimec.policies.drive import drive, site_of, walked
from dimec.policies.step import (
    Answer,
    FixedSteps,
    Go,
    Learns,
    Signal,
    Site,
    Step,
    Visit,
    Walk,
)
from dimec.tiers.deployment import Deployment
from dimec.tiers.tier import Tier
from dimec.traces.joining import join
from dimec.traces.trace import Trace
from support.builders import make_trace

# λ_m = 1.5, λ_e = 1, o_e = 2.5, o_c = 3, γ = 6.
DEPLOYMENT = Deployment.paper((2, 4, 6))


class Scripted(FixedSteps):
    """The same steps for every sample; a sample of so many tokens may have its own."""

    def __init__(self, *steps: Step, **by_tokens: Sequence[Step]) -> None:
        self.steps = steps
        self.by_tokens = {int(name.strip("t")): own for name, own in by_tokens.items()}

    @property
    def reach(self) -> Sequence[Go]:
        every = (self.steps, *self.by_tokens.values())
        return [step for steps in every for step in steps if isinstance(step, Go)]

    def begin(self, signal: Signal) -> Step:
        return self.of(signal)[0]

    def after(self, walk: Walk) -> Step:
        return self.of(walk.signal)[len(walk.looks)]

    def of(self, signal: Signal) -> Sequence[Step]:
        return self.by_tokens.get(signal.tokens, self.steps)


class Noting(Scripted):
    """Writes down when it is asked to learn, and of what."""

    def __init__(self, learns: Learns, *steps: Step) -> None:
        super().__init__(*steps)
        self.learns = learns
        self.notes: list[str] = []

    def after(self, walk: Walk) -> Step:
        self.notes.append(f"after {walk.last.layer}, knowing {walk.note}")
        return super().after(walk)

    def learn(self, walk: Walk, first: Go) -> None:
        layers = [look.layer for look in walk.looks]
        self.notes.append(f"learn {first.note} with {layers}")


def trace_of(*tokens: int) -> Trace:
    """Exits at every layer, embeddings of 4 numbers, texts of these lengths."""
    return make_trace(
        len(tokens), exits=(1, 2, 3, 4, 5, 6), lengths=np.array(tokens, dtype=np.int64)
    )


def taken(outcome: Outcome) -> dict[str, list[list[float]]]:
    """Usage by name."""
    usage = outcome.usage
    return {
        "layers": usage.layers.tolist(),
        "sent": usage.sent.tolist(),
        "charges": usage.charges.tolist(),
        "bytes": usage.bytes.tolist(),
    }


def answered(outcome: Outcome) -> list[int]:
    """The layer whose exit answered each sample."""
    return [int(column) + 1 for column in outcome.answers.argmax(axis=1)]


def test_over_three_tiers_with_the_text() -> None:
    """Each tier runs its layers from the first, and is sent 5 tokens of 4 bytes.

    3 on the mobile, 2.5 + 3 at the edge, 3 + 6 in the cloud.
    """
    steps = Scripted(Go(0, 1), Go(0, 2), Go(1, 3), Go(2, 6), Answer())
    outcome = drive(steps, trace_of(5), DEPLOYMENT)
    assert taken(outcome) == {
        "layers": [[2, 3, 6]],
        "sent": [[0, 1, 1]],
        "charges": [[1, 0.75, 1]],
        "bytes": [[0, 20, 20]],
    }
    assert outcome.cost.tolist() == [17.5]
    assert outcome.tiers.tolist() == [[0, 0, 1]]
    assert answered(outcome) == [6]


def test_over_three_tiers_with_hidden_states() -> None:
    """Each tier runs what is left, and is sent 5 tokens of 4 numbers of 4 bytes.

    3 on the mobile, 2.5 + 2 at the edge, 3 + 6 in the cloud.
    """
    steps = Scripted(Go(0, 2), Go(1, 3, "hidden"), Go(1, 4), Go(2, 6, "hidden"), Answer())
    outcome = drive(steps, trace_of(5), DEPLOYMENT)
    assert taken(outcome) == {
        "layers": [[2, 2, 2]],
        "sent": [[0, 1, 1]],
        "charges": [[1, 1, 1]],
        "bytes": [[0, 80, 80]],
    }
    assert outcome.cost.tolist() == [16.5]


def test_with_the_text_and_then_hidden_states() -> None:
    """Straight to the edge; the cloud goes on from there."""
    steps = Scripted(Go(1, 3), Go(2, 5, "hidden"), Answer())
    outcome = drive(steps, trace_of(5), DEPLOYMENT)
    assert taken(outcome) == {
        "layers": [[0, 3, 2]],
        "sent": [[0, 1, 1]],
        "charges": [[0, 0.75, 5 / 6]],
        "bytes": [[0, 20, 80]],
    }
    assert answered(outcome) == [5]


def test_every_sample_has_its_own_path() -> None:
    """One stays, one goes to the cloud, one by way of the edge, one to the edge alone."""
    steps = Scripted(
        t3=(Go(0, 1), Answer()),
        t5=(Go(2, 6), Answer()),
        t7=(Go(0, 2), Go(1, 4, "hidden"), Go(2, 6), Answer()),
        t9=(Go(0, 1), Go(1, 4), Answer()),
    )
    outcome = drive(steps, trace_of(3, 5, 7, 9), DEPLOYMENT)
    assert taken(outcome)["layers"] == [[1, 0, 0], [0, 0, 6], [2, 2, 6], [1, 4, 0]]
    assert taken(outcome)["bytes"] == [[0, 0, 0], [0, 0, 20], [0, 112, 28], [0, 36, 0]]
    assert outcome.tiers.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 1, 0]]
    assert answered(outcome) == [1, 6, 6, 4]


def test_an_earlier_exit_may_answer() -> None:
    """What came after it is paid for all the same, and the last tier counts as the answer's."""
    outcome = drive(Scripted(Go(0, 2), Go(2, 6), Answer(0)), trace_of(5), DEPLOYMENT)
    assert answered(outcome) == [2]
    assert outcome.tiers.tolist() == [[0, 0, 1]]
    assert outcome.cost.tolist() == [3 + 9]


def test_the_way_of_one_sample() -> None:
    trace = trace_of(5, 8)
    steps = Scripted(Go(0, 1), Go(0, 2), Go(1, 4, "hidden"), Go(2, 6), Answer(-2))
    walk, look = walked(steps, trace, DEPLOYMENT, 1)
    assert walk.signal.tokens == 8
    np.testing.assert_array_equal(walk.signal.embedding, trace.embeddings[1])
    assert walk.visits == [Visit(0, 0, 2), Visit(1, 2, 4, "hidden"), Visit(2, 0, 6, "text")]
    assert [(one.tier, one.layer) for one in walk.looks] == [(0, 1), (0, 2), (1, 4), (2, 6)]
    assert walk.looks[look].layer == 4
    for one in walk.looks:
        np.testing.assert_array_equal(one.probabilities, trace.probabilities[1, one.layer - 1])
        assert one.confidence == trace.confidences[1, one.layer - 1]
        assert one.prediction == trace.predictions[1, one.layer - 1]


def test_of_equal_probabilities_the_lower_class_is_the_prediction() -> None:
    trace = make_trace(1, probabilities=np.full((1, 3, 2), 0.5, np.float32))
    walk, _ = walked(Scripted(Go(0, 2), Answer()), trace, DEPLOYMENT, 0)
    assert walk.last.prediction == 0


def test_when_it_learns() -> None:
    """At once, before anything has run; or from all that was seen. A note stays the first one."""
    path = Go(0, 1, note="a"), Go(0, 2, note="b"), Answer()
    known = ["after 1, knowing a", "after 2, knowing a"]
    for learns, expected in (
        ("never", known),
        ("deciding", ["learn a with []", *known]),
        ("answered", [*known, "learn a with [1, 2]"]),
    ):
        steps = Noting(learns, *path)  # type: ignore[arg-type]
        drive(steps, trace_of(5, 5), DEPLOYMENT)
        assert steps.notes == expected * 2


def test_no_samples() -> None:
    outcome = drive(Scripted(Go(0, 2), Answer()), trace_of(), DEPLOYMENT)
    assert outcome.answers.shape == (0, 6)
    assert outcome.tiers.shape == (0, 3)
    assert outcome.cost.tolist() == []


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((Answer(),), "cannot answer before any exit was seen"),
        ((Go(3, 6),), "tiers 0 to 2, got 3"),
        ((Go(-1, 6),), "tiers 0 to 2, got -1"),
        ((Go(0, 7),), r"no exit at layer 7.*\[1, 2, 3, 4, 5, 6\]"),
        ((Go(1, 4, "hidden"),), "no layer has run"),
        ((Go(1, 4), Go(0, 6)), "leads on, .* from edge, layer 4, to mobile, layer 6"),
        ((Go(0, 2), Go(0, 2)), "leads on, .* from mobile, layer 2, to mobile, layer 2"),
        ((Go(0, 2), Go(0, 1)), "from mobile, layer 2, to mobile, layer 1"),
    ],
)
def test_steps_that_lead_back_or_nowhere_are_refused(steps: tuple[Step, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        drive(Scripted(*steps), trace_of(5), DEPLOYMENT)


# --- Two models ----------------------------------------------------------------------------------

TWO = Deployment(
    (
        Tier("phone", 2, 1.5, source="small"),
        Tier("dc", 8, send_price=3, visit_price=6, source="big"),
    )
)


def two_models() -> Trace:
    """One with exits at 2, 4 and 6, another at 1 and 8."""
    small = make_trace(2, lengths=np.array([5, 7]))
    big = make_trace(2, exits=(1, 8), tiers=(8,), seed=3, labels=small.labels)
    return join({"small": small, "big": big})


def test_a_text_goes_from_one_model_to_another() -> None:
    trace = two_models()
    walk, _ = walked(Scripted(Go(0, 2), Go(1, 1), Go(1, 8), Answer()), trace, TWO, 1)
    assert walk.visits == [Visit(0, 0, 2), Visit(1, 0, 8, "text")]
    for look, column in zip(walk.looks, (0, 3, 4), strict=True):
        np.testing.assert_array_equal(look.probabilities, trace.probabilities[1, column])


def test_hidden_states_do_not() -> None:
    with pytest.raises(ConfigError, match="no use to a tier with a model of its own"):
        drive(Scripted(Go(0, 2), Go(1, 8, "hidden"), Answer()), two_models(), TWO)


def test_a_tier_has_the_exits_of_its_model() -> None:
    site = site_of(two_models(), TWO)
    assert site.exits_of(0) == (2, 4, 6)
    assert site.exits_of(1) == (1, 8)
    assert Site(DEPLOYMENT, (2, 4, 6)).exits_of(1) == (2, 4, 6)


def test_a_trace_without_a_tiers_exit_is_no_site() -> None:
    with pytest.raises(ConfigError, match="no exit at layer 3"):
        site_of(make_trace(2), Deployment.paper((2, 3, 6)))
