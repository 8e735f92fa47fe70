"""Fit a system of the registry as a run's policy, so that it is replayed, exported and served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from dimec.base.errors import ConfigError, option
from dimec.base.storage import write_json
from dimec.contract.promise import STORED, Promise
from dimec.evaluation.evaluate import evaluate
from dimec.policies.kinds import StoredPolicy, package_of
from dimec.policies.reach import unserved
from dimec.policies.registry import FitInputs, Fitted, find_system
from dimec.policies.servable import fit_servable
from dimec.policies.step import Site
from dimec.runs.deploying import Basis
from dimec.runs.fitting import ROUTER, drop_and_reduction, fitted_on, told_exits
from dimec.runs.out_of_fold import kinds_of_rows, told_rows, usable, widened
from dimec.runs.workspace import RunDirectory


@dataclass(frozen=True)
class SystemFit:
    """What the fit of a system found, all of it on the validation split.

    Attributes:
        policy: its name, which is that of its row in the ledger.
        kind: what it is stored as.
        settings: those that were chosen, and those that were set.
        lam: λ, the weight of one unit of cost.
        reward: mean of (right or wrong) - λ·cost on the validation split.
        tiers: the tiers' exits.
        names: of the tiers.
        learns_online: whether it goes on learning as inputs arrive.
        unserved: why it cannot be exported and served on these tiers; empty where it can.
        validation_drop, validation_reduction: on the rows that it was fitted to, those of the
            validation split and out of fold: an optimistic view.
        contract: what is promised of it (:class:`dimec.contract.promise.Promise`); None where
            nothing is.
        fitted_rows, left_out: how many rows of which kind it was fitted to, and why none out of
            fold, see :func:`dimec.runs.out_of_fold.kinds_of_rows`; empty for a run without them.
        sources: of the model behind each tier, "" where one model is cut into tiers.
        package: name and version of the package that brought the policy; empty for dimec's own.
    """

    policy: str
    kind: str
    settings: Mapping[str, Any]
    lam: float
    reward: float
    tiers: tuple[int, ...]
    names: tuple[str, ...]
    learns_online: bool
    unserved: str
    validation_drop: float
    validation_reduction: float
    contract: Mapping[str, Any] | None = None
    fitted_rows: Mapping[str, int] = field(default_factory=dict)
    left_out: str = ""
    sources: tuple[str, ...] = ()
    package: Mapping[str, str] = field(default_factory=dict)


def check_options(
    policy: str, of_router: Mapping[str, Any], settings: Mapping[str, Any] | None
) -> None:
    """Refuse the router's options beside another system, and a system's settings beside the router.

    Args:
        policy: what is to be fitted.
        of_router: the router's options by keyword, None where they are not given.
        settings: of a system.

    Raises:
        ConfigError: names the option.
    """
    if policy == ROUTER and settings:
        raise ConfigError(
            f"{option('settings')} sets a system's settings; the router's are {option('alphas')} "
            f"and {option('betas')}"
        )
    given = [key for key, value in of_router.items() if value not in (None, "quantile")]
    if policy != ROUTER and given:
        raise ConfigError(
            f"{option(given[0])} is the router's alone; leave it out, or fit the router "
            f"({option('policy', ROUTER)})"
        )


def fit_system(
    run: RunDirectory, name: str, basis: Basis, lam: float, settings: Mapping[str, Any]
) -> SystemFit:
    """Fit a system of the registry and store it as the run's policy.

    Args:
        run: whose policy it becomes; its lock is held.
        name: of the system.
        basis: what it is fitted to, beside the run's rows out of fold, where it has any.
        lam: λ to fit it for.
        settings: of its own, in place of those that the fit would choose.

    Raises:
        ConfigError: see :func:`dimec.policies.servable.fit_servable`.
    """
    inputs = FitInputs(basis.trace, basis.deployment, lam, basis.data_map)
    inputs = widened(inputs, usable(run), name)
    return store(run, fit_servable(name, inputs, settings), name, inputs, lam)


def store(
    run: RunDirectory,
    fitted: Fitted,
    name: str,
    inputs: FitInputs,
    lam: float,
    contract: Mapping[str, Any] | None = None,
) -> SystemFit:
    """Store a policy as that of a run, with what was found in ``fit.json``.

    Args:
        run: its lock is held.
        fitted: the policy.
        name: of its system; of none where it is a tier alone.
        inputs: what it was fitted to.
        lam: λ that it was fitted for.
        contract: what is promised of it, as JSON.
    """
    kinds = kinds_of_rows(run, inputs.validation)
    found = replace(_found(fitted, inputs, lam, contract), **kinds)
    model = inputs.validation.model
    chosen = {
        "system": name,
        "settings": dict(found.settings),
        "reward": found.reward,
        "lam": found.lam,
    }
    if contract is not None:
        chosen[STORED] = contract
    if kinds:
        chosen["fitted_rows"] = kinds["fitted_rows"]
    known = find_system(name)
    if known is not None and "ours" in known.tags:  # its pools are those of these thresholds
        chosen |= {key: found.settings[key] for key in ("alpha", "beta", "grid")}
    StoredPolicy(fitted.policy, fitted_on(model, chosen, inputs.deployment)).save(run.path)
    write_json(run.fit_path, {**asdict(found), "model": model})
    return found


def _found(
    fitted: Fitted, inputs: FitInputs, lam: float, contract: Mapping[str, Any] | None
) -> SystemFit:
    policy, deployment = fitted.policy, inputs.deployment
    trace = inputs.validation
    site = Site(deployment, trace.exits, trace.sources)
    row = evaluate(inputs.validation, [policy], deployment, draws=1).row(policy.name)
    by = package_of(str(getattr(policy, "kind", "")))
    return SystemFit(
        policy=policy.name,
        kind=str(getattr(policy, "kind", "")),
        settings=dict(inputs.pinned) | dict(fitted.settings),
        lam=lam,
        reward=fitted.reward,
        tiers=deployment.exits,
        names=deployment.names,
        learns_online=policy.learns_online,
        unserved=unserved(policy, site, trace.embeddings.shape[1]),
        validation_drop=row.drop,
        validation_reduction=row.reduction,
        contract=contract,
        sources=deployment.sources,
        package={} if by is None else by.to_json(),
    )


def describe_system(result: SystemFit) -> list[str]:
    """Lines for a reader: the policy, its settings, and what it does where it was fitted."""
    exits = told_exits(result.tiers, result.names, result.sources)
    chosen = [f"{key} {_told(value)}" for key, value in result.settings.items()]
    lines = [
        f"{result.policy}; exits {exits}; lambda {result.lam:g}",
        ", ".join([*chosen, f"mean reward {result.reward:.4f}"]),
    ]
    if result.package:
        lines.append(
            f"of the package {result.package['name']} {result.package['version']}, which every "
            "device needs that runs it"
        )
    if result.learns_online:
        lines.append("it goes on learning as inputs arrive; every replay starts anew")
    if result.unserved:
        lines.append(f"it is replayed, and cannot be exported: {result.unserved}")
    if result.left_out:
        lines.append(result.left_out)
    if result.contract is not None:
        return [*lines, *_contract_lines(Promise.of_json(result.contract))]
    told = drop_and_reduction(result.validation_drop, result.validation_reduction)
    return [*lines, f"on {told_rows(result.fitted_rows)} that it was fitted on: {told}"]


def _contract_lines(promise: Promise) -> list[str]:
    """What is promised, and what the calibration rows said."""
    seen = promise.calibration
    drop = ""
    if seen.drop is not None and seen.drop_bound is not None:
        drop = f"drop {100 * seen.drop:.2f} points, at most {100 * seen.drop_bound:.2f}; "
    differ = f"{100 * seen.different:.2f} % of answers differ from the last tier's"
    return [
        f"contract: {promise.told()}{_by(promise)}",
        f"on {promise.source}: {drop}{differ}, at most {100 * seen.different_bound:.2f} %; "
        f"saved {100 * seen.reduction:.1f} %, cost {seen.cost:.3g} lambda",
        f"fitted to {promise.fitted_rows:,} other rows; {promise.accepted} of {promise.tried} "
        "policies tried keep it, and the last of them was taken",
    ]


def _by(promise: Promise) -> str:
    """The bound, where it is of another package: whether the promise is one rests on it."""
    return f", by the bound {promise.test} of {promise.package}" if promise.package else ""


def _told(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
