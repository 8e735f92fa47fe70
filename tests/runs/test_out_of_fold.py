"""Policies fitted to rows out of fold beside those of the validation split; no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import DataError, MissingArtefactError
from dimec.base.progress import NoProgress
from dimec.base.storage import write_json
from dimec.contract.promise import promise_in
from dimec.policies.candidates import Candidate, candidates_of
from dimec.policies.registry import FitInputs, System, system
from dimec.runs.calibration import Calibration, parted, refuse_fitted
from dimec.runs.contract_fit import fit_contract
from dimec.runs.contracting import Wanted
from dimec.runs.deploying import basis_of
from dimec.runs.out_of_fold import FOLD, guids_fitted_to, usable, widened
from dimec.runs.run import Run
from dimec.runs.system_fit import describe_system
from dimec.traces.stacking import stack
from support.written import N, written_run

M = 90  # rows out of fold


def cross_fitted(folder: Path, *, alike: bool = True) -> Run:
    """The written run, with rows out of fold: rows like its own, and no two alike."""
    run = written_run(folder)
    one, rng, rows = run.trace("test"), np.random.default_rng(7), np.arange(M) % N
    shift = rng.uniform(-0.04, 0.04, (M, 4, 1)) * np.array([1, -1])
    replace(
        one,
        split="out-of-fold",
        embeddings=one.embeddings[rows],
        probabilities=np.clip(one.probabilities[rows] + shift, 0.0, 1.0).astype(np.float32),
        labels=one.labels[rows],
        lengths=one.lengths[rows],
        guids=tuple(f"train-{row}" for row in range(M)),
        extra={FOLD: (np.arange(M) % 3).astype(np.float64)},
    ).save(run.out_of_fold_path)
    write_json(run.training_path, {**run.training(), "cross_fit": {"folds": 3, "alike": alike}})
    return run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return cross_fitted(tmp_path / "run")


@pytest.fixture
def unlike(tmp_path: Path) -> Run:
    return cross_fitted(tmp_path / "run", alike=False)


def _policy(run: Run) -> tuple[Any, ...]:
    stored: Any = run.stored_policy().policy
    arrays = {name: array.tolist() for name, array in stored.arrays().items()}
    return stored.settings(), arrays


def _fitted(run: Run) -> Run:
    run.fit(policy="cascade", lam=0.01)
    return run


class TestFit:
    def test_a_policy_is_fitted_to_both(self, run: Run) -> None:
        found = run.fit(policy="cascade", lam=0.01)
        rows = {"validation": N, "out-of-fold": M}
        assert run.fit_record()["fitted_rows"] == rows
        assert run.stored_policy().fitted_on["fitted_rows"] == rows
        out_of_fold = run.out_of_fold()
        assert out_of_fold is not None
        basis = basis_of(run, None, None, None)
        both = stack([basis.trace, out_of_fold])
        assert len(both) == N + M
        wanted = system("cascade").fit(FitInputs(both, basis.deployment, 0.01))
        policy: Any = wanted.policy
        assert _policy(run) == (
            policy.settings(),
            {name: array.tolist() for name, array in policy.arrays().items()},
        )
        assert found.reward == wanted.reward
        told = "\n".join(describe_system(found))  # type: ignore[arg-type]
        assert f"on the {N} validation and {M} out-of-fold rows that it was fitted on" in told

    def test_one_that_needs_the_data_map_keeps_to_the_validation_split(self, run: Run) -> None:
        found = run.fit(policy="dimec-fixed-quantile")
        assert run.fit_record()["fitted_rows"] == {"validation": N, "out-of-fold": 0}
        lines = describe_system(found)  # type: ignore[arg-type]
        assert [line for line in lines if "the data map is of the validation split alone" in line]
        run.fit()  # the router
        assert "fitted_rows" not in run.stored_policy().fitted_on

    def test_where_they_are_not_alike_the_fit_is_that_without(
        self, unlike: Run, tmp_path: Path
    ) -> None:
        found = unlike.fit(policy="cascade", lam=0.01)
        plain = written_run(tmp_path / "plain")
        plain.fit(policy="cascade", lam=0.01)
        assert _policy(unlike) == _policy(plain)
        assert _policy(unlike) != _policy(_fitted(cross_fitted(tmp_path / "alike")))
        assert unlike.fit_record()["fitted_rows"] == {"validation": N, "out-of-fold": 0}
        lines = describe_system(found)  # type: ignore[arg-type]
        assert [line for line in lines if "are not like the final one" in line]
        assert "fitted_rows" not in plain.stored_policy().fitted_on
        said: list[str] = []
        assert usable(unlike, said.append) is None
        assert len(said) == 1

    def test_a_run_that_is_not_finished_is_refused(self, run: Run, tmp_path: Path) -> None:
        record = run.training()
        del record["cross_fit"]
        write_json(run.training_path, record)
        run.config_path.write_text('[data]\ntask = "csv:x"\n[distillation]\ncross_fit = 3\n')
        with pytest.raises(MissingArtefactError, match="trained and not yet cross-fitted"):
            run.fit(policy="cascade")
        assert not run.policy_path.exists()


class TestEvaluate:
    def test_rivals_and_curves_are_fitted_alike(self, run: Run) -> None:
        run.fit(policy="cascade", lam=0.01)
        ledger = run.evaluate(draws=5, systems=("max-softmax-tiers",))
        assert ledger.context["fitted_rows"] == {"validation": N, "out-of-fold": M}
        basis = basis_of(run, None, None, None)
        inputs = FitInputs(basis.trace, basis.deployment, 0.01, basis.data_map)
        both = widened(inputs, usable(run), "max-softmax-tiers")
        wanted = system("max-softmax-tiers").fit(both)
        assert ledger.context["systems"]["max-softmax-tiers"] == dict(wanted.settings)
        from dimec.evaluation.curves import Curves

        curves = {one.policy: one for one in Curves.load(run.report_path).curves}
        assert list(curves) == ["dimec-fixed", "cascade", "max-softmax-tiers"]
        row = ledger.row("cascade")
        assert (row.accuracy, row.cost) in {(p.accuracy, p.cost) for p in curves["cascade"].points}
        assert run.report().is_file()


class TestContract:
    def test_it_is_fitted_out_of_fold_and_calibrated_on_all_of_the_validation_split(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: set[str] = set()

        def watched(one: System, inputs: FitInputs, seed: int) -> list[Candidate]:
            seen.update(inputs.validation.guids)
            return candidates_of(one, inputs, seed)

        monkeypatch.setattr("dimec.runs.contracting.candidates_of", watched)
        found = run.fit_contract(max_accuracy_drop=15, confidence=0.9, policy="cascade")
        promise = promise_in(run.stored_policy().fitted_on)
        assert promise is not None
        assert (promise.fitted_rows, promise.calibration.rows) == (M, N)
        assert seen == {f"train-{row}" for row in range(M)}
        assert found.fitted_rows == {"validation": 0, "out-of-fold": M}

    @pytest.mark.parametrize("share", [0.25, 0.5])
    def test_a_share_calibrates_and_the_rest_is_fitted_to(self, run: Run, share: float) -> None:
        found = run.fit_contract(
            max_accuracy_drop=30, confidence=0.8, policy="cascade", calibration_share=share
        )
        fit, held = parted(N, share, int(run.training()["seed"]))
        promise = promise_in(run.stored_policy().fitted_on)
        assert promise is not None
        assert (promise.fitted_rows, promise.calibration.rows) == (M + len(fit), len(held))
        assert found.fitted_rows == {"validation": len(fit), "out-of-fold": M}

    def test_beside_rows_of_one_s_own_all_others_are_fitted_to(self, run: Run) -> None:
        basis = basis_of(run, None, None, None)
        trace = replace(basis.trace, guids=tuple(f"own-{row}" for row in range(N)))
        own = Calibration(trace, trace.labels, "rows of mine")
        wanted = Wanted(max_accuracy_drop=20, confidence=0.9)
        found = fit_contract(run, basis, wanted, "cascade", None, own, NoProgress())
        assert found.fitted_rows == {"validation": N, "out-of-fold": M}

    def test_the_paper_s_router_and_unlike_rows_leave_it_as_it_was(
        self, run: Run, tmp_path: Path
    ) -> None:
        run.fit_contract(max_accuracy_drop=30, confidence=0.6, policy="dimec")
        other = cross_fitted(tmp_path / "unlike", alike=False)
        other.fit_contract(max_accuracy_drop=30, confidence=0.6, policy="cascade")
        for one in (run, other):
            promise = promise_in(one.stored_policy().fitted_on)
            assert promise is not None
            assert (promise.fitted_rows, promise.calibration.rows) == (N // 2, N // 2)

    def test_a_row_out_of_fold_never_calibrates(self, run: Run) -> None:
        out_of_fold = run.out_of_fold()
        assert out_of_fold is not None
        calibration = Calibration(out_of_fold, out_of_fold.labels, "x")
        with pytest.raises(DataError, match="a row of the training split"):
            refuse_fitted(calibration, guids_fitted_to(out_of_fold))


def test_other_tiers_are_fitted_to_both(run: Run) -> None:
    run.fit(policy="max-softmax-tiers", tiers=(2, 6))
    assert run.fit_record()["fitted_rows"] == {"validation": N, "out-of-fold": M}
