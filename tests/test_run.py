"""Fit, evaluate and report on a run that was written by hand: no torch, no training."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders import make_trace
from dimec.cartography import TrainingDynamics, build_pools
from dimec.costs import CostModel
from dimec.errors import ConfigError, MismatchError
from dimec.evaluation import replay
from dimec.fitting import DEFAULT_LAMBDA, LAMBDAS, describe_fit
from dimec.latency import ModelShape
from dimec.ledger import Ledger
from dimec.policies import FitInputs, system, systems
from dimec.run import Run, settings_of
from dimec.scenarios import Scenarios
from dimec.storage import read_json, write_json
from dimec.usage import Deployment, tier_usage

EXITS = (1, 2, 3, 6)
MODEL = "c" * 64
N = 60


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run whose samples are easy, medium and hard by thirds, as their embeddings tell.

    Easy samples are right everywhere, medium ones from the second exit on, hard ones at the last
    exit only; the first two embeddings' coordinates give the third away.
    """
    run = Run(tmp_path / "run")
    rng = np.random.default_rng(0)
    third = np.arange(N) % 3
    labels = rng.integers(0, 2, N)
    gold_at = {1: (0.9, 0.6, 0.2), 2: (0.9, 0.8, 0.3), 3: (0.95, 0.85, 0.4), 6: (0.97, 0.9, 0.9)}
    gold = np.stack([np.array(gold_at[layer])[third] for layer in EXITS], axis=1)
    probabilities = np.empty((N, len(EXITS), 2), np.float32)
    rows = np.arange(N)[:, None]
    probabilities[rows, np.arange(len(EXITS)), labels[:, None]] = gold
    probabilities[rows, np.arange(len(EXITS)), 1 - labels[:, None]] = 1 - gold
    centres = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    embeddings = (centres[third] + 0.1 * rng.standard_normal((N, 2))).astype(np.float32)
    for split in ("validation", "test"):
        make_trace(
            N,
            exits=EXITS,
            tiers=(1, 2, 6),
            embeddings=embeddings,
            probabilities=probabilities,
            labels=labels,
            model=MODEL,
            split=split,
        ).save(run.trace_path(split))

    # Medium samples waver over the epochs around their confidence at each exit.
    epochs = np.array([-1.0, 1.0, 0.0])[:, None, None] * np.where(third == 1, 0.3, 0.01)
    p = np.clip(gold.T[None] + epochs, 0.01, 0.99)
    logits = np.zeros((3, len(EXITS), N, 2), np.float32)
    logits[:, :, np.arange(N), labels] = np.log(p / (1 - p))
    guids = tuple(f"test-{i}" for i in range(N))
    run.save_dynamics(TrainingDynamics(logits, labels, EXITS, guids), {"model": MODEL})
    write_json(run.training_path, _record())
    config = {"encoder": {"hidden_size": 2, "intermediate_size": 8}}
    write_json(run.model_path / "config.json", config)
    return run


def _record() -> dict[str, Any]:
    rows = {"train": 480, "validation": N, "test": N}
    return {
        "model": MODEL,
        "task": "csv:x",
        "source": "",
        "backbone": "tiny",
        "exits": list(EXITS),
        "rows": rows,
        "best_epoch": 1,
        "history": [{}, {}, {}],
        "seed": 4,
        "versions": {"torch": "2"},
    }


class TestFit:
    def test_the_pools_are_the_thirds(self, run: Run) -> None:
        result = run.fit(alphas=(0.4,), betas=(0.01,))
        assert result.pools == (20, 20, 20)
        assert result.empty == ()
        assert (result.alpha, result.beta, result.grid) == (0.4, 0.01, "custom")
        assert (result.lam, result.tiers) == (DEFAULT_LAMBDA, (1, 2, 6))
        # Every third goes where it is answered right, and costs what its tier costs.
        assert result.validation_drop == 0
        mobile, edge, cloud = CostModel().for_exits(1, 2, 6)
        assert result.validation_reduction == pytest.approx(1 - (mobile + edge + cloud) / 3 / cloud)

    def test_the_search_is_kept_whole(self, run: Run) -> None:
        result = run.fit(lam=0.02, grid="paper")
        record = run.fit_record()
        search = record["search"]
        rewards = np.array(search["rewards"])
        assert rewards.shape == (len(search["alphas"]), len(search["betas"]))
        assert rewards.max() == pytest.approx(result.reward)
        assert (record["lam"], record["grid"], record["model"]) == (0.02, "paper", MODEL)
        assert np.array(search["shares"]).shape == (*rewards.shape, 3)

    def test_the_router_holds_the_centres_of_the_pools(self, run: Run) -> None:
        result = run.fit()
        pools = build_pools(run.dynamics().data_map(1), result.alpha, result.beta)
        embeddings = run.trace("validation").embeddings.astype(np.float64)
        router = run.router()
        for pool in range(3):
            mine = embeddings[pools == pool]
            if len(mine):
                np.testing.assert_allclose(router.centroids[pool], mine.mean(axis=0))
        assert router.metadata["tiers"] == [1, 2, 6]

    def test_other_tiers_among_the_exits(self, run: Run) -> None:
        result = run.fit(tiers=(2, 3, 6))
        assert result.tiers == (2, 3, 6)
        ledger = run.evaluate(draws=10)
        assert ledger.context["exits"] == [2, 3, 6]
        assert ledger.context["prices"] == list(CostModel().for_exits(2, 3, 6))
        with pytest.raises(ConfigError, match="no exit at layer 4"):
            run.fit(tiers=(2, 4, 6))

    def test_a_cost_model_of_ones_own(self, run: Run) -> None:
        costs = CostModel(
            mobile_layer=1, edge_layer=1, offload_edge=0, offload_cloud=0, cloud_charge=9
        )
        run.fit(cost_model=costs)
        assert run.evaluate(draws=10).context["prices"] == [1, 2, 9]

    def test_an_empty_pool_is_told(self, run: Run) -> None:
        result = run.fit(alphas=(0.4,), betas=(0.5,))
        assert result.pools == (40, 0, 20)
        assert result.empty == ("medium",)
        lines = describe_fit(result)
        assert "pools: 40 easy, 0 medium, 20 hard" in lines
        assert "the medium pool is empty: the edge tier gets no traffic" in lines
        ledger = run.evaluate(draws=10)
        assert ledger.row("dimec-fixed").share_edge == 0
        assert ledger.row("dimec-adaptive").share_edge == 0

    def test_lambda_and_a_wanted_drop_exclude_each_other(self, run: Run) -> None:
        with pytest.raises(ConfigError, match="not both"):
            run.fit(lam=0.01, target_drop=0.01)
        assert not run.router_path.exists()

    @pytest.mark.parametrize("drop", [-0.1, 1.0, float("nan")])
    def test_a_wanted_drop_is_a_fraction(self, run: Run, drop: float) -> None:
        with pytest.raises(ConfigError, match="fraction"):
            run.fit(target_drop=drop)

    @pytest.mark.parametrize("drop", [0.0, 0.34, 0.7])
    def test_a_wanted_drop_is_kept_at_the_least_cost(self, run: Run, drop: float) -> None:
        result = run.fit(target_drop=drop)
        assert result.lam in LAMBDAS
        assert result.validation_drop <= drop
        tried = [run.fit(lam=lam) for lam in LAMBDAS]
        fitting = [other for other in tried if other.validation_drop <= drop]
        assert result.validation_reduction == max(other.validation_reduction for other in fitting)
        assert result.lam == min(
            other.lam
            for other in fitting
            if other.validation_reduction == result.validation_reduction
        )

    def test_a_drop_that_cannot_be_kept_is_told_with_the_nearest(self, run: Run) -> None:
        # All are taken for easy, and the mobile is wrong on the hard third.
        with pytest.raises(ConfigError, match=r"no lambda.*at 1 points; the nearest is 33\.33"):
            run.fit(target_drop=0.01, alphas=(0.0,), betas=(1.0,))
        assert not run.router_path.exists()

    def test_a_fit_that_saves_nothing_says_which_drop_would_save(self, run: Run) -> None:
        # At no cost the second value of α, which no sample reaches, is the best.
        result = run.fit(lam=0, alphas=(0.85, 0.99))
        assert result.validation_reduction < 0.01
        better = run.fit(target_drop=0.01, alphas=(0.85, 0.99))
        assert better.validation_reduction > 0.2
        assert better.advice == ()
        saved = f"reduction {100 * better.validation_reduction:.1f} %"
        told = f"try --target-drop 1: lambda {better.lam:g} has drop 0.00 points, {saved}"
        assert result.advice == (told,)
        assert describe_fit(result)[-1] == told

    def test_it_says_what_a_larger_drop_would_save_where_a_point_does_not(self, run: Run) -> None:
        # The mobile is wrong on the hard third, and no thresholds keep it from them.
        result = run.fit(lam=0, alphas=(0.0, 0.99), betas=(1.0,))
        assert result.validation_reduction == 0
        assert result.advice[-1].startswith("try --target-drop 33.4: lambda ")
        assert run.fit(target_drop=0.334, alphas=(0.0, 0.99), betas=(1.0,)).validation_drop > 0.3

    def test_it_says_which_tier_alone_saves(self, run: Run) -> None:
        result = run.fit(tiers=(6, 6, 6), alphas=(1.0,))
        assert result.advice == (
            "on the validation split the edge tier alone, without a router, has drop 0.00 points, "
            "reduction 5.6 %",
            "no sample's confidence reaches alpha 1, the highest is 0.97; try smaller values with "
            "--alphas",
        )
        assert read_json(run.fit_path, "")["advice"] == list(result.advice)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"grid": "fine"},
            {"alphas": (1.1,)},
            {"alphas": ()},
            {"betas": (-0.1,)},
            {"betas": (float("nan"),)},
            {"lam": -1.0},
        ],
    )
    def test_wrong_options_are_refused_before_anything_is_read(
        self, run: Run, wrong: dict[str, Any]
    ) -> None:
        run.trace_path("validation").unlink()
        with pytest.raises(ConfigError):
            run.fit(**wrong)

    def test_dynamics_of_other_rows_are_refused(self, run: Run) -> None:
        trace = make_trace(
            N, exits=EXITS, tiers=(1, 2, 6), model=MODEL, guids=tuple(f"x-{i}" for i in range(N))
        )
        trace.save(run.trace_path("validation"))
        with pytest.raises(MismatchError, match="differ in rows"):
            run.fit()


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
        deployment = Deployment((1, 2, 6))
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
        assert {name for name in systems() if system(name).needs} == {"bottlenet++", "bottlefit"}
        apart = {"bert-cloud", "bottlenet++", "bottlefit"}
        expected = {n for n in systems() if not n.startswith("dimec-")} - apart
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
        trace, deployment = run.trace("test"), Deployment((1, 2, 6))
        usage = tier_usage(deployment, trace.lengths, np.tile([0.0, 0.0, 1.0], (N, 1)))
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
        before = run.router_path.read_bytes()
        first, second = run.evaluate(draws=10), run.evaluate(draws=10)
        assert first.to_dicts() == second.to_dicts()
        assert run.router_path.read_bytes() == before


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
        with pytest.raises(MismatchError, match="older than the fitted router"):
            run.report()


class TestSettingsOf:
    def test_flat_names_find_their_group(self) -> None:
        values = {"task": "vader/movies", "exits": (1, 2, 4), "epochs": 3, "metric": None}
        settings = settings_of(values, 9)
        assert settings.data.task == "vader/movies"
        assert settings.model.exits == (1, 2, 4)
        assert settings.training.epochs == 3
        assert settings.seed == 9

    def test_an_unknown_name_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="unknown setting 'epoch'"):
            settings_of({"task": "vader/movies", "epoch": 3}, 0)

    def test_no_name_stands_in_two_groups(self) -> None:
        from dimec.config import DataSettings, ModelSettings, TrainingSettings

        names = [
            name
            for group in (DataSettings, ModelSettings, TrainingSettings)
            for name in group.model_fields
        ]
        assert len(names) == len(set(names))


def test_none_of_this_needs_torch() -> None:
    import subprocess

    code = "import sys, dimec.run; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
