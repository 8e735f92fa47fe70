"""Whether every step that a policy may take can be taken where it is served."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from dimec.base.errors import ConfigError, DataError, option, shown
from dimec.policies.base import Policy, no_steps
from dimec.policies.step import Answer, Go, Signal, Site, Steps, Walk


def served_steps(
    policy: Policy,
    site: Site,
    stops: Collection[int],
    width: int | None = None,
    classes: int | None = None,
) -> Steps:
    """A policy's steps, each of which can be taken where it is served.

    A server takes texts and answers at its tier's own exit; on the device the layers are cut.

    Args:
        policy: fitted.
        site: the tiers, and every exit of the trained model, as in a replay.
        stops: the exits at which the device can stop; 0 among them where it has an exit 0.
        width: D, of the embeddings that it decides on, to try it on one; None not to.
        classes: C, of the answers that it sees on its way, to try it on some; None not to.

    Raises:
        ConfigError: a step that cannot be taken there; says which, and what to do.
        DataError: the policy cannot decide on such embeddings, or go on behind such answers.
    """
    if policy.replay_only:
        raise no_steps(policy)
    steps = policy.steps(site)
    # Hidden states first: no other tiers would help there.
    for step in sorted(steps.reach, key=lambda step: step.payload):
        _check(policy.name, step, site, stops)
    if width is not None:
        _try_out(policy.name, steps, site, width)
        if classes is not None:
            _try_ways(policy.name, policy.steps(site), site, width, classes)
    return steps


def unserved(policy: Policy, site: Site, width: int) -> str:
    """Why a policy cannot be served on these tiers, or nothing.

    Args:
        policy: fitted.
        site: the tiers and the exits of the trained model; the device can stop at each of its own.
        width: D, of the embeddings that it decides on.
    """
    first = site.deployment.exits[0]
    try:
        stops = [layer for layer in site.exits_of(0) if layer <= first]
        served_steps(policy, site, [0, *stops] if site.exit0 else stops, width)
    except (ConfigError, DataError) as error:
        return str(error)
    return ""


def _check(name: str, step: Go, site: Site, stops: Collection[int]) -> None:
    tiers = site.deployment.tiers
    if step.tier not in range(len(tiers)):
        raise ConfigError(f"the policy {name} goes to tier {step.tier} of {len(tiers)}")
    tier = tiers[step.tier]
    if step.payload == "hidden":
        raise ConfigError(
            f"the policy {name} hands on hidden states to the {tier.name}, and a server takes "
            "texts only; it can be replayed: dimec evaluate"
        )
    if step.tier and step.layer != tier.layer:
        raise ConfigError(
            f"the policy {name} looks at the exit of layer {step.layer} on the {tier.name}, whose "
            f"server answers at layer {tier.layer} only; train with exits at the tiers and on the "
            "device alone, or fit another policy"
        )
    if not step.tier and step.layer not in stops:
        cut = ", ".join(map(str, sorted(stops)))
        remedy = (
            "train again without --no-exit0"
            if step.layer == 0
            else f"leave {option('looks')} out of dimec export"
            if step.layer < tier.layer
            else "fit another policy, or tiers whose first has more layers"
        )
        raise ConfigError(
            f"the policy {name} looks at the exit of layer {step.layer} on the {tier.name}, which "
            f"can stop at {cut}; {remedy}"
        )


def _try_out(name: str, steps: Steps, site: Site, width: int) -> None:
    """Decide once, on an embedding of zeros."""
    try:
        first = steps.begin(Signal(np.zeros(width, np.float32), 2))
    except Exception as error:  # a policy of others may raise anything
        problem = shown(f"{type(error).__name__}: {error}", 120)
        raise DataError(
            f"the policy {name} cannot decide on embeddings of {width} values ({problem})"
        ) from None
    if isinstance(first, Answer):
        raise DataError(f"the policy {name} answers before any exit was seen")
    if len(first.scores) not in (0, len(site.deployment)):
        raise DataError(
            f"the policy {name} scores {len(first.scores)} tiers, expected {len(site.deployment)}"
        )


def _try_ways(name: str, steps: Steps, site: Site, width: int, classes: int) -> None:
    """Take a few whole ways: with exits that are torn, and sure of the first or the last class."""
    torn = np.full(classes, 1 / classes, np.float32)
    sure = [np.eye(1, classes, place, np.float32)[0] for place in (0, classes - 1)]
    for said in (torn, *sure):
        walk = Walk(Signal(np.zeros(width, np.float32), 2))
        try:
            step = steps.begin(walk.signal)
            while isinstance(step, Go):  # each leads on, so there is an end
                walk.go(step, site.deployment)
                walk.see(said)
                step = steps.after(walk)
            walk.answer(step)
        except Exception as error:  # a policy of others may raise anything
            problem = shown(f"{type(error).__name__}: {error}", 120)
            raise DataError(
                f"the policy {name} cannot go on behind {len(walk.looks)} exits of {classes} "
                f"classes ({problem})"
            ) from None
