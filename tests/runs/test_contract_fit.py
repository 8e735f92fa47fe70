"""Fit a run under a contract: no torch, no training."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from dimec.base.errors import ConfigError, ContractRefusedError, DataError
from dimec.base.progress import NoProgress
from dimec.contract import exact
from dimec.contract.losses import Losses
from dimec.contract.promise import promise_in
from dimec.policies.candidates import Candidate, candidates_of, did
from dimec.policies.registry import FitInputs, System
from dimec.runs.calibration import parted
from dimec.runs.run import Run
from dimec.runs.system_fit import SystemFit, describe_system
from support.written import N, written_run

SEED = 4  # of the written run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return written_run(tmp_path / "run")


class Kept(NamedTuple):
    """A run fitted to lose 15 points at most, and the rows that its candidates were shown."""

    run: Run
    found: SystemFit
    seen: frozenset[str]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Fitted once, as every system there is takes part; not to be changed."""
    run, seen = written_run(tmp_path_factory.mktemp("kept") / "run"), set[str]()

    def watched(one: System, inputs: FitInputs, seed: int) -> list[Candidate]:
        seen.update(inputs.validation.guids)
        return candidates_of(one, inputs, seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dimec.runs.contracting.candidates_of", watched)
        found = run.fit_contract(max_accuracy_drop=15, confidence=0.9)
    return Kept(run, found, frozenset(seen))


@pytest.fixture
def kept(fitted: Kept, tmp_path: Path) -> Kept:
    """The same in a folder of the test's own."""
    return fitted._replace(run=Run(shutil.copytree(fitted.run.path, tmp_path / "kept")))


def test_the_cheapest_that_keeps_a_drop_is_stored_with_its_promise(kept: Kept) -> None:
    run, found, _ = kept
    stored = run.stored_policy()
    promise = promise_in(stored.fitted_on)
    assert promise is not None
    assert found.contract == promise.to_json() == run.fit_record()["contract"]
    assert (promise.max_accuracy_drop, promise.confidence, promise.test) == (15, 0.9, "exact")
    assert promise.accepted >= 1
    seen = promise.calibration
    assert seen.drop_bound is not None
    assert seen.drop_bound <= 0.15
    assert 0 < seen.reduction < 1
    # By the stored policy itself, on rows that it was not fitted to.
    trace, deployment = run.trace("validation"), run.deployment()
    fit, held = parted(N, 0.5, SEED)
    assert (promise.fitted_rows, seen.rows) == (len(fit), len(held))
    rest = trace.take(held)
    told = did(stored.policy, rest, deployment)
    losses = Losses.of_answers(told.classes, rest.predictions[:, -1], rest.labels)
    assert seen.drop == pytest.approx(losses.mean)
    assert seen.drop_bound == exact.upper(losses, 0.1)
    assert seen.different == pytest.approx(losses.differing / len(losses))
    assert seen.cost == pytest.approx(told.cost.mean())
    assert seen.reduction == pytest.approx(1 - told.cost.mean() / deployment.prices[-1])


def test_it_says_what_is_promised_and_evaluate_takes_it_up(kept: Kept) -> None:
    run, found, _ = kept
    lines = "\n".join(describe_system(found))
    assert "contract: drop at most 15 points at 90 % confidence" in lines
    assert "on 30 rows of the validation split: drop" in lines
    assert "fitted to 30 other rows" in lines
    ledger = run.evaluate(draws=5)
    assert ledger.row(found.policy).reduction > 0
    assert ledger.context["system"] == run.stored_policy().fitted_on["system"]


def test_no_row_is_both_fitted_to_and_calibrated_on(kept: Kept) -> None:
    """Whatever is fitted sees the rows of the fit alone."""
    run, _, seen = kept
    fit, held = parted(N, 0.5, SEED)
    guids = run.trace("validation").guids
    assert seen == {guids[row] for row in fit}
    assert not seen & {guids[row] for row in held}


def test_a_contract_that_nothing_keeps_is_refused_and_what_was_fitted_stays(run: Run) -> None:
    run.fit(lam=0.01)
    before = run.policy_path.read_bytes(), run.fit_path.read_bytes()
    with pytest.raises(ContractRefusedError) as refused:
        run.fit_contract(max_accuracy_drop=11, confidence=0.95, policy="max-softmax-tiers")
    told = str(refused.value)
    assert "no policy is shown to save anything and lose at most 11 points" in told
    assert "on 30 calibration rows" in told
    assert "the nearest, " in told
    assert (run.policy_path.read_bytes(), run.fit_path.read_bytes()) == before


def test_a_contract_on_the_cost_takes_what_loses_least(run: Run) -> None:
    found = run.fit_contract(max_cost=7.0, confidence=0.9)
    promise = promise_in(run.stored_policy().fitted_on)
    assert promise is not None
    assert (promise.max_cost, promise.test) == (7.0, "cost")
    assert promise.calibration.cost <= promise.calibration.cost_bound <= 7.0
    assert promise.calibration.drop is not None
    assert found.contract is not None
    with pytest.raises(ContractRefusedError, match=r"costs .*, perhaps up to"):
        run.fit_contract(max_cost=0.5, confidence=0.9, policy="max-softmax-tiers")


def test_a_contract_on_different_answers_asks_for_no_label(run: Run) -> None:
    """The labels of the calibration rows are turned round, and nothing changes."""
    found = run.fit_contract(max_disagreement=25, confidence=0.8)
    promise = promise_in(run.stored_policy().fitted_on)
    assert promise is not None
    assert promise.test == "disagreement"
    assert promise.calibration.different_bound <= 0.25
    assert found.contract is not None


def test_the_papers_router_can_be_asked_for(run: Run) -> None:
    found = run.fit_contract(max_accuracy_drop=30, confidence=0.6, policy="dimec")
    assert found.policy in ("dimec-fixed-quantile", "dimec-fixed-paper", "all-edge", "all-mobile")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "promises one thing"),
        ({"max_accuracy_drop": 1, "max_cost": 2}, "promises one thing"),
        ({"max_accuracy_drop": 0}, "max_accuracy_drop must be over 0"),
        ({"max_accuracy_drop": 1, "confidence": 1}, "confidence must be from 0.5 to 0.9999"),
        ({"max_disagreement": 100}, "max_disagreement must be over 0 and under 100"),
        ({"max_cost": 0}, "max_cost must be over 0"),
        ({"max_cost": float("inf")}, "max_cost must be over 0"),
        ({"max_cost": 3, "confidence": 0.1}, "confidence must be from"),
        ({"max_accuracy_drop": 20, "calibration_share": 1}, "calibration_share must be"),
        ({"max_accuracy_drop": 20, "calibration_labels": "x"}, "give both"),
        ({"max_accuracy_drop": 20, "policy": "nosuch"}, "no system is named"),
        ({"max_accuracy_drop": 20, "policy": "splitee"}, "goes on learning"),
    ],
)
def test_what_is_no_contract_is_one_line(run: Run, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        run.fit_contract(**options)
    assert not run.policy_path.exists()


def test_too_few_rows_are_told_before_the_work(run: Run) -> None:
    with pytest.raises(DataError, match=r"30 calibration rows .* that takes 598"):
        run.fit_contract(max_accuracy_drop=0.5)


def test_the_fit_is_the_same_again(kept: Kept) -> None:
    run, first, _ = kept
    stored = run.policy_path.read_bytes()
    again = run.fit_contract(max_accuracy_drop=15, confidence=0.9, progress=NoProgress())
    assert again == first
    assert run.policy_path.read_bytes() == stored
    assert np.isfinite(first.reward)
