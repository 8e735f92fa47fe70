"""Every registered system on tiers with a model each: it fits them, or says why not in a line."""

from __future__ import annotations

import numpy as np
import pytest

from dimec.base.errors import ConfigError
from dimec.policies.drive import drive, site_of
from dimec.policies.reach import unserved
from support.scenes import (
    OWN_TIERS,
    SCENES,
    Scene,
    assert_same,
    every_system,
    fitted,
    parts,
)

# They cut one model in parts, or walk through its exits from tier to tier.
ONE_MODEL = {"bert-mobile", "deebert", "pabee", "adaee", "dimee", "max-softmax"}
ONE_MODEL |= {"max-softmax-tiers", "neurosurgeon-latency", "neurosurgeon-energy"}
ONE_MODEL |= {"bottlenet++", "bottlefit", "cde", "hnd"}
ONE_MODEL |= {"pruned-magnitude", "pruned-heads", "int8-mobile", "distilled-student"}
ONE_MODEL |= {"splitee", "splitee-s", "i-splitee", "uee-ucb", "lee", "dee", "ceebert"}
ANY_MODELS = [name for name in every_system() if name not in ONE_MODEL]
everywhere = pytest.mark.parametrize("scene", OWN_TIERS.values(), ids=list(OWN_TIERS))


@pytest.mark.parametrize("name", sorted(ONE_MODEL))
@everywhere
def test_what_cuts_one_model_says_so(name: str, scene: Scene) -> None:
    """Where it is fitted, and where one that was fitted to one model is replayed or served."""
    system, trace, deployment = every_system()[name], scene.trace("test"), scene.deployment
    with pytest.raises(ConfigError, match=r"cuts one model; these tiers have models of their own"):
        system.fit(scene.inputs())
    if name == "dimee":  # its fit walks through one model, and what it fits is a router of tiers
        return
    elsewhere = fitted(name, SCENES["all layers"]).policy
    with pytest.raises(ConfigError, match=r"\(phone, .*\)") as refused:
        elsewhere.replay(trace, deployment)
    assert "\n" not in str(refused.value)
    with pytest.raises(ConfigError):
        elsewhere.steps(site_of(trace, deployment))


@pytest.mark.parametrize("name", ANY_MODELS)
@everywhere
def test_all_others_answer_everything_and_replay_as_they_step(name: str, scene: Scene) -> None:
    trace, deployment = scene.trace("test"), scene.deployment
    policy = fitted(name, scene).policy
    outcome = policy.replay(trace, deployment)
    for what, values in parts(outcome).items():
        assert np.isfinite(values).all(), what
        assert (values >= 0).all(), what
    for weights in (outcome.answers, outcome.tiers):
        np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=0, atol=1e-12)
    # What answers is an exit of the tier that was visited last, of that tier's own model.
    for k, source in enumerate(deployment.sources):
        own = [column for column, of in enumerate(trace.sources) if of == source]
        np.testing.assert_allclose(
            outcome.answers[:, own].sum(axis=1), outcome.tiers[:, k], rtol=0, atol=1e-12
        )
    assert (outcome.usage.layers <= np.array(deployment.exits)).all()
    if not policy.replay_only:
        site = site_of(trace, deployment)
        assert_same(drive(policy.steps(site), trace, deployment), outcome)
        assert unserved(policy, site, trace.embeddings.shape[1]) == ""
