"""Evaluate a run: its routers and systems of the literature, replayed on its test trace."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dimec.__about__ import __version__
from dimec.base.errors import ConfigError
from dimec.base.progress import NoProgress, Progress
from dimec.base.storage import write_json
from dimec.evaluation.curves import FILE as CURVES
from dimec.evaluation.evaluate import draw_up
from dimec.evaluation.ledger import Ledger
from dimec.evaluation.replay import Replay, reference_replay, replay_all, standard_policies
from dimec.policies import FitInputs, Fitted, Policy, RouterPolicy, system
from dimec.policies import systems as known_systems
from dimec.policies.left_out import LeftOut
from dimec.routing import CentroidRouter
from dimec.runs.curves import run_curves
from dimec.runs.fitting import ROUTER
from dimec.runs.out_of_fold import usable, widened
from dimec.runs.own_tiers import (
    TEXT_BYTES,
    computing_of,
    layer_profiles,
    models_of,
    text_tiers,
)
from dimec.runs.rivals import own_traces
from dimec.runs.workspace import RunDirectory, fitted_deployment
from dimec.tiers.deployment import Deployment
from dimec.tiers.scenarios import Scenario, computing_table
from dimec.traces.trace import Trace

# What a fit found, beside λ: of the router, of any other system, and for a contract.
_FOUND = (
    "alpha",
    "beta",
    "grid",
    "system",
    "settings",
    "reward",
    "contract",
    "chosen",
    "pricing",
    "fitted_rows",
)


def evaluate_run(
    run: RunDirectory,
    draws: int,
    seed: int,
    systems: Sequence[str],
    scenarios: Sequence[Scenario],
    progress: Progress,
    *,
    curves: bool = True,
) -> Ledger:
    """See :meth:`dimec.runs.run.Run.evaluate`, which holds the run's lock meanwhile."""
    training, trace = run.training(), run.trace("test")
    stored = run.stored_policy()
    fit, deployment = stored.fitted_on, fitted_deployment(stored)
    found = {key: fit[key] for key in _FOUND if key in fit}
    if fit.get("system") not in (None, stored.policy.name):
        found["policy"] = stored.policy.name  # the row of what is named otherwise: a tier alone
    context = {
        "task": training["task"],
        "source": training["source"],
        "backbone": training["backbone"],
        "exits": list(deployment.exits),
        "tiers": fit["tiers"],
        "samples": len(trace),
        "train_rows": training["rows"]["train"],
        "validation_rows": training["rows"]["validation"],
        "epochs": len(training["history"]) or (run.recorded() or {}).get("epochs", 0),
        "best_epoch": training["best_epoch"],
        **_models(run),
        **found,
        "lam": fit["lam"],
        "seed": training["seed"],
        "bootstrap_seed": seed,
        "draws": draws,
        "costs": fit["costs"],
        "cloud_charge": deployment.charge,
        "prices": [tier.price for tier in deployment.tiers],
        "model": training["model"],
        "versions": {**training["versions"], "dimec": __version__},
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    *standard, oracle = standard_policies({}, deployment.names)
    rows = {policy.name for policy in standard}
    # A contract may choose a tier alone, which has its row already.
    standard += [one for one in _fitted_policies(stored.policy) if one.name not in rows]
    rows |= {policy.name for policy in standard}
    rivals = [
        one
        for one in fit_systems(run, systems, deployment, fit["lam"], progress)
        if one.policy.name not in rows
    ]
    own = {
        one.policy.name: traces[1]
        for one in rivals
        if (traces := own_traces(run, system(one.policy.name))) is not None
    }
    context["systems"] = {one.policy.name: dict(one.settings) for one in rivals}
    policies = [*standard, *(one.policy for one in rivals), oracle]
    replays = replay_all(trace, policies, deployment, own=own)
    ledger = draw_up(
        replays,
        reference_replay(trace, deployment),
        metric=trace.metric,
        draws=draws,
        seed=seed,
        context=context,
    )
    ledger.save(run.report_path)
    (run.report_path / CURVES).unlink(missing_ok=True)  # those of an earlier ledger
    table = _in_scenarios(run, trace, replays, deployment, scenarios)
    write_json(run.report_path / "scenarios.json", table)
    if curves:
        # A trace of its own is of one model that was made for one place: a point, and no curve.
        others = [one.policy.name for one in rivals if one.policy.name not in own]
        run_curves(run, stored, others, draws, seed, progress).save(run.report_path)
    return ledger


def _models(run: RunDirectory) -> dict[str, Any]:
    """What a ledger says of tiers with a model each: the models, and what times them."""
    if not (models := models_of(run)):
        return {}
    if not run.shapes():
        return {"models": models}  # nothing times them
    profiles = {name: one.backbone for name, one in layer_profiles(run).items()}
    return {"models": models, "layer_profiles": profiles}


def _in_scenarios(
    run: RunDirectory,
    trace: Trace,
    replays: Sequence[Replay],
    deployment: Deployment,
    scenarios: Sequence[Scenario],
) -> list[dict[str, Any]]:
    """The replays in milliseconds, millijoules and money; none where no layer's width is known."""
    if not run.shapes():
        return []
    if (texts := trace.extra.get(TEXT_BYTES)) is not None:
        sent = text_tiers(run, deployment)
        replays = [replace(one, usage=one.usage.sending(texts, sent)) for one in replays]
    return computing_table(replays, computing_of(run, trace, deployment), scenarios)


def exit_accuracies(trace: Trace) -> dict[str, dict[int, float]]:
    """Source → layer → share of right answers of each exit."""
    found: dict[str, dict[int, float]] = {source: {} for source in trace.sources_in_order}
    shares = trace.correct.mean(axis=0).tolist()
    for source, layer, share in zip(trace.sources, trace.exits, shares, strict=True):
        found[source][layer] = share
    return found


def _fitted_policies(policy: Policy) -> list[Policy]:
    """The run's own rows: its router, fixed and learning, or the system that it was fitted with."""
    if policy.name != ROUTER or not isinstance(policy, RouterPolicy):
        return [policy]
    router = policy.router
    if not isinstance(router, CentroidRouter):
        return [policy]
    return [
        RouterPolicy("dimec-fixed", router.copy(adaptive=False)),
        RouterPolicy("dimec-adaptive", router.copy(adaptive=True)),
    ]


def fit_systems(
    run: RunDirectory,
    names: Sequence[str],
    deployment: Deployment,
    lam: float,
    progress: Progress | None = None,
) -> list[Fitted]:
    """Systems of the literature, fitted on the validation split of a run, and out of fold.

    Args:
        run: trained.
        names: of systems, or ``all`` for each that is neither dimec itself, which the run's own
            router stands for, nor in need of a training of its own. Of these, one that is not for
            such tiers is left out, and the progress told; one that is named is an error.
        deployment: exits and costs. A system with a training of its own is fitted to its own trace.
        lam: the weight of one unit of cost.
        progress: told which systems were left out, and why.

    Raises:
        ConfigError: no such system, or a named one that cannot be fitted for these tiers.
    """
    progress = progress or NoProgress()
    chosen = named_systems(names)
    if not chosen:
        return []
    data_map = run.data_map(deployment.exits[0])
    inputs = FitInputs(run.trace("validation"), deployment, lam, data_map)
    more = usable(run, progress.say)
    fitted, left_out = [], LeftOut()
    for name in dict.fromkeys(chosen):
        try:
            known = system(name)
            traces = own_traces(run, known)
            if traces is None and known.needs:
                progress.say(
                    f"{name} is replayed on the run's own traces, as if its training lost nothing"
                )
            own = None if traces is None else replace(inputs, validation=traces[0])
            fitted.append(known.fit(own or widened(inputs, more, name)))
        except ConfigError as error:
            if name in names:
                raise
            left_out.add(name, error)
    left_out.say(progress)
    return fitted


def named_systems(names: Sequence[str]) -> list[str]:
    """Names of systems with ``all`` spelt out; ConfigError where there is none of a name."""
    chosen: list[str] = []
    for name in names:
        everything = [one for one in known_systems() if _replays_any_trace(one)]
        chosen += everything if name == "all" else [system(name).name]
    return chosen


def _replays_any_trace(name: str) -> bool:
    # dimec itself and the reference, which is all-cloud, are in every ledger already.
    return not (system(name).tags & {"ours", "reference"} or system(name).needs)
