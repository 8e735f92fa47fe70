"""A bundle's mobile, held against the golden vectors that were written with the bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dimec.bundle.golden import Golden, GoldenInput, Way
from dimec.mobile import Mobile, Prediction
from dimec.mobile.core import Text
from support.tiers import Tier

TOLERANCE = 1e-4  # what docs/serving.md says of fp32


def open_mobile(bundle: Path, golden: Golden, *, adaptive: bool) -> Mobile:
    """The bundle's mobile, which keeps no state; its tiers are in memory."""
    others = golden.tiers[1:]
    return Mobile.open(
        bundle,
        tiers={name: f"http://{name}.test" for name in others},
        transports={name: Tier(bundle, name).transport() for name in others},
        timeout=20.0,
        state=":memory:",
        adaptive=adaptive,
    )


def text_of(one: GoldenInput) -> Text:
    """The input as a mobile takes it."""
    return one.text if one.pair is None else (one.text, one.pair)


def check_values(mobile: Mobile, golden: Golden) -> None:
    """Token ids, embeddings, and what the device's exits say."""
    core, device = mobile.engine.core, golden.tiers[0]
    for one in golden.inputs:
        inputs = core.tokenise(text_of(one))
        assert inputs["input_ids"].tolist() == [list(one.input_ids)], one.of
        types = inputs.get("token_type_ids")
        assert (types is None) == (one.token_type_ids is None)
        if types is not None and one.token_type_ids is not None:
            assert types.tolist() == [list(one.token_type_ids)], one.of
        embedded = core.embed(inputs)
        ours = {each.layer: each.probabilities for each in one.exits if each.tier == device}
        assert list(ours) == [*([0] if core.exit0 is not None else []), *core.exits]
        said = [core.run(embedded, layer) for layer in ours]
        if golden.precisions[device] == "fp32":
            np.testing.assert_allclose(embedded.pooled, one.embedding, atol=TOLERANCE)
            np.testing.assert_allclose(said, list(ours.values()), atol=TOLERANCE)


def check_ways(mobile: Mobile, golden: Golden, ways: Sequence[Way]) -> None:
    """First step, path, label, probabilities and cost of each input, in their order."""
    for one, way in zip(golden.inputs, ways, strict=True):
        choice = mobile.decide(text_of(one))
        answer = mobile.predict(text_of(one))
        if way.clear:
            check_way(answer, one, way, golden)
            scores = [way.first.scores[k] for k in range(len(way.first.scores))]
            np.testing.assert_allclose(
                np.array([*choice.scores.values()], float),
                np.array(scores, float),
                atol=1e-3,
                err_msg=one.of,
            )


def check_way(answer: Prediction, one: GoldenInput, way: Way, golden: Golden) -> None:
    """An answer says what its way says."""
    assert answer.fallback_reason is None
    assert answer.route == way.first.tier, one.of
    path = [(each.tier, each.start, each.stop, each.payload) for each in answer.path]
    assert path == [(each.tier, each.start, each.stop, each.payload) for each in way.path], one.of
    assert (answer.answered_by, answer.label) == (way.answered_by[0], way.label), one.of
    assert answer.cost == way.cost
    said = {(each.tier, each.layer): each.probabilities for each in one.exits}
    if golden.precisions[way.answered_by[0]] == "fp32":
        got = [answer.probabilities[label] for label in golden.labels]
        np.testing.assert_allclose(got, said[way.answered_by], atol=TOLERANCE)


def check_bundle(bundle: Path) -> Golden:
    """All that the file says, as the bundle's own mobile does it."""
    golden = Golden.load(bundle)
    with open_mobile(bundle, golden, adaptive=False) as mobile:
        check_values(mobile, golden)
        check_ways(mobile, golden, [one.alone for one in golden.inputs])
    if golden.learns != "never":
        learning = [one.learning for one in golden.inputs]
        with open_mobile(bundle, golden, adaptive=True) as mobile:
            check_ways(mobile, golden, [way for way in learning if way is not None])
    return golden
