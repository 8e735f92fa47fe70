"""Fit a run with any system that can be served: no torch, no training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import ConfigError
from dimec.base.storage import read_json
from dimec.evaluation.replay import replay
from dimec.policies.registry import FitInputs, validation_reward
from dimec.policies.servable import servable
from dimec.runs.fitting import FitResult
from dimec.runs.run import Run
from dimec.runs.system_fit import SystemFit, describe_system
from support.written import MODEL, N, written_run

SYSTEMS = servable()
ON_POOLS = {"data_map", "tsne", "pools"}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return written_run(tmp_path / "run")


def fit(run: Run, name: str, **settings: Any) -> SystemFit:
    found = run.fit(policy=name, settings=settings)
    assert isinstance(found, SystemFit)
    return found


@pytest.mark.parametrize("name", SYSTEMS)
def test_what_is_fitted_is_stored_and_has_its_row(run: Run, name: str) -> None:
    """Read back from its file, the policy is the one that the fit found and the ledger replays."""
    found = fit(run, name, **SYSTEMS[name])
    stored, trace, deployment = run.stored_policy(), run.trace("test"), run.deployment()
    assert (stored.policy.name, found.policy, stored.policy.replay_only) == (name, name, "")
    inputs = FitInputs(run.trace("validation"), deployment, found.lam)
    assert validation_reward(stored.policy, inputs) == pytest.approx(found.reward)
    on = stored.fitted_on
    assert (on["system"], on["lam"], on["model"]) == (name, 0.02, MODEL)
    assert on["settings"] == pytest.approx(dict(found.settings))
    row = run.evaluate(draws=5).row(name)
    told = replay(stored.policy, trace, deployment)
    assert (row.accuracy, row.cost) == pytest.approx((told.right.mean(), told.cost.mean()))
    assert list(row.shares.values()) == pytest.approx(told.tiers.mean(axis=0))


def test_the_router_is_what_a_run_is_fitted_with(run: Run) -> None:
    plain = run.fit()
    files = [path.read_bytes() for path in (run.policy_path, run.fit_path)]
    named = run.fit(policy="dimec")
    assert named == plain
    assert isinstance(named, FitResult)
    assert [path.read_bytes() for path in (run.policy_path, run.fit_path)] == files
    keys = ["model", "alpha", "beta", "lam", "grid", "tiers", "costs"]
    assert list(read_json(run.policy_path, "")["fitted_on"]) == keys


def test_a_setting_that_is_set_is_kept(run: Run) -> None:
    found = fit(run, "max-softmax-tiers", threshold=0.88)
    assert found.settings == {"threshold": 0.88}
    assert read_json(run.policy_path, "")["settings"] == {"threshold": 0.88}
    assert run.fit_record()["settings"] == {"threshold": 0.88}
    context = run.evaluate(draws=5).context
    assert (context["system"], context["settings"]) == ("max-softmax-tiers", {"threshold": 0.88})
    assert "alpha" not in context


def test_lambda_tiers_and_prices_are_those_given(run: Run) -> None:
    found = run.fit(policy="max-softmax-tiers", lam=0.5, tiers={"phone": 1, "dc": 6})
    assert isinstance(found, SystemFit)
    assert (found.lam, found.names, found.tiers) == (0.5, ("phone", "dc"), (1, 6))
    assert run.deployment().names == ("phone", "dc")
    assert list(run.evaluate(draws=5).row("max-softmax-tiers").shares) == ["phone", "dc"]


def test_the_fit_is_told_in_lines(run: Run) -> None:
    lines = describe_system(fit(run, "max-softmax-tiers", threshold=0.85))
    assert lines[0] == "max-softmax-tiers; exits 1, 2, 6; lambda 0.02"
    assert lines[1].startswith("threshold 0.85, mean reward ")
    assert lines[2].startswith("on the validation split that it was fitted on: drop ")
    assert "goes on learning" in "\n".join(describe_system(fit(run, "lee")))


def test_what_these_tiers_cannot_serve_is_said_at_once(run: Run) -> None:
    """Fitted and replayed all the same; the export would say it after the training."""
    found = fit(run, "splitee")
    assert "splitee hands on hidden states to the cloud" in found.unserved
    assert f"cannot be exported: {found.unserved}" in "\n".join(describe_system(found))
    assert "layer 2 on the mobile, which can stop at 1" in fit(run, "lee").unserved
    for name in ("max-softmax-tiers", "dimee", "bert-cloud"):
        assert fit(run, name).unserved == ""
    alone = run.fit(policy="lee", tiers={"mobile": 6})
    assert isinstance(alone, SystemFit)
    assert alone.unserved == ""


def test_the_routers_own_options_are_refused_beside_another_system(run: Run) -> None:
    others: dict[str, Any] = {"alphas": (0.5,), "betas": (0.1,), "grid": "paper"}
    for option, value in {**others, "target_drop": 0.01}.items():
        with pytest.raises(ConfigError, match=f"{option} is the router's alone"):
            run.fit(policy="deebert", **{option: value})
    with pytest.raises(ConfigError, match="settings sets a system's settings"):
        run.fit(policy="dimec", settings={"threshold": 0.5})


def test_a_fit_that_is_refused_leaves_the_old_one(run: Run) -> None:
    run.fit()
    before = run.policy_path.read_bytes()
    for name in ("oracle", "random", "neurosurgeon-latency", "bottlefit", "splitee-s"):
        with pytest.raises(ConfigError):
            run.fit(policy=name)
    assert run.policy_path.read_bytes() == before


class TestReport:
    def test_what_has_no_pools_is_reported_without_them(self, run: Run) -> None:
        run.fit()
        run.evaluate(draws=5)
        run.report()
        assert {path.stem for path in run.report_path.glob("*.svg")} > ON_POOLS
        fit(run, "max-softmax-tiers", threshold=0.7)
        row = run.evaluate(draws=5).row("max-softmax-tiers")
        page = run.report().read_text("utf-8")
        figures = {path.stem for path in run.report_path.glob("*.svg")}
        assert figures == {"accuracy_cost", "tiers"}  # those of the earlier report are gone
        assert {path.stem for path in run.report_path.glob("*.csv")} == figures
        assert "max-softmax-tiers was not fitted to pools of the data map" in page
        saved = f"max-softmax-tiers saves {100 * row.reduction:.1f} % of the cost"
        assert saved in page
        assert "fitted policy max-softmax-tiers (threshold 0.7)" in page
        assert '<tr class="router"><th scope="row">max-softmax-tiers</th>' in page

    def test_a_router_by_depth_has_its_random_twin(self, run: Run) -> None:
        fit(run, "dimee")
        ledger = run.evaluate(draws=5)
        assert ledger.row("random@dimee").cost == pytest.approx(ledger.row("dimee").cost)
        page = run.report().read_text("utf-8")
        assert "dimee was not fitted to pools of the data map" in page

    def test_dimec_by_its_systems_name_has_its_pools(self, run: Run) -> None:
        found = fit(run, "dimec-adaptive-quantile")
        assert run.stored_policy().policy.learns_online
        context = run.evaluate(draws=5).context
        assert context["alpha"] == found.settings["alpha"]
        page = run.report().read_text("utf-8")
        assert {path.stem for path in run.report_path.glob("*.svg")} > ON_POOLS
        assert f"The {N} validation samples are" in page

    def test_policies_that_are_no_routers_are_called_policies(self, run: Run) -> None:
        """The cloud costs less than the whole model on the mobile and is as good."""
        fit(run, "bert-mobile")
        ledger = run.evaluate(draws=5)
        assert ledger.row("bert-mobile").cost >= ledger.row("all-cloud").cost
        assert np.isclose(ledger.row("bert-mobile").drop, 0)
        assert "It answers every input on the mobile." in run.report().read_text("utf-8")
