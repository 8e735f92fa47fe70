"""The policy that texts are scored with: the run's own, or another one for the same tiers."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from dimec.base.errors import ConfigError
from dimec.base.storage import file_sha256
from dimec.policies.kinds import StoredPolicy
from dimec.policies.registry import FitInputs
from dimec.policies.routed import RouterPolicy
from dimec.policies.servable import fit_servable
from dimec.routing import SingleTierRouter
from dimec.runs.deploying import basis_of
from dimec.runs.fitting import DEFAULT_LAMBDA, ROUTER, fitted_on
from dimec.runs.out_of_fold import usable, widened
from dimec.runs.workspace import RunDirectory, fitted_deployment

ALL = "all-"  # all-cloud: everything to the tier of that name
_ROUTER = "dimec-fixed-quantile"


def policy_to_score(run: RunDirectory, name: str | None = None) -> StoredPolicy:
    """The fitted policy of a run, or another one for its tiers, which is fitted here and not kept.

    Args:
        run: trained; fitted where no name is given.
        name: of a system that can be served, ``dimec`` for the paper's router, or ``all-NAME`` for
            everything to one tier. The tiers, their prices and λ are those of the run's fit, or
            where there is none those of training.

    Raises:
        ConfigError: no such system or tier, or one that cannot be taken step by step.
        ArtefactError: the run is not trained, not fitted, or damaged.
    """
    run.require_model()
    if name is None:
        return run.stored_policy()
    stored = run.stored_policy() if run.policy_path.exists() else None
    basis = basis_of(run, None, None, None)
    deployment = basis.deployment if stored is None else fitted_deployment(stored)
    lam = DEFAULT_LAMBDA if stored is None else float(stored.fitted_on.get("lam", DEFAULT_LAMBDA))
    model = str(run.training()["model"])
    if name.startswith(ALL):
        tier = name.removeprefix(ALL)
        if tier not in deployment.names:
            raise ConfigError(
                f"expected {ALL} with one of the tiers {', '.join(deployment.names)}, got {name!r}"
            )
        single = RouterPolicy(name, SingleTierRouter(deployment.names.index(tier)))
        return StoredPolicy(single, fitted_on(model, {"lam": lam}, deployment))
    data_map = run.data_map(deployment.exits[0])
    inputs = FitInputs(basis.trace, deployment, lam, data_map)
    inputs = widened(inputs, usable(run), name)
    fitted = fit_servable(_ROUTER if name == ROUTER else name, inputs, {})
    found = {"lam": lam, "settings": dict(fitted.settings)}
    return StoredPolicy(fitted.policy, fitted_on(model, found, deployment))


def policy_digest(stored: StoredPolicy) -> str:
    """Hexadecimal SHA-256 of what is stored of a policy."""
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory(prefix="dimec-policy-") as folder:
        stored.save(Path(folder))
        for path in sorted(Path(folder).iterdir()):
            digest.update(f"{path.name} {file_sha256(path)}\n".encode())
    return digest.hexdigest()
