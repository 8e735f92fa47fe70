"""Fits for other tiers than the paper's three, on a run that was written by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dimec.base.errors import ConfigError, MismatchError
from dimec.cartography import build_pools
from dimec.runs.fitting import describe_fit
from dimec.runs.run import Run
from dimec.tiers.deployment import Deployment
from support.written import N, written_run

FOUR = {"phone": 1, "gateway": 2, "box": 3, "dc": 6}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return written_run(tmp_path / "run")


def test_two_tiers_are_parted_by_alpha_alone(run: Run) -> None:
    result = run.fit(tiers=(1, 6), alphas=(0.4,))
    assert (result.alpha, result.beta) == (0.4, None)
    assert (result.names, result.pools, result.empty) == (("mobile", "cloud"), (40, 20), ())
    assert "alpha 0.4, mean reward" in describe_fit(result)[1]
    assert "pools: 40 mobile, 20 cloud" in describe_fit(result)
    assert run.fit_record()["beta"] is None
    assert run.deployment() == Deployment.paper((1, 6))


def test_four_tiers_have_four_pools(run: Run) -> None:
    result = run.fit(tiers=FOUR, alphas=(0.4,), betas=(0.01, 0.5))
    assert result.names == tuple(FOUR)
    assert isinstance(result.beta, tuple)
    pools = build_pools(run.dynamics().data_map(1), result.alpha, result.beta)
    assert result.pools == tuple(np.bincount(pools, minlength=4).tolist())
    assert result.pools[3] == 20
    assert run.router().counts.tolist() == list(result.pools)
    for name in result.empty:
        told = f"the {name} pool is empty: the {name} tier gets no traffic"
        assert told in describe_fit(result)
    search = run.fit_record()["search"]
    assert np.array(search["rewards"]).shape == (1, 3)
    assert np.array(search["shares"]).shape == (1, 3, 4)
    ledger = run.evaluate(draws=5)
    assert [row.policy for row in ledger.rows][:4] == [f"all-{name}" for name in FOUR]
    assert ledger.context["prices"] == [1.5, 2 + 2.5, 3 + 2.5, 9]


def test_one_tier_keeps_everything_and_wants_no_advice(run: Run) -> None:
    result = run.fit(tiers=(6,))
    assert (result.alpha, result.beta, result.pools, result.advice) == (None, None, (N,), ())
    assert run.evaluate(draws=5).row("dimec-fixed").shares == {"mobile": 1.0}


def test_a_wanted_drop_goes_by_the_last_tier(run: Run) -> None:
    result = run.fit(tiers=FOUR, target_drop=0.0)
    assert result.validation_drop <= 0
    with pytest.raises(ConfigError, match="or deepen the phone's exit"):
        run.fit(tiers={"phone": 1, "dc": 6}, target_drop=0.01, alphas=(0.0,))


def test_advice_names_the_tiers(run: Run) -> None:
    result = run.fit(tiers=FOUR, lam=0, alphas=(0.99,))
    assert result.validation_reduction < 0.01
    assert any("the box tier alone" in line or "try" in line for line in result.advice)


def test_prices_of_single_tiers_replace_the_structure(run: Run) -> None:
    run.fit(tiers=FOUR, tier_prices={"box": (0.5, 1.0, 0.25)})
    box = run.deployment().tiers[2]
    assert (box.layer_price, box.send_price, box.visit_price) == (0.5, 1.0, 0.25)
    assert run.stored_policy().fitted_on["costs"] is None
    ledger = run.evaluate(draws=5)
    assert ledger.context["costs"] is None
    assert ledger.row("all-box").cost == 0.5 * 3 + 1.0 + 0.25


def test_settings_that_name_other_tiers_than_the_traces_have_are_refused(run: Run) -> None:
    run.config_path.write_text('[data]\ntask = "csv:x"\n[model.tiers]\nphone = 1\ndc = 6\n')
    with pytest.raises(MismatchError, match="names the tiers phone, dc, the traces have 3"):
        run.fit()
    config = '[data]\ntask = "csv:x"\n[model.tiers]\nphone = 1\nbox = 2\ndc = 6\n'
    run.config_path.write_text(config)
    assert run.fit().names == ("phone", "box", "dc")
