"""One model that is cut, with the plain fine-tuning as its cloud, on traces made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dimec.base.errors import MismatchError
from dimec_studies.plain_cloud import only, with_plain_cloud
from dimec_studies.ways import Way
from support.kept import kept_own, kept_with_shapes


def test_the_first_tiers_are_those_of_one_model_and_the_last_is_the_other() -> None:
    joint, own = kept_with_shapes(), kept_own()
    both = with_plain_cloud(joint, own)
    assert both.entry == "some/look-joint+plain/4"
    assert both.card.recipe == "joint+plain"
    assert both.card.backbone == {"joint": joint.card.backbone, "plain": "tiny"}
    assert both.deployment.sources == ("joint", "joint", "plain")
    assert both.deployment.prices == joint.deployment.prices
    for split in ("validation", "test"):
        one, two, made = (getattr(each, split) for each in (joint, own, both))
        for layer in joint.deployment.exits[:-1]:
            got = made.probabilities[:, made.column(layer, "joint")]
            assert np.array_equal(got, one.probabilities[:, one.column(layer)])
        layer = own.deployment.exits[-1]
        got = made.probabilities[:, made.column(layer, "plain")]
        assert np.array_equal(got, two.probabilities[:, two.column(layer, "cloud")])
    assert both.data_map is joint.data_map


def test_it_is_held_against_its_own_last_tier() -> None:
    """Which is the plain fine-tuning, on either split."""
    own = kept_own()
    both = Way.of(with_plain_cloud(kept_with_shapes(), own), own)
    for right, trace in zip(both.right, (own.validation, own.test), strict=True):
        column = trace.column(own.deployment.exits[-1], "cloud")
        assert np.array_equal(right, trace.correct[:, column])


def test_other_rows_are_refused() -> None:
    own = kept_own()
    fewer = replace(own, test=own.test.take(np.arange(len(own.test) - 1)))
    with pytest.raises(MismatchError):
        with_plain_cloud(kept_with_shapes(), fewer)


def test_one_source_alone() -> None:
    trace = kept_own().test
    alone = only(trace, "edge")
    assert alone.exits == trace.exits_of("edge")
    assert alone.sources == ("",)
    assert alone.model == trace.models["edge"]
    columns = trace.columns(alone.exits, ("edge",) * len(alone.exits))
    assert np.array_equal(alone.probabilities, trace.probabilities[:, columns])
