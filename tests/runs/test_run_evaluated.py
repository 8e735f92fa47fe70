"""Evaluate a run that was written by hand, and report on it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dimec.base.errors import ConfigError, MismatchError
from dimec.base.storage import read_json, write_json
from dimec.evaluation.ledger import Ledger
from dimec.evaluation.replay import replay
from dimec.policies import FitInputs, system, systems, tagged
from dimec.runs.run import Run
from dimec.tiers.deployment import Deployment
from dimec.tiers.latency import ModelShape
from dimec.tiers.paths import tier_legs, usage_of
from dimec.tiers.scenario_file import Scenarios
from support.builders import make_trace
from support.written import EXITS, MODEL, N, written_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return written_run(tmp_path / "run")


class TestEvaluate:
    def test_the_ledger_has_every_row_and_says_what_it_rests_on(self, run: Run) -> None:
        run.fit(alphas=(0.4,), betas=(0.01,), lam=0.02)
        ledger = run.evaluate(draws=25, seed=3)
        assert Ledger.load(run.report_path) == ledger
        fixed = ledger.row("dimec-fixed")
        assert fixed.drop == 0
        shares = (fixed.share_mobile, fixed.share_edge, fixed.share_cloud)
        assert shares == pytest.approx((1 / 3, 1 / 3, 1 / 3))
        assert ledger.row("all-mobile").accuracy == pytest.approx(2 / 3)
        assert ledger.row("random@dimec-fixed").accuracy < fixed.accuracy
        expected = {
            "task": "csv:x",
            "backbone": "tiny",
            "exits": [1, 2, 6],
            "samples": N,
            "train_rows": 480,
            "alpha": 0.4,
            "beta": 0.01,
            "lam": 0.02,
            "seed": 4,
            "bootstrap_seed": 3,
            "draws": 25,
            "cloud_charge": 6.0,
            "prices": [1.5, 4.5, 9.0],
            "epochs": 3,
        }
        assert {key: ledger.context[key] for key in expected} == expected

    def test_systems_of_the_literature_stand_beside_the_routers(self, run: Run) -> None:
        """Fitted on the validation split, at the λ of the fit, by the registry's own rule."""
        run.fit(lam=0.03)
        alone = run.evaluate(draws=5)
        ledger = run.evaluate(draws=5, systems=("deebert", "max-softmax", "deebert", "random"))
        names = [row.policy for row in ledger.rows]
        *standard, oracle = [row.policy for row in alone.rows]
        assert names == [*standard, "deebert", "max-softmax", oracle]
        deployment = Deployment.paper((1, 2, 6))
        data_map = run.dynamics().data_map(1)
        inputs = FitInputs(run.trace("validation"), deployment, 0.03, data_map)
        fitted = system("deebert").fit(inputs)
        assert ledger.context["systems"]["deebert"] == fitted.settings
        one = replay(fitted.policy, run.trace("test"), deployment)
        assert ledger.row("deebert").accuracy == pytest.approx(one.right.mean())
        assert ledger.row("deebert").cost == pytest.approx(one.cost.mean())

    def test_all_systems_are_those_without_a_training_of_their_own(self, run: Run) -> None:
        run.fit()
        names = {row.policy for row in run.evaluate(draws=5, systems=("all",)).rows}
        trained = {name for name in systems() if system(name).needs}
        assert trained >= {"bottlenet++", "hnd", "pruned-magnitude", "distilled-student"}
        apart = {"bert-cloud"} | trained | {one.name for one in tagged("ours")}
        expected = systems().keys() - apart
        assert expected <= names
        assert not names & apart

    def test_a_system_that_there_is_not_is_named(self, run: Run) -> None:
        run.fit()
        with pytest.raises(ConfigError, match="no system is named 'beert'; there are bert-cloud"):
            run.evaluate(draws=5, systems=("beert",))
        assert not (run.report_path / "ledger.json").exists()

    def test_the_same_policies_in_every_scenario(self, run: Run) -> None:
        run.fit()
        ledger = run.evaluate(draws=5)
        table = read_json(run.report_path / "scenarios.json", "")
        names = Scenarios.load().names
        expected = [(row.policy, name) for row in ledger.rows for name in names]
        assert [(line["policy"], line["scenario"]) for line in table] == expected
        cloud = next(line for line in table if line["policy"] == "all-cloud")
        trace, deployment = run.trace("test"), Deployment.paper((1, 2, 6))
        usage = usage_of(
            tier_legs(deployment, trace.lengths, np.tile([0.0, 0.0, 1.0], (N, 1))), deployment
        )
        price = (
            Scenarios.load()
            .scenario(names[0])
            .price(usage, trace.lengths, ModelShape(width=2, intermediate=8))
        )
        assert cloud["milliseconds"] == pytest.approx(price.milliseconds.mean())

    @pytest.mark.parametrize(
        ("encoder", "shape"),
        [
            ({"hidden_size": 384, "intermediate_size": 1536}, (384, 1536)),
            ({"dim": 768, "hidden_dim": 3072}, (768, 3072)),
            ({"d_model": 512, "d_ff": 2048}, (512, 2048)),
            ({"hidden_size": 10}, (10, 40)),
        ],
    )
    def test_the_shape_of_an_encoder(
        self, run: Run, encoder: dict[str, int], shape: tuple[int, int]
    ) -> None:
        write_json(run.model_path / "config.json", {"encoder": encoder})
        assert run.shape() == ModelShape(*shape)

    def test_the_adaptive_router_follows_a_drift_and_the_fixed_one_does_not(self, run: Run) -> None:
        """Easy texts drift slowly towards the hard pool's centre at (0, 4)."""
        run.fit(alphas=(0.4,), betas=(0.01,))
        embeddings = np.stack([np.zeros(N), np.linspace(0, 2.5, N)], axis=1).astype(np.float32)
        trace = make_trace(N, exits=EXITS, tiers=(1, 2, 6), model=MODEL, embeddings=embeddings)
        trace.save(run.trace_path("test"))
        ledger = run.evaluate(draws=10)
        fixed = (embeddings[:, 1] <= 2.0).mean()
        assert ledger.row("dimec-fixed").share_mobile == pytest.approx(fixed, abs=1 / N)
        mobile = run.router().copy(adaptive=True).route(embeddings) == 0
        adaptive = ledger.row("dimec-adaptive").share_mobile
        assert adaptive == pytest.approx(mobile.mean())
        assert adaptive > fixed + 2 / N

    def test_it_leaves_the_fitted_router_as_it_is(self, run: Run) -> None:
        """The adaptive row learns on a copy, so a second evaluation gives the same ledger."""
        run.fit()
        before = run.policy_path.read_bytes()
        first, second = run.evaluate(draws=10), run.evaluate(draws=10)
        assert first.to_dicts() == second.to_dicts()
        assert run.policy_path.read_bytes() == before


class TestReport:
    def test_the_page_holds_every_policy(self, run: Run) -> None:
        run.fit()
        ledger = run.evaluate(draws=10)
        page = run.report()
        assert page == run.report_path / "report.html"
        html = page.read_text("utf-8")
        for row in ledger.rows:
            assert row.policy in html

    def test_a_ledger_older_than_the_router_is_refused(self, run: Run) -> None:
        run.fit(lam=0.01)
        run.evaluate(draws=10)
        run.fit(lam=0.02)
        with pytest.raises(MismatchError, match="dimec evaluate"):
            run.report()

    def test_a_ledger_of_other_tiers_is_refused(self, run: Run) -> None:
        # One pair of thresholds: the fits agree in all but the edge's exit.
        run.fit(tiers=(1, 2, 6), alphas=[0.6], betas=[0.05])
        run.evaluate(draws=10)
        run.fit(tiers=(1, 3, 6), alphas=[0.6], betas=[0.05])
        with pytest.raises(MismatchError, match="dimec evaluate"):
            run.report()

    def test_a_ledger_of_another_model_is_refused(self, run: Run) -> None:
        run.fit()
        run.evaluate(draws=10)
        path = run.report_path / "ledger-context.json"
        context = json.loads(path.read_text())
        write_json(path, {**context, "model": "d" * 64})
        with pytest.raises(MismatchError, match="older than the fitted policy"):
            run.report()
