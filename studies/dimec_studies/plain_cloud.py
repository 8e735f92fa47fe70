"""A jointly trained model whose last tier is the plain fine-tuning.

Joint training costs the last exit something. Who trains one model that is cut may still serve the
plain fine-tuning in the cloud, which stores a model of its own anyway: the tiers before it keep
their exits, and texts that are sent on are computed from the first layer on.
"""

from __future__ import annotations

from dataclasses import replace

from dimec.traces.joining import join
from dimec.traces.trace import Trace
from dimec_studies.stored import Stored, deployment_of

PLAIN = "plain"  # the source of the last tier
JOINT = "joint"  # of those before it
SUFFIX = f"+{PLAIN}"  # of the recipe's name


def with_plain_cloud(joint: Stored, own: Stored) -> Stored:
    """The first tiers of one model, and the plain fine-tuning in the last one's place.

    Args:
        joint: traces of one model that is cut.
        own: traces of tiers with a model each, of the same rows; the last of them is the plain
            fine-tuning.

    Raises:
        MismatchError: they are of other rows.
    """
    *first, _ = joint.card.tiers
    last = own.card.tiers[-1]
    tiers = [
        *(one.model_copy(update={"source": JOINT}) for one in first),
        last.model_copy(update={"source": PLAIN}),
    ]
    pairs = tuple((one.source, one.layer) for one in tiers)
    validation, test = (
        join({JOINT: unnamed(one), PLAIN: only(two, last.source)}, tiers=pairs)
        for one, two in ((joint.validation, own.validation), (joint.test, own.test))
    )
    models = own.card.backbone
    card = joint.card.model_copy(
        update={
            "recipe": f"{joint.card.recipe}{SUFFIX}",
            "tiers": tuple(tiers),
            "shapes": {JOINT: joint.card.shapes[""], PLAIN: own.card.shapes[last.source]},
            "backbone": {
                JOINT: joint.card.backbone,
                PLAIN: models if isinstance(models, str) else models[last.source],
            },
        }
    )
    task, model, seed = joint.entry.split("/")
    return replace(
        joint,
        entry=f"{task}/{model}{SUFFIX}/{seed}",
        validation=validation,
        test=test,
        deployment=deployment_of(card, joint.deployment.costs),
        card=card,
    )


def unnamed(trace: Trace) -> Trace:
    """A trace of one model without extra columns, which differ where they are rounded."""
    return replace(trace, extra={})


def only(trace: Trace, source: str) -> Trace:
    """What one source's exits say, as a trace of its own."""
    layers = trace.exits_of(source)
    columns = trace.columns(layers, (source,) * len(layers))
    return replace(
        trace,
        probabilities=trace.probabilities[:, columns],
        exits=layers,
        sources=(),
        tiers=layers[-1:],
        tier_sources=(),
        model=trace.models[source],
        models={},
        extra={},
    )
