"""A tiny run whose tiers have a model each: two encoders of one kind, and a third of another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dimec.policies.base import Policy
from dimec.policies.kinds import StoredPolicy
from dimec.policies.registry import FitInputs
from dimec.runs.fitting import fitted_on
from dimec.runs.run import Run
from dimec.runs.system_fit import fit_system
from dimec.settings.run import RunSettings
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec.traces.collection import join
from dimec.training.finish import TRACED
from support.tiny import make_backbone, reviews, train_tiny

OWN = {"phone": 2, "edge": 4, "cloud": 3}
TOKENS = {"phone": 32, "edge": 32, "cloud": 40}
_FREE = 0  # the layer of exit 0


@dataclass(frozen=True)
class _Plan:
    """How a tier's model is trained."""

    backbone: Path
    exits: tuple[int, ...]
    layers: int


def other_backbone(folder: Path) -> Path:
    """Another encoder than the tiny one: other words, another width, other layers."""
    words = [text.replace("film", "movie") for text, _ in reviews(120, seed=3)]
    return make_backbone(folder, layers=3, width=48, texts=[*words, "and a few words of its own"])


def make_own_run(folder: Path, table: Path, backbone: Path, other: Path) -> Run:
    """A trained and fitted run of the tiers :data:`OWN`, each with a model of its own.

    The phone and the edge have an encoder of the same words, so the edge takes token ids; the
    cloud's has words of its own, and it takes texts.

    Args:
        folder: where the run goes.
        table: CSV of texts and labels.
        backbone: of the phone and of the edge.
        other: of the cloud, see :func:`other_backbone`.
    """
    plans = {
        "phone": _Plan(backbone, (1, 2), 2),
        "edge": _Plan(backbone, (4,), 4),
        "cloud": _Plan(other, (3,), 3),
    }
    run = Run(folder)
    for number, (name, plan) in enumerate(plans.items()):
        train_tiny(
            table,
            plan.backbone,
            run.tiers_path / name,
            layers=plan.layers,
            exits=plan.exits,
            tiers=plan.exits[-1:],
            max_tokens=TOKENS[name],
            exit0=number == 0,
        )
    _settings(table, plans).save(run.config_path)
    _join(run)
    fit_system(run, "cascade", FitInputs(run.trace("validation"), own_deployment(), 0.05), {})
    return run


def own_deployment(names: Sequence[str] = tuple(OWN)) -> Deployment:
    """Those tiers, with the paper's prices."""
    tiers = CostModel().tiers(range(1, 1 + len(names)), names)
    return Deployment(
        tuple(replace(tier, layer=OWN[tier.name], source=tier.name) for tier in tiers)
    )


def refitted(own: Path, folder: Path, policy: Policy, names: Sequence[str] = tuple(OWN)) -> Run:
    """A copy of the run with another policy, for all of its tiers or some."""
    run = Run(shutil.copytree(own, folder))
    on = fitted_on(run.training()["model"], {"lam": 0.05}, own_deployment(names))
    StoredPolicy(policy, on).save(run.path)
    return run


def _settings(table: Path, plans: dict[str, _Plan]) -> RunSettings:
    tiers = [
        {"name": name, "model": str(plan.backbone), "layer": plan.layers}
        for name, plan in plans.items()
    ]
    return RunSettings.of({"data": {"task": f"csv:{table}"}, "tiers": tiers})


def _join(run: Run) -> None:
    """What such a training leaves of all of its models together."""
    tiers = {name: Run(tier.path) for name, tier in run.tier_runs().items()}
    first = next(iter(tiers.values()))
    for split in TRACED:
        traces = {name: tier.trace(split) for name, tier in tiers.items()}
        trace = join(traces)
        trace.save(run.trace_path(split))
    shutil.copyfile(first.data_path, run.data_path)
    exits = [pair for pair in zip(trace.exits, trace.sources, strict=True) if pair[0] != _FREE]
    record = {
        **first.training(),
        "model": trace.model,
        "models": dict(trace.models),
        "exits": [layer for layer, _ in exits],
        "sources": [source for _, source in exits],
        "tiers": run.settings().to_json()["tiers"],
        "exit0": None,
    }
    run.save_dynamics(first.dynamics(), {"model": trace.model})
    run.training_path.write_text(json.dumps(record), "utf-8")
