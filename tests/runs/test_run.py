"""Fit a run that was written by hand: no torch, no training."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import ConfigError, MismatchError
from dimec.base.storage import read_json
from dimec.cartography import build_pools
from dimec.runs.fitting import DEFAULT_LAMBDA, LAMBDAS, describe_fit
from dimec.runs.run import Run
from dimec.runs.train import settings_of
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from support.builders import make_trace
from support.written import EXITS, MODEL, N, written_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return written_run(tmp_path / "run")


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
        assert run.deployment() == Deployment.paper((1, 2, 6))

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
        assert not run.policy_path.exists()

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
        assert not run.policy_path.exists()

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
        from dimec.settings.data import DataSettings
        from dimec.settings.model import ModelSettings
        from dimec.settings.training import TrainingSettings

        names = [
            name
            for group in (DataSettings, ModelSettings, TrainingSettings)
            for name in group.model_fields
        ]
        assert len(names) == len(set(names))


def test_none_of_this_needs_torch() -> None:
    import subprocess

    code = "import sys, dimec.runs.run; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
