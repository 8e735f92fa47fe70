"""The curves of a run that was written by hand: which there are, and where its own point lies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dimec.base.errors import CorruptArtefactError
from dimec.base.progress import NoProgress
from dimec.base.storage import write_json
from dimec.contract.promise import Calibrated, Promise
from dimec.evaluation.curves import FILE, Curve, Curves
from dimec.evaluation.ledger import LedgerRow
from dimec.policies import FitInputs, RouterPolicy, system
from dimec.policies.candidates import candidates_of
from dimec.policies.kinds import StoredPolicy
from dimec.policies.ladder import LAMBDAS, knob_of
from dimec.routing import SingleTierRouter
from dimec.runs.run import Run
from dimec.runs.workspace import fitted_deployment
from support.written import written_run

PROMISE = Promise(
    max_accuracy_drop=0.5,
    max_disagreement=None,
    max_cost=None,
    confidence=0.95,
    test="exact",
    calibration=Calibrated(30, True, 0.0, 0.004, 0.0, 0.01, 6.0, 6.5, 0.3),
    fitted_rows=30,
    source="half of the validation split",
    tried=24,
    accepted=3,
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return written_run(tmp_path / "run")


def by_name(run: Run) -> dict[str, Curve]:
    return {curve.policy: curve for curve in Curves.load(run.report_path).curves}


def assert_on(curve: Curve, row: LedgerRow, lam: float) -> None:
    """The run's own row is a point of the curve: at its λ, or before it where that chose alike."""
    [*_, mine] = [one for one in curve.points if one.lam is not None and one.lam <= lam]
    assert (mine.accuracy, mine.cost, mine.drop) == (row.accuracy, row.cost, row.drop)
    assert (mine.drop_low, mine.drop_high) == (row.drop_low, row.drop_high)


class TestWhich:
    def test_the_router_has_one_and_its_own_point_is_on_it(self, run: Run) -> None:
        run.fit(lam=0.0123)
        row = run.evaluate(draws=20).row("dimec-fixed")
        assert list(by_name(run)) == ["dimec-fixed"]
        assert_on(by_name(run)["dimec-fixed"], row, 0.0123)

    def test_the_router_keeps_the_grid_that_it_was_fitted_with(self, run: Run) -> None:
        run.fit(grid="paper")
        run.evaluate(draws=5)
        grids = {one.settings["grid"] for one in by_name(run)["dimec-fixed"].points}
        assert grids == {"paper"}

    def test_the_fitted_system_stands_beside_the_router(self, run: Run) -> None:
        run.fit(policy="cascade", lam=0.0123)
        row = run.evaluate(draws=20).row("cascade")
        assert list(by_name(run)) == ["dimec-fixed", "cascade"]
        cascade = by_name(run)["cascade"]
        assert [one.lam for one in cascade.points] == sorted([*LAMBDAS, 0.0123])
        assert (cascade.knob, cascade.title) == ("lambda", "Cascade")
        assert_on(cascade, row, 0.0123)

    def test_points_are_chosen_by_rows_that_their_fits_had_not_seen(self, run: Run) -> None:
        run.fit(policy="cascade")
        run.evaluate(draws=5, seed=3)
        stored = run.stored_policy()
        deployment = fitted_deployment(stored)
        inputs = FitInputs(run.trace("validation"), deployment, 0.02)
        lambdas = sorted({*LAMBDAS, 0.02})
        reference = inputs.validation.correct[:, -1].mean()
        for point, each in zip(
            by_name(run)["cascade"].points,
            candidates_of(system("cascade"), inputs, 3, lambdas),
            strict=True,
        ):
            right = (each.did.classes == inputs.validation.labels).mean()
            assert point.validation_drop == pytest.approx(reference - right)
            saved = 1 - each.did.cost.mean() / deployment.prices[-1]
            assert point.validation_reduction == pytest.approx(saved)

    def test_every_system_that_is_named_and_has_a_knob(self, run: Run) -> None:
        run.fit(policy="deebert")
        ledger = run.evaluate(draws=20, systems=("max-softmax", "random", "splitee", "deebert"))
        curves = by_name(run)
        assert list(curves) == ["dimec-fixed", "deebert", "max-softmax", "splitee"]
        assert {curve.knob for curve in curves.values()} == {"lambda", "threshold"}
        thresholds = [one.settings["threshold"] for one in curves["deebert"].points]
        assert thresholds == list(system("deebert").grid["threshold"])
        chosen = ledger.context["settings"]["threshold"]
        mine = curves["deebert"].points[thresholds.index(chosen)]
        assert mine.accuracy == ledger.row("deebert").accuracy
        assert mine.cost == ledger.row("deebert").cost

    def test_all_systems(self, run: Run) -> None:
        run.fit()
        ledger = run.evaluate(draws=5, systems=("all",))
        named = [name for name in ledger.context["systems"] if knob_of(system(name))]
        assert list(by_name(run)) == ["dimec-fixed", *named]

    @pytest.mark.parametrize(("kind", "beside"), [("fixed", []), ("adaptive", ["dimec-fixed"])])
    def test_the_router_as_a_system_stands_for_itself(
        self, run: Run, kind: str, beside: list[str]
    ) -> None:
        run.fit(policy=f"dimec-{kind}-quantile")
        run.evaluate(draws=5)
        assert list(by_name(run)) == [*beside, f"dimec-{kind}-quantile"]

    def test_a_policy_without_a_knob_has_none(self, run: Run) -> None:
        run.fit(policy="bert-cloud")
        run.evaluate(draws=5)
        assert list(by_name(run)) == ["dimec-fixed"]

    def test_tiers_and_oracle_are_those_of_the_ledger(self, run: Run) -> None:
        run.fit()
        ledger = run.evaluate(draws=20, seed=3)
        curves = Curves.load(run.report_path)
        rows = [ledger.row(f"all-{name}") for name in ledger.tiers] + [ledger.row("oracle")]
        for one, row in zip([*curves.tiers, curves.oracle], rows, strict=True):
            assert (one.accuracy, one.cost, one.drop) == (row.accuracy, row.cost, row.drop)
        assert (curves.draws, curves.seed) == (20, 3)

    @pytest.mark.parametrize("tiers", [(2, 6), (6,), {"a": 1, "b": 2, "c": 3, "d": 6}])
    def test_other_numbers_of_tiers(
        self, run: Run, tiers: tuple[int, ...] | dict[str, int]
    ) -> None:
        run.fit(tiers=tiers)
        run.evaluate(draws=5, systems=("max-softmax",))
        curves = Curves.load(run.report_path)
        assert len(curves.tiers) == len(tiers)
        assert {curve.policy for curve in curves.curves} == {"dimec-fixed", "max-softmax"}
        shares = [curves.area_share(curve) for curve in curves.curves]
        assert (shares == [None, None]) == (len(tiers) == 1)


class Told(NoProgress):
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.said: list[tuple[str, int]] = []

    def start(self, stage: str, total: int) -> None:
        self.said.append((stage, total))

    def advance(self, steps: int, note: str = "") -> None:
        self.said.append((note, steps))


def test_the_work_on_each_is_told(run: Run) -> None:
    run.fit(policy="deebert")
    progress = Told()
    run.evaluate(draws=5, systems=("pabee",), progress=progress)
    assert progress.said == [("curves", 3), ("dimec-fixed", 1), ("deebert", 1), ("pabee", 1)]


class Interrupted(NoProgress):
    """A user who loses patience when the curves begin."""

    def start(self, stage: str, total: int) -> None:
        raise KeyboardInterrupt(stage)


class TestFiles:
    def test_they_are_left_out_where_they_are_not_wanted(self, run: Run) -> None:
        """Those of an earlier ledger go too: they would be of another policy."""
        run.fit()
        with_curves = run.evaluate(draws=5)
        assert Curves.stored(run.report_path)
        assert run.evaluate(draws=5, curves=False).rows == with_curves.rows
        assert not Curves.stored(run.report_path)

    def test_an_interruption_leaves_no_old_ones_beside_a_new_ledger(self, run: Run) -> None:
        run.fit()
        run.evaluate(draws=5)
        with pytest.raises(KeyboardInterrupt, match="curves"):
            run.evaluate(draws=5, seed=1, progress=Interrupted())
        assert not Curves.stored(run.report_path)
        assert run.report().is_file()

    def test_the_same_run_has_the_same_bytes(self, run: Run) -> None:
        run.fit(policy="cascade")
        found = []
        for _ in range(2):
            run.evaluate(draws=5, systems=("splitee",))
            run.report()
            names = (FILE, "accuracy_cost.svg", "accuracy_cost.csv", "report.html")
            found.append([(run.report_path / name).read_bytes() for name in names])
        assert found[0] == found[1]

    def test_damaged_ones_are_named_by_the_report(self, run: Run) -> None:
        run.fit()
        run.evaluate(draws=5)
        write_json(run.report_path / FILE, {"curves": 3})
        with pytest.raises(CorruptArtefactError, match=r"curves\.json holds no curves"):
            run.report()


class TestContract:
    def test_it_reaches_the_ledger_and_the_page(self, run: Run) -> None:
        run.fit(policy="cascade")
        stored = run.stored_policy()
        told = {"contract": PROMISE.to_json(), "chosen": {"system": "cascade", "lam": 0.02}}
        replace(stored, fitted_on={**stored.fitted_on, **told}).save(run.path)
        context = run.evaluate(draws=5).context
        assert {key: context[key] for key in told} == told
        page = run.report().read_text("utf-8")
        assert "drop at most 0.5 points at 95 % confidence, on 30 calibration rows" in page

    def test_without_one_nothing_is_said_of_any(self, run: Run) -> None:
        run.fit(policy="cascade")
        assert not run.evaluate(draws=5).context.keys() & {"contract", "chosen"}
        assert "contract" not in run.report().read_text("utf-8")

    def test_a_tier_alone_may_be_what_keeps_it(self, run: Run) -> None:
        """It has its row and no curve, and the page is about it."""
        run.fit(policy="cascade")
        stored = run.stored_policy()
        told = {"contract": PROMISE.to_json(), "system": "single", "settings": {}}
        alone = RouterPolicy("all-edge", SingleTierRouter(1))
        StoredPolicy(alone, {**stored.fitted_on, **told}).save(run.path)
        ledger = run.evaluate(draws=5)
        assert [row.policy for row in ledger.rows].count("all-edge") == 1
        assert list(by_name(run)) == ["dimec-fixed"]
        page = run.report().read_text("utf-8")
        assert "all-edge saves 50.0 % of the cost" in page
        assert "all-edge was not fitted to pools" in page
