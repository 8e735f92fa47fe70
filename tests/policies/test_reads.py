"""What a system says that it reads of a trace is all that its way depends on."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from dimec.base.errors import ConfigError
from dimec.policies import FitInputs, systems
from dimec.policies.registry import lacks
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from support.builders import make_trace

DEPLOYMENT = Deployment.paper((2, 4, 6))
BLIND = [
    name
    for name, one in systems().items()
    if not (one.needs or one.reads & {"answers", "confidences"})
]
ANSWERS = [
    name
    for name, one in systems().items()
    if not one.needs and "answers" in one.reads and "confidences" not in one.reads
]


def layers_of(name: str, trace: Trace) -> np.ndarray:
    inputs = FitInputs(make_trace(60, seed=1), DEPLOYMENT, 0.02)
    return systems()[name].fit(inputs).policy.replay(trace, DEPLOYMENT).usage.layers


@pytest.mark.parametrize("name", BLIND)
def test_who_reads_no_answers_goes_the_same_way_whatever_exits_say(name: str) -> None:
    trace = make_trace(40, seed=2)
    other = replace(trace, probabilities=trace.probabilities[::-1, :, ::-1].copy())
    np.testing.assert_array_equal(layers_of(name, trace), layers_of(name, other))


@pytest.mark.parametrize("name", ANSWERS)
def test_who_reads_answers_alone_goes_the_same_way_however_sure_they_are(name: str) -> None:
    trace = make_trace(40, seed=2)
    certain = (trace.probabilities == trace.confidences[..., None]).astype(np.float32)
    same = layers_of(name, replace(trace, probabilities=certain, answers_only=True))
    np.testing.assert_array_equal(layers_of(name, trace), same)


def test_what_a_trace_lacks_is_refused_where_it_is_read() -> None:
    trace = make_trace(30)
    assert lacks(trace) == {}
    bare = replace(
        trace,
        embeddings=np.zeros((30, 0), np.float32),
        lengths=np.zeros(30, np.int64),
        answers_only=True,
        outcomes_only=True,
    )
    assert set(lacks(bare)) == {"answers", "confidences", "embeddings", "lengths"}
    for name, one in systems().items():
        if one.reads:
            with pytest.raises(
                ConfigError, match=rf"^{re.escape(name)} looks at .* only the tiers"
            ):
                one.check_reads(bare)
        else:
            one.check_reads(bare)
    assert "neurosurgeon-latency" in BLIND
    assert {"pabee", "class-gate"} == set(ANSWERS)
    with pytest.raises(ConfigError, match="looks at lengths, and these traces hold none"):
        systems()["neurosurgeon-latency"].check_reads(replace(trace, lengths=bare.lengths))
