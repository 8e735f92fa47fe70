"""Fit, evaluate and report on a run whose tiers have a model each, written by hand."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import ConfigError, MismatchError, MissingArtefactError
from dimec.base.progress import NoProgress
from dimec.base.storage import read_json, write_json
from dimec.evaluation.evaluate import evaluate
from dimec.evaluation.ledger import Ledger
from dimec.evaluation.replay import standard_policies
from dimec.policies import FitInputs, system
from dimec.report import ledger_text
from dimec.runs.fitting import describe_fit
from dimec.runs.inspecting import inspected
from dimec.runs.own_tiers import computing_of, layer_profiles, text_tiers
from dimec.runs.run import Run
from dimec.runs.system_fit import describe_system
from dimec.tiers.computing import ByProfiles
from dimec.tiers.deployment import Deployment
from dimec.tiers.latency import LayerProfile, ModelShape
from dimec.tiers.paths import tier_legs, usage_of
from dimec.tiers.pricing import Pricing
from dimec.tiers.scenario_file import Scenarios
from dimec.traces.joining import join
from dimec.traces.trace import Trace
from support.written import written_run
from support.written_own import TIERS, N, Own, written_own_run

SMALL = 19 / 74  # a layer of 384 numbers against one of 768, see tests/tiers/test_pricing.py
EQUAL = {name: replace(one, width=384, words="bert") for name, one in TIERS.items()}


class Told(NoProgress):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return written_own_run(tmp_path / "own")


class TestWhatAReaderIsTold:
    def test_an_exit_goes_by_the_name_of_its_tier(self, run: Run) -> None:
        assert describe_fit(run.fit())[0] == (
            "exits phone 2, edge 6, cloud 4; lambda 0.02; grid quantile"
        )
        found = run.fit(policy="cascade", tiers={"phone": 1, "cloud": 4}, lam=0.01)
        told = describe_system(found)  # type: ignore[arg-type]
        assert told[0] == "cascade; exits phone 1, cloud 4; lambda 0.01"

    def test_what_a_tier_lacks_is_made_by_training_the_whole_run(self, run: Run) -> None:
        """Nobody trains the run directory of a tier."""
        edge = run.tier_runs()["edge"]
        assert edge.told == f"the tier edge of {run.path}"
        assert edge.typed == run.typed == run.told
        edge.training_path.unlink()
        with pytest.raises(MissingArtefactError, match=r"tiers.edge.training\.json") as refused:
            edge.training()
        assert f"dimec train --out {run.path} (again" in str(refused.value)


class TestFit:
    def test_the_tiers_are_those_of_training_at_their_operations(self, run: Run) -> None:
        result = run.fit()
        assert (result.names, result.tiers) == (("phone", "edge", "cloud"), (2, 6, 4))
        deployment = run.deployment()
        assert deployment.sources == deployment.names
        prices = [3 * SMALL, 2.5 + 6 * SMALL, 1.5 * 4]
        assert deployment.prices == pytest.approx(prices, rel=1e-14)
        assert deployment.pricing is not None
        assert deployment.pricing.shapes == {
            name: ModelShape.of_width(tier.width) for name, tier in TIERS.items()
        }
        assert run.stored_policy().fitted_on["pricing"] == deployment.pricing.to_json()

    def test_by_layers_a_layer_is_a_layer(self, run: Run) -> None:
        run.fit(price_by="layers")
        assert run.deployment().prices == (3.0, 8.5, 6.0)

    def test_tiers_are_chosen_by_name_with_an_exit_of_their_own(self, run: Run) -> None:
        """Then the last of them is what the others are measured against."""
        run.fit(tiers={"phone": 1, "edge": 3})
        assert run.deployment().exits == (1, 3)
        assert run.deployment().prices == (1.5, 3 + (1.5 * 3 - 3))
        run.fit(policy="cascade", tiers={"phone": 2, "cloud": 4})
        assert run.deployment().prices == pytest.approx((3 * SMALL, 6.0), rel=1e-14)

    def test_prices_that_are_set_stand(self, run: Run) -> None:
        run.fit(tier_prices={"edge": (1.0, 2.0, 0.5)})
        deployment = run.deployment()
        assert deployment.prices == pytest.approx((3 * SMALL, 8.5, 6.0), rel=1e-14)
        assert deployment.pricing is not None
        assert deployment.pricing.set_apart == ("edge",)

    @pytest.mark.parametrize(
        ("tiers", "said"),
        [
            ((2, 6, 4), r"told by name, as in phone=2,edge=6,cloud=4"),
            ({"phone": 2, "box": 4}, r"expected the tiers phone, edge, cloud for tiers, got 'box'"),
            ({"edge": 6, "cloud": 4}, r"texts arrive at phone, .* got edge, cloud"),
            ({"phone": 2, "cloud": 4, "edge": 6}, r"follow as they were trained, phone, edge, clo"),
            ({"phone": 2, "edge": 4}, r"the model of edge has no exit at layer 4; it has 3, 6"),
            ({"phone": 0, "edge": 6}, r"the model of phone has no exit at layer 0; it has 1, 2"),
            ({"phone": "2", "edge": 6}, r"no exit at layer '2'"),
            ({}, r"texts arrive at phone, .* got none"),
        ],
    )
    def test_what_no_tiers_are(self, run: Run, tiers: Any, said: str) -> None:
        with pytest.raises(ConfigError, match=said) as refused:
            run.fit(tiers=tiers)
        assert "\n" not in str(refused.value)
        assert not run.policy_path.exists()

    def test_another_rule_is_refused_on_any_run(self, run: Run, tmp_path: Path) -> None:
        for one in (run, written_run(tmp_path / "one")):
            with pytest.raises(ConfigError, match="price_by: expected layers or operations"):
                one.fit(price_by="weight")  # type: ignore[call-overload]

    def test_models_that_are_not_there_are_named(self, run: Run) -> None:
        config = run.config_path.read_text("utf-8").replace('"edge"', '"box"')
        run.config_path.write_text(config, "utf-8")
        run.tiers_path.joinpath("edge").rename(run.tiers_path / "box")
        with pytest.raises(MismatchError, match=r"there is no model of 'edge'; train again"):
            run.fit()

    def test_a_contract_takes_what_may_be_served_there(self, run: Run) -> None:
        told = Told()
        found = run.fit_contract(max_accuracy_drop=20, price_by="layers", progress=told)
        assert found.names == ("phone", "edge", "cloud")
        assert found.unserved == ""
        assert found.contract is not None
        assert run.deployment().prices == (3.0, 8.5, 6.0)
        assert any(re.match("left out: .*deebert", line) for line in told.lines)
        with pytest.raises(ConfigError, match="texts arrive at phone"):
            run.fit_contract(max_accuracy_drop=20, tiers={"cloud": 4})


class TestEvaluate:
    def test_the_ledger_says_which_models_and_how_they_are_priced(self, run: Run) -> None:
        run.fit()
        ledger = run.evaluate(draws=5, curves=False)
        assert ledger.tiers == ("phone", "edge", "cloud")
        assert ledger.context["models"] == {name: one.model for name, one in TIERS.items()}
        assert ledger.context["pricing"] == run.stored_policy().fitted_on["pricing"]
        assert Ledger.load(run.report_path).context["layer_profiles"]["cloud"] == "minilm-l6"
        said = " ".join(ledger_text(ledger).split())
        assert "exits phone 2 of minilm-l6, edge 6 of minilm-l6, cloud 4 of mpnet-base" in said
        assert "a layer of the cloud, at 128 tokens: phone 0.257, edge 0.257, cloud 1." in said

    def test_all_systems_are_told_of_or_have_a_row(self, run: Run) -> None:
        run.fit(policy="cascade")
        told = Told()
        ledger = run.evaluate(draws=5, systems=("all",), curves=False, progress=told)
        rows = {row.policy for row in ledger.rows}
        assert {"exit-cascade", "class-gate", "deferral", "knn", "cats", "cascade"} <= rows
        told_names = [line.removeprefix("left out: ").split(" (")[0] for line in told.lines]
        left = {name for names in told_names for name in names.split(", ")}
        assert {"bert-mobile", "deebert", "splitee", "neurosurgeon-latency", "dimee"} <= left
        assert not left & rows
        assert all("cuts one model" in line for line in told.lines)
        with pytest.raises(ConfigError, match=r"early exit .* cuts one model"):
            run.evaluate(draws=5, systems=("deebert",), curves=False)

    def test_curves_go_by_the_same_prices(self, run: Run) -> None:
        run.fit(policy="cascade")
        ledger = run.evaluate(draws=5)
        stored = read_json(run.report_path / "curves.json", "")
        assert [one["policy"] for one in stored["curves"]] == ["dimec-fixed", "cascade"]
        costs = [ledger.row(f"all-{name}").cost for name in TIERS]
        assert [point["cost"] for point in stored["tiers"]] == pytest.approx(costs)

    def test_scenarios_go_by_each_tiers_own_model_words_and_text(self, run: Run) -> None:
        run.fit()
        run.evaluate(draws=5, curves=False)
        table = read_json(run.report_path / "scenarios.json", "")
        told = {row["policy"]: row for row in table if row["scenario"] == "phone-wifi"}
        trace, deployment = run.trace("test"), run.deployment()
        # The edge shares the phone's words, the cloud does not: its texts go as 10 to 69 bytes.
        assert text_tiers(run, deployment) == [2]
        computing = computing_of(run, trace, deployment)
        assert isinstance(computing, ByProfiles)
        expected = np.arange(N)[:, None] % 20 + [3, 4, 5]
        np.testing.assert_array_equal(computing.lengths, expected)
        assert computing.looks == 1.0
        scenario = Scenarios.load().scenario("phone-wifi")
        for k, name in enumerate(TIERS):
            weights = np.zeros((N, 3))
            weights[:, k] = 1
            usage = usage_of(tier_legs(deployment, trace.lengths, weights), deployment)
            usage = usage.sending(np.arange(10.0, 10.0 + N), [2])
            cost = scenario.price_of(usage, computing)
            assert told[f"all-{name}"]["milliseconds"] == pytest.approx(cost.milliseconds.mean())
            assert told[f"all-{name}"]["usd_per_1000"] == pytest.approx(1e3 * cost.money.mean())

    def test_without_their_bytes_texts_count_four_bytes_a_token(self, run: Run) -> None:
        run.fit()
        run.evaluate(draws=5, curves=False)
        with_bytes = read_json(run.report_path / "scenarios.json", "")
        trace = run.trace("test")
        replace(trace, extra={}).save(run.trace_path("test"))
        run.evaluate(draws=5, curves=False)
        differ = {
            one["policy"]
            for one, two in zip(
                with_bytes, read_json(run.report_path / "scenarios.json", ""), strict=True
            )
            if one["milliseconds"] != two["milliseconds"]
        }
        assert "all-cloud" in differ
        assert not differ & {"all-phone", "all-edge"}

    def test_a_layer_profile_in_a_tiers_folder_is_taken(self, run: Run) -> None:
        mine = replace(LayerProfile.packaged("minilm-l6"), backbone="mine")
        mine.save(run.tiers_path / "cloud" / "layer-profile.json")
        named = {name: one.backbone for name, one in layer_profiles(run).items()}
        assert named == {"phone": "minilm-l6", "edge": "minilm-l6", "cloud": "mine"}

    def test_a_tiers_trace_of_other_texts_is_refused(self, run: Run) -> None:
        run.fit()
        cloud = run.tier_runs()["cloud"]
        cloud.trace("test").take(np.arange(1, N)).save(cloud.trace_path("test"))
        with pytest.raises(MismatchError, match="lacks the text 'test-0' of the joined trace"):
            run.evaluate(draws=5, curves=False)


class TestReport:
    def test_the_page_tells_models_exits_and_prices(self, run: Run) -> None:
        run.fit()
        run.evaluate(draws=5)
        page = run.report().read_text("utf-8")
        assert "Models phone 2 of minilm-l6, edge 6 of minilm-l6, cloud 4 of mpnet-base" in page
        assert "The price of a layer is the paper&#x27;s, times its operations" in page
        rows = (run.report_path / "tiers.csv").read_text("utf-8").splitlines()
        accuracies = run.trace("test").correct.mean(axis=0).tolist()
        exits = ["0,phone,", "1,phone,", "2,phone,phone", "3,edge,", "6,edge,edge", "4,cloud,cloud"]
        assert rows[0] == "exit,model,tier,accuracy"
        for row, exit_, accuracy in zip(rows[1:], exits, accuracies, strict=True):
            assert row.startswith(f"{exit_},")
            assert float(row.rsplit(",", 1)[1]) == pytest.approx(accuracy)


class TestInspected:
    def test_each_tier_is_told_by_its_own_model(self, run: Run) -> None:
        """Weights as the run was written with: 50 words, a square a layer, two classes."""
        _, tiers = inspected(run)
        assert [one.model for one in tiers] == ["minilm-l6", "minilm-l6", "mpnet-base"]
        expected = [50 * 384 + 2 * 384**2 + 2 * 2 * 384, 50 * 384 + 6 * 384**2 + 2 * 384]
        expected.append(50 * 768 + 4 * 768**2 + 2 * 768)
        assert [one.parameters for one in tiers] == expected
        assert [one.weight_bytes for one in tiers] == [4 * count for count in expected]
        assert tiers[0].exits == (1, 2)
        work = [2 * 478_150_656, 6 * 478_150_656, 4 * 1_862_270_976]
        assert [one.operations for one in tiers] == work
        assert tiers[1].milliseconds == pytest.approx(44.25, abs=0.01)  # 6·7.27 + 0.48 + 0.18
        assert tiers[2].milliseconds is None  # nobody measured that encoder
        assert tiers[0].price == pytest.approx(3 * SMALL)

    def test_a_fitted_run_is_told_as_it_was_fitted(self, run: Run) -> None:
        run.fit(tiers={"phone": 1, "cloud": 4}, price_by="layers")
        deployment, tiers = inspected(run)
        assert [(one.tier, one.layers, one.price) for one in tiers] == [
            ("phone", 1, 1.5),
            ("cloud", 4, 6.0),
        ]
        assert tiers[0].parameters == 50 * 384 + 384**2 + 2 * 384
        assert deployment.pricing is not None
        assert deployment.pricing.by == "layers"


def apart(trace: Trace) -> Trace:
    """The same exits as if each tier's were of a model of its own."""
    parts = {}
    for k, (name, layer) in enumerate(zip(("phone", "edge", "cloud"), trace.tiers, strict=True)):
        columns = [trace.column(layer)]
        parts[name] = replace(
            trace,
            probabilities=trace.probabilities[:, columns],
            exits=(layer,),
            sources=(),
            tiers=(layer,),
            tier_sources=(),
            models={},
            model=f"{k}" * 64,
        )
    return join(parts)


def test_equal_widths_have_the_ledger_of_one_model(tmp_path: Path) -> None:
    """To the last digit, where policies look at the tiers' exits alone."""
    one = written_run(tmp_path / "one")
    one.fit()
    names = ("phone", "edge", "cloud")
    cut = Deployment.paper((1, 2, 6), names=names)
    shapes = dict.fromkeys(names, ModelShape.of_width(384))
    own = Deployment.paper(
        (1, 2, 6), names=names, sources=names, pricing=Pricing("operations", shapes)
    )
    ledgers = []
    for make, deployment in ((lambda trace: trace, cut), (apart, own)):
        validation, test = make(one.trace("validation")), make(one.trace("test"))
        inputs = FitInputs(validation, deployment, 0.02, one.dynamics().data_map(1))
        names_ = ("exit-cascade", "deferral", "knn", "cats", "cascade", "dimec-fixed-quantile")
        fitted = [system(name).fit(inputs).policy for name in names_]
        policies = [*standard_policies({}, names), *fitted]
        ledgers.append(evaluate(test, policies, deployment, draws=20).to_dicts())
    assert ledgers[0] == ledgers[1]


def test_equal_widths_cost_the_same_by_both_rules(tmp_path: Path) -> None:
    run = written_own_run(tmp_path / "own", EQUAL)
    rows = []
    for rule in ("operations", "layers"):
        run.fit(price_by=rule)
        rows.append(run.evaluate(draws=5, curves=False).to_dicts())
    assert rows[0] == rows[1]
    assert run.deployment().prices == (3.0, 8.5, 6.0)
    assert text_tiers(run, run.deployment()) == []


def test_other_limits_make_a_tier_take_texts(tmp_path: Path) -> None:
    run = written_own_run(tmp_path / "own", {**EQUAL, "cloud": Own("minilm-l6", (4,), 384)})
    run.fit()
    deployment = run.deployment()
    edge = run.tier_runs()["edge"]
    settings = edge.settings()
    model = settings.model.model_copy(update={"max_tokens": 64})
    settings.model_copy(update={"model": model}).save(edge.config_path)
    assert text_tiers(run, deployment) == [1]
    write_json(run.tier_runs()["cloud"].model_path / "tokenizer.json", {"model": {"vocab": "x"}})
    assert text_tiers(run, deployment) == [1, 2]
