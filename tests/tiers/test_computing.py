"""Milliseconds of computing: by operations of one model, and by layer profiles of several."""

from __future__ import annotations

import numpy as np
import pytest

from dimec.base.errors import DataError
from dimec.tiers.computing import ByOperations, ByProfiles
from dimec.tiers.deployment import Deployment
from dimec.tiers.latency import PARTS, RATE_TOKENS, LayerProfile, Measurement, ModelShape
from dimec.tiers.paths import leg, usage_of
from dimec.tiers.scenario_file import Scenarios
from dimec.tiers.usage import Usage

SMALL, BASE = ModelShape.of_width(384), ModelShape.of_width(768)
PACKAGED = LayerProfile.packaged("minilm-l6")
RATE = PACKAGED.flops_per_second
# A layer of 1 ms, an embedding layer of 0.1 ms and a classifier of 0.01 ms, at any length.
FLAT = LayerProfile(
    "flat",
    BASE,
    12,
    "a machine",
    1,
    "",
    tuple(
        Measurement(part, 0, tokens, seconds)
        for part, seconds in zip(PARTS, (1e-4, 1e-3, 1e-5), strict=True)
        for tokens in (8, 128)
    ),
)
LENGTHS = np.array([[128, 130], [10, 12], [40, 50]])
OWN = ByProfiles(LENGTHS, [SMALL, BASE], [PACKAGED, FLAT])


def usage() -> Usage:
    """Answered after one layer, sent on after two, and sent at once."""
    names = ("phone", "cloud")
    deployment = Deployment.paper((2, 12), None, names, sources=names)
    first = leg(3, 0, stop=[1.0, 2.0, 0.0], taken=[1.0, 1.0, 0.0], ends=[1.0, 0.0, 0.0])
    then = leg(3, 1, stop=12, taken=[0.0, 1.0, 1.0], payload=100.0)
    return usage_of([first, then], deployment)


def test_the_phone_embeds_every_text_and_classifies_after_every_layer() -> None:
    got = OWN.milliseconds(usage(), 0, RATE)
    for i, (layers, tokens) in enumerate([(1, 128), (2, 10), (0, 40)]):
        embed, layer, head = (
            float(PACKAGED.regressors[part].seconds(tokens)) for part in ("embed", "layer", "head")
        )
        assert got[i] == pytest.approx(1e3 * (embed + layers * (layer + head)), rel=1e-12)


def test_another_tier_runs_its_own_model_for_what_it_is_sent() -> None:
    got = OWN.milliseconds(usage(), 1, FLAT.flops_per_second)
    assert got.tolist() == pytest.approx([0.0, 12.11, 12.11], rel=1e-9)
    assert OWN.milliseconds(usage(), 1, 2 * FLAT.flops_per_second).tolist() == pytest.approx(
        [0.0, 12.11 / 2, 12.11 / 2], rel=1e-9
    )


def test_the_phones_exits_are_counted_where_not_every_layer_has_one() -> None:
    half = ByProfiles(LENGTHS, [SMALL, BASE], [PACKAGED, FLAT], looks=0.5)
    head = PACKAGED.regressors["head"].seconds(LENGTHS[:, 0])
    less = OWN.milliseconds(usage(), 0, RATE) - half.milliseconds(usage(), 0, RATE)
    np.testing.assert_allclose(less, 1e3 * 0.5 * head * [1, 2, 0], rtol=1e-9)


def test_a_layer_of_128_tokens_takes_its_operations_by_either() -> None:
    """The rates of machines are taken there, so both agree, whatever the profile's machine."""
    tokens = np.full((3, 2), RATE_TOKENS)
    whole = ByProfiles(tokens, [SMALL, BASE], [PACKAGED, FLAT], looks=0)
    nothing = Usage(*(np.zeros((3, 2)) for _ in range(4)))
    layers = whole.milliseconds(usage(), 0, 7e9) - whole.milliseconds(nothing, 0, 7e9)
    counted = ByOperations(tokens[:, 0], SMALL).milliseconds(usage(), 0, 7e9)
    np.testing.assert_allclose(layers, counted, rtol=1e-9)


def test_with_a_profile_one_model_is_embedded_as_own_models_are() -> None:
    """On the first tier; at the others it goes on where the first stopped."""
    tokens = np.full((3, 2), RATE_TOKENS)  # there layers take the same by either
    own = ByProfiles(tokens, [SMALL, BASE], [PACKAGED, FLAT], looks=0.5)
    one = ByOperations(tokens[:, 0], SMALL, PACKAGED, looks=0.5)
    np.testing.assert_allclose(
        one.milliseconds(usage(), 0, 7e9), own.milliseconds(usage(), 0, 7e9), rtol=1e-9
    )
    plain = ByOperations(tokens[:, 0], SMALL)
    assert (
        one.milliseconds(usage(), 1, 7e9).tolist() == plain.milliseconds(usage(), 1, 7e9).tolist()
    )


def test_a_scenario_takes_either() -> None:
    scenario, one = Scenarios.load().scenario("phone-wifi"), usage()
    by_tier = scenario.price_of(one, OWN)
    phone = OWN.milliseconds(one, 0, scenario.phone.flops_per_second.value)
    cloud = OWN.milliseconds(one, 1, scenario.cloud.flops_per_second.value)
    link = scenario.link_ms(one.sent[:, 1], one.bytes[:, 1], scenario.cloud_round_trip_ms)
    np.testing.assert_allclose(by_tier.milliseconds, phone + link + cloud, rtol=1e-12)
    assert by_tier.millijoules[0] == pytest.approx(scenario.phone.watts.value * phone[0])
    lengths = LENGTHS[:, 0]
    same = scenario.price_of(one, ByOperations(lengths, SMALL))
    assert same.money.tolist() == scenario.price(one, lengths, SMALL).money.tolist()


def test_other_texts_or_tiers_are_refused() -> None:
    with pytest.raises(DataError, match=r"lengths of the shape \(3, 2\), got \(2, 2\)"):
        ByProfiles(LENGTHS[:2], [SMALL, BASE], [PACKAGED, FLAT]).milliseconds(usage(), 0, 1e9)
    with pytest.raises(DataError, match="a shape and a layer profile for each"):
        ByProfiles(LENGTHS, [SMALL], [PACKAGED, FLAT])
    with pytest.raises(DataError, match="a shape and a layer profile for each"):
        ByProfiles(LENGTHS[:, 0], [SMALL], [PACKAGED])


def test_tiers_with_words_of_their_own_are_sent_the_text() -> None:
    one = usage()
    sent = one.sending(np.array([7.0, 8.0, 9.0]), [1])
    assert sent.bytes.tolist() == [[0, 0], [0, 8], [0, 9]]
    assert one.bytes[:, 1].tolist() == [0, 100, 100]
    assert sent.layers is one.layers
    assert one.sending(np.zeros(3), []).bytes.tolist() == one.bytes.tolist()
    with pytest.raises(DataError, match="3 answers need as many texts"):
        one.sending(np.zeros(2), [1])
