"""The accuracy-cost curves of a run: every policy with a knob, fitted and replayed along it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dimec.base.progress import Progress
from dimec.evaluation.curves import Curve, Curves, Plotter
from dimec.evaluation.replay import standard_policies
from dimec.policies import FitInputs, System, system, systems
from dimec.policies.candidates import stands_of
from dimec.policies.kinds import StoredPolicy
from dimec.policies.ladder import LAMBDA, LAMBDAS, knob_of
from dimec.runs.out_of_fold import usable, widened
from dimec.runs.workspace import RunDirectory, fitted_deployment
from dimec.traces.trace import Trace

FIXED = "dimec-fixed"  # the row of the paper's router


def run_curves(
    run: RunDirectory,
    stored: StoredPolicy,
    names: Sequence[str],
    draws: int,
    seed: int,
    progress: Progress,
) -> Curves:
    """The curves of the paper's router, of the run's own policy, and of other systems.

    All are fitted to the whole validation split, and to the training rows out of fold where there
    are any; by what they do there, each with rows that it had not seen, points are chosen. A policy
    that was fitted to a part of it, because the rest had to calibrate a contract, need not lie on
    the curve of its system.

    Args:
        run: trained and fitted.
        stored: its policy.
        names: of other systems; those without a knob are left out.
        draws, seed: of the bootstrap.
        progress: told of each system.

    Raises:
        ConfigError: a system cannot be fitted for these tiers.
    """
    fit, deployment = stored.fitted_on, fitted_deployment(stored)
    validation = run.trace("validation")
    data_map = run.data_map(deployment.exits[0])
    inputs = FitInputs(validation, deployment, fit["lam"], data_map)
    more = usable(run)
    seen = widened(inputs, more).validation  # of all points alike, whatever each was fitted to
    plotter = Plotter(seen, run.trace("test"), deployment, draws, seed)
    own = [fit["system"]] if fit.get("system") in systems() else []
    # The paper's router stands beside whatever was fitted, unless that is this router already.
    fixed = any(system(name).tags >= {"ours", "fixed"} for name in own)
    chosen = {} if fixed or data_map is None else {FIXED: _router(fit.get("grid"))}
    chosen |= {name: system(name) for name in [*own, *names] if knob_of(system(name))}
    curves = []
    progress.start("curves", len(chosen))
    for name, one in chosen.items():
        # The router's λ is the ledger's, as where a run is fitted, and no multiple of it.
        along = replace(inputs, pinned={"weight": 1.0}) if name == FIXED else inputs
        fitted_to = widened(along, more, one.name)
        unseen = more if fitted_to is along else None
        curves.append(_curve(name, one, fitted_to, unseen, plotter))
        progress.advance(1, note=name)
    progress.end()
    *singles, _, oracle = map(plotter.point, standard_policies({}, deployment.names))
    return Curves(tuple(curves), tuple(singles), oracle, draws, seed)


def _router(grid: str | None) -> System:
    """The paper's router by the grid that the run was fitted with, or the data's own quantiles."""
    one = system(f"dimec-fixed-{'paper' if grid == 'paper' else 'quantile'}")
    return replace(one, title=FIXED)


def _curve(
    name: str, one: System, inputs: FitInputs, unseen: Trace | None, plotter: Plotter
) -> Curve:
    knob = knob_of(one)
    # The run's own λ is a point of its curve.
    lambdas = sorted({*LAMBDAS, inputs.lam}) if knob == LAMBDA else LAMBDAS
    points = [
        plotter.point(
            each.fitted.policy, each.fitted.settings, each.lam, seen=(each.right, each.cost)
        )
        for each in stands_of(one, inputs, plotter.seed, lambdas, unseen)
    ]
    return Curve(name, one.title, knob, tuple(points))
