"""Tiers with a model each against tiers that are cut out of one, on the same rows.

Every tier's accuracy, and what the cascade saves where its λ is set on validation rows so that it
loses at most half a point against the *plain fine-tuning*: one model with one exit, trained with
nothing else in mind, which is the last tier where tiers have a model each. A jointly trained model
has it as its cloud too in one of its rows, so that a weaker last exit hides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dimec.base.arrays import BoolArray
from dimec.base.errors import ConfigError
from dimec.base.progress import Progress
from dimec.evaluation.bootstrap import bootstrap_means, interval
from dimec.policies import systems
from dimec.policies.candidates import Candidate, Did, candidates_of, did
from dimec.policies.registry import FitInputs
from dimec.report.wording import percent
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from dimec_studies.ladders import CASCADE, judged
from dimec_studies.look import traces_of
from dimec_studies.markdown import table
from dimec_studies.marks import PROFILE as TRIAL
from dimec_studies.marks import marks_table
from dimec_studies.plain_cloud import JOINT, SUFFIX, with_plain_cloud
from dimec_studies.plan import Plan
from dimec_studies.plan_parts import Recipe
from dimec_studies.runs import Workshop
from dimec_studies.stored import Stored
from dimec_studies.study import stored_header
from dimec_studies.titles import task_title

ALLOWED = 0.005  # of accuracy on validation, against the plain fine-tuning
TITLES: Mapping[str, str] = {
    "joint": "one model, joint",
    "joint-distilled": "one model, joint, exits learn from the last",
    "joint+plain": "joint, with the plain fine-tuning as cloud",
    "joint-distilled+plain": "joint, distilled, with the plain fine-tuning as cloud",
    "own": "a model each",
    "own-unlabelled": "a model each, with texts without labels",
    "own-twice": "a model each, distilled twice",
}
Record = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Variant:
    """One way to make the tiers of a task.

    Attributes:
        name: of :data:`TITLES`.
        validation, test: what its models say.
        deployment: its tiers.
    """

    name: str
    validation: Trace
    test: Trace
    deployment: Deployment


def tiers(workshop: Workshop) -> Record:
    """The result of the item, over every task and recipe of the plan.

    Raises:
        ConfigError: the plan does not train tiers with a model each.
        DimecError: as training and fitting raise it.
    """
    plan = workshop.plan
    if "own" not in plan.recipes:
        raise ConfigError("this study compares with the recipe 'own'; give it among the recipes")
    stored = {recipe: traces_of(workshop, recipe=recipe) for recipe in plan.recipes}
    everything = [one for several in stored.values() for one in several]
    return stored_header("tiers", plan, everything) | compute(stored, plan, workshop.progress)


def compute(
    stored: Mapping[Recipe, Sequence[Stored]], plan: Plan, progress: Progress
) -> dict[str, Any]:
    """The figures.

    Args:
        stored: traces by recipe, in the order of the plan's tasks that it is trained on.
        plan: λ, seed and draws.
        progress: of the fits.

    Returns:
        JSON values: ``allowed``, and ``tasks`` by name.
    """
    named = {
        recipe: dict(zip(plan.tasks_of(recipe), several, strict=True))
        for recipe, several in stored.items()
    }
    tasks = {}
    for name in plan.tasks:
        by_recipe = {recipe: found[name] for recipe, found in named.items() if name in found}
        tasks[name] = _task(by_recipe, plan, progress)
    return {"allowed": ALLOWED, "tasks": tasks}


def _task(by_recipe: Mapping[Recipe, Stored], plan: Plan, progress: Progress) -> Record:
    own = by_recipe["own"]
    last = own.deployment.tiers[-1]
    both = (own.validation, own.test)
    plain = [one.correct[:, one.column(last.layer, last.source)] for one in both]
    variants = variants_of(by_recipe)
    return {
        "rows": {"validation": len(own.validation), "test": len(own.test)},
        "train_rows": own.card.rows["train"],
        "plain": {"validation": float(plain[0].mean()), "test": float(plain[1].mean())},
        "variants": {
            one.name: _variant(one, plain[0], plain[1], plan, progress) for one in variants
        },
        "own": dict(own.card.own),
    }


def variants_of(by_recipe: Mapping[Recipe, Stored]) -> list[Variant]:
    """Every way that the traces of a task give, those of one model with either cloud."""
    own = by_recipe["own"]
    found = []
    for recipe, one in by_recipe.items():
        found.append(Variant(recipe, one.validation, one.test, one.deployment))
        if recipe.startswith(JOINT):
            both = with_plain_cloud(one, own)
            name = f"{recipe}{SUFFIX}"
            found.append(Variant(name, both.validation, both.test, both.deployment))
    return found


def _variant(
    one: Variant, plain: BoolArray, plain_test: BoolArray, plan: Plan, progress: Progress
) -> Record:
    pairs = list(zip(one.test.sources, one.test.exits, strict=True))
    return {
        "exits": [
            {"source": source, "layer": layer, "validation": seen, "test": shown}
            for (source, layer), seen, shown in zip(
                pairs,
                one.validation.correct.mean(axis=0).tolist(),
                one.test.correct.mean(axis=0).tolist(),
                strict=True,
            )
        ],
        "tiers": [
            {
                "name": tier.name,
                "layer": tier.layer,
                "source": tier.source,
                "price": tier.price,
                "test": float(one.test.correct[:, one.test.column(tier.layer, tier.source)].mean()),
            }
            for tier in one.deployment.tiers
        ],
        **_cascades(one, plain, plain_test, plan, progress),
    }


def _cascades(
    one: Variant, plain: BoolArray, plain_test: BoolArray, plan: Plan, progress: Progress
) -> Record:
    """The cascade at every stand of its knob, and the one that validation rows choose."""
    inputs = FitInputs(one.validation, one.deployment, plan.lam)
    progress.say(f"{one.name}: the cascade along its knob")
    candidates = candidates_of(systems()[CASCADE], inputs, plan.seeds[0])
    price, labels = float(one.deployment.prices[-1]), one.test.labels
    shown = [did(each.policy, one.test, one.deployment) for each in candidates]
    curve = [
        {
            "lam": each.lam,
            "drop": float(plain_test.mean() - (seen.classes == labels).mean()),
            "reduction": 1 - float(seen.cost.mean()) / price,
        }
        for each, seen in zip(candidates, shown, strict=True)
    ]
    return {"cascade": _chosen(one, candidates, shown, plain, plain_test, plan), "curve": curve}


def _chosen(
    one: Variant,
    candidates: Sequence[Candidate],
    shown: Sequence[Did],
    plain: BoolArray,
    plain_test: BoolArray,
    plan: Plan,
) -> Record | None:
    """The cascade that saves most on validation among those within the drop; None where none is."""
    labels = one.validation.labels
    within = [
        (each, seen)
        for each, seen in zip(candidates, shown, strict=True)
        if plain.mean() - (each.did.classes == labels).mean() <= ALLOWED
    ]
    if not within:
        return None
    best, seen = min(within, key=lambda pair: float(pair[0].did.cost.mean()))
    right: BoolArray = seen.classes == one.test.labels
    gain, low, high = judged(right, plain_test, plan.draws, plan.seeds[0])
    price, draws = float(one.deployment.prices[-1]), plan.draws
    few, many = interval(bootstrap_means(seen.cost[:, None], draws, plan.seeds[0])[:, 0])
    return {
        "lam": best.lam,
        "validation_drop": float(plain.mean() - (best.did.classes == labels).mean()),
        "validation_reduction": 1 - float(best.did.cost.mean()) / price,
        "accuracy": float(right.mean()),
        "drop": 0.0 - gain,
        "drop_low": 0.0 - high,
        "drop_high": 0.0 - low,
        "reduction": 1 - float(seen.cost.mean()) / price,
        "reduction_low": 1 - many / price,
        "reduction_high": 1 - few / price,
        "shares": _shares(best.policy, one),
    }


def _shares(policy: Any, one: Variant) -> dict[str, float]:
    """The share of the test rows that each tier answers."""
    outcome = policy.replay(one.test, one.deployment)
    return dict(zip(one.deployment.names, np.mean(outcome.tiers, axis=0).tolist(), strict=True))


# --- Tables --------------------------------------------------------------------------------------

_TIERS = ("tiers", "exit 0", "mobile %", "edge %", "cloud %")
_SAVED = (
    *("tiers", "saved, validation %", "drop, validation"),
    *("saved %", "drop against the plain fine-tuning, points"),
    "answered by mobile, edge, cloud, %",
)


def tables_of(result: Mapping[str, Any]) -> dict[str, str]:
    """Markdown of a stored result by the name in its marker."""
    accuracy: list[str] = []
    saved: list[str] = []
    marked: list[str] = []
    profile = result["profile"]
    for name, task in result["tasks"].items():
        heading = [f"**{_title(name, task)}**", ""]
        accuracy += [*heading, *_accuracy(task), ""]
        saved += [*heading, *_saved(task), ""]
        if profile == TRIAL:
            marked += [*heading, *marks_table(result, TITLES, name), ""]
    made = {"accuracy": accuracy, "saved": saved} | ({"marks": marked} if marked else {})
    return {f"tiers-{profile}-{name}": "\n".join(lines[:-1]) for name, lines in made.items()}


def _title(name: str, task: Mapping[str, Any]) -> str:
    rows = task["rows"]
    return (
        f"{task_title(name)}: {task['train_rows']:,} rows trained on, {rows['validation']:,} of "
        f"validation, {rows['test']:,} of test; the plain fine-tuning is right on "
        f"{percent(task['plain']['test'])} % of them"
    )


def _accuracy(task: Mapping[str, Any]) -> list[str]:
    rows = []
    for name, one in task["variants"].items():
        free = [each["test"] for each in one["exits"] if each["layer"] == 0]
        cells = [percent(tier["test"]) for tier in one["tiers"]]
        rows.append([TITLES[name], percent(free[0]) if free else "", *cells])
    return table(_TIERS, rows).splitlines()


def _saved(task: Mapping[str, Any]) -> list[str]:
    rows = []
    for name, one in task["variants"].items():
        if (best := one["cascade"]) is None:
            rows.append([TITLES[name], "none within it", *[""] * 4])
            continue
        rows.append(
            [
                TITLES[name],
                percent(best["validation_reduction"]),
                percent(best["validation_drop"], 2),
                percent(best["reduction"]),
                f"{percent(best['drop'], 2)} ({percent(best['drop_low'], 2)} to "
                f"{percent(best['drop_high'], 2)})",
                " / ".join(percent(share) for share in best["shares"].values()),
            ]
        )
    return table(_SAVED, rows).splitlines()
