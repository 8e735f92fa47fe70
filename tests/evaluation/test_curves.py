"""Curves: their points, the summaries by hand, and their file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import ConfigError, CorruptArtefactError, MissingArtefactError
from dimec.base.storage import read_json, write_json
from dimec.evaluation.curves import FILE, Curve, CurvePoint, Curves, Plotter
from dimec.evaluation.evaluate import evaluate
from dimec.evaluation.replay import standard_policies
from dimec.policies import RandomPolicy, RouterPolicy
from dimec.routing import SingleTierRouter
from dimec.tiers.deployment import Deployment
from support.builders import make_trace

DEPLOYMENT = Deployment.paper((2, 4, 6))


def point(
    cost: float, accuracy: float, validation: tuple[float, float] | None = None
) -> CurvePoint:
    """Against a last tier of cost 10 and accuracy 0.9.

    Args:
        cost, accuracy: on the test split.
        validation: the same on the validation split; there as here by default.
    """
    seen_cost, seen_accuracy = validation or (cost, accuracy)
    drop, reduction = 0.9 - accuracy, 1 - cost / 10
    return CurvePoint(
        accuracy=accuracy,
        cost=cost,
        drop=drop,
        drop_low=drop - 0.01,
        drop_high=drop + 0.01,
        reduction=reduction,
        reduction_low=reduction,
        reduction_high=reduction,
        validation_drop=0.9 - seen_accuracy,
        validation_reduction=1 - seen_cost / 10,
    )


def curve(*points: CurvePoint) -> Curve:
    return Curve("policy", "Policy", "threshold", points)


def curves_of(*found: Curve, oracle: CurvePoint | None = None) -> Curves:
    """Tiers at costs 2, 6 and 10, the second below the line between the others."""
    tiers = (point(2, 0.7), point(6, 0.72), point(10, 0.9))
    return Curves(tuple(found), tiers, oracle or point(4, 0.95), draws=5, seed=0)


class TestChosen:
    def test_it_saves_most_of_those_within_the_drop_on_validation(self) -> None:
        """The second saves most there at 0.4 points; what it loses on test is not looked at."""
        first = point(8, 0.9, validation=(8, 0.9))
        second = point(7, 0.8, validation=(5, 0.896))
        third = point(3, 0.9, validation=(3, 0.89))
        assert curve(first, second, third).chosen(0.005) is second
        assert curve(first, second, third).chosen(0.011) is third

    def test_ties_go_to_the_earlier(self) -> None:
        first, second = point(8, 0.9), point(8, 0.91)
        assert curve(first, second).chosen(0.0) is first

    def test_there_is_none_where_all_lose_more(self) -> None:
        assert curve(point(2, 0.8), point(3, 0.85)).chosen(0.005) is None

    def test_the_front_is_that_of_the_validation_split(self) -> None:
        dear = point(2, 0.9, validation=(9, 0.9))
        beaten = point(3, 0.99, validation=(9, 0.8))
        cheap = point(9, 0.5, validation=(1, 0.6))
        assert curve(dear, beaten, cheap).front() == [cheap, dear]


class TestAreaShare:
    def test_by_hand(self) -> None:
        """Matched random is the line from (2, 0.7) to (10, 0.9): the middle tier lies below it.

        The oracle (4, 0.95) is best from there on: trapezoids of 2·(0.7 + 0.95)/2 and 6·0.95 less
        8·0.8 make 0.95. The policy (6, 0.86) lies 0.06 above the line in the middle of a triangle
        of base 8: 0.24.
        """
        policy = curve(point(6, 0.86))
        assert curves_of(policy).area_share(policy) == pytest.approx(0.24 / 0.95)

    def test_the_oracle_has_all_of_it_and_a_mix_of_tiers_nothing(self) -> None:
        everything, nothing = curve(point(4, 0.95)), curve(point(6, 0.8))
        assert curves_of().area_share(everything) == pytest.approx(1.0)
        assert curves_of().area_share(nothing) == pytest.approx(0.0)

    def test_what_looked_better_on_validation_and_is_worse_counts_below_zero(self) -> None:
        """(6, 0.74) on test is 0.06 below the line: -0.24."""
        policy = curve(point(6, 0.74, validation=(6, 0.86)))
        assert curves_of(policy).area_share(policy) == pytest.approx(-0.24 / 0.95)

    def test_what_nobody_would_choose_on_validation_counts_nothing(self) -> None:
        policy = curve(point(6, 0.9, validation=(6, 0.75)))
        assert curves_of(policy).area_share(policy) == pytest.approx(0.0)

    def test_cheaper_than_every_tier_it_counts_from_the_cheapest_tier_on(self) -> None:
        """From (0, 0.7), beyond the span, to (10, 0.9): 0.04 above at cost 2, 0 at 10."""
        policy = curve(point(0, 0.7))
        assert curves_of(policy).area_share(policy) == pytest.approx(0.16 / 0.95)

    def test_there_is_none_where_an_oracle_gains_nothing(self) -> None:
        policy = curve(point(6, 0.86))
        assert curves_of(oracle=point(6, 0.8)).area_share(policy) is None
        alone = replace(curves_of(), tiers=(point(10, 0.9),))
        assert alone.area_share(policy) is None


class TestPlotter:
    def test_a_point_is_the_row_of_the_ledger(self) -> None:
        """On the test split with its interval, and on the validation split."""
        validation, test = make_trace(50, seed=1, split="validation"), make_trace(80, seed=2)
        plotter = Plotter(validation, test, DEPLOYMENT, draws=40, seed=3)
        policy = RandomPolicy("half", [0.5, 0.0, 0.5])
        found = plotter.point(policy, {"threshold": 0.5}, 0.01)
        row = evaluate(test, [policy], DEPLOYMENT, draws=40, seed=3).row("half")
        for name in ("accuracy", "cost", "drop", "drop_low", "drop_high", "reduction"):
            assert getattr(found, name) == getattr(row, name)
        seen = evaluate(validation, [policy], DEPLOYMENT, draws=1).row("half")
        assert (found.validation_drop, found.validation_reduction) == (seen.drop, seen.reduction)
        assert (found.settings, found.lam) == ({"threshold": 0.5}, 0.01)

    def test_the_last_tier_is_the_reference(self) -> None:
        trace = make_trace(50)
        plotter = Plotter(trace, trace, DEPLOYMENT, draws=5, seed=0)
        found = plotter.point(RouterPolicy("last", SingleTierRouter(2)))
        assert (found.drop, found.reduction, found.validation_drop) == (0.0, 0.0, 0.0)
        assert found.cost == pytest.approx(9.0)

    def test_what_it_did_with_rows_that_it_had_not_seen_stands_for_it(self) -> None:
        """On the validation split alone; figures of the test split are a replay's."""
        trace = make_trace(50)
        plotter = Plotter(trace, trace, DEPLOYMENT, draws=5, seed=0)
        last = RouterPolicy("last", SingleTierRouter(2))
        reference = trace.correct[:, trace.column(6)].mean()
        right = np.repeat([1.0, 0.0], 25)
        found = plotter.point(last, seen=(right, np.full(50, 4.5)))
        assert found.validation_drop == pytest.approx(reference - 0.5)
        assert found.validation_reduction == pytest.approx(0.5)
        assert (found.drop, found.reduction) == (0.0, 0.0)

    def test_no_draws_are_refused(self) -> None:
        trace = make_trace(5)
        with pytest.raises(ConfigError, match="at least 1 draw"):
            Plotter(trace, trace, DEPLOYMENT, draws=0, seed=0).point(RandomPolicy("random"))


class TestFile:
    def real(self) -> Curves:
        trace = make_trace(40)
        plotter = Plotter(trace, trace, DEPLOYMENT, draws=5, seed=7)
        *tiers, _, oracle = map(plotter.point, standard_policies({}))
        shares = [(1 - k / 4, 0.0, k / 4) for k in range(5)]
        points = tuple(
            plotter.point(RandomPolicy("line", one), {"shares": list(one)}, 0.1 * k)
            for k, one in enumerate(shares)
        )
        line = Curve("line", "A line", "lambda", points)
        return Curves((line,), tuple(tiers), oracle, draws=5, seed=7)

    def test_what_is_saved_is_loaded(self, tmp_path: Path) -> None:
        curves = self.real()
        assert not Curves.stored(tmp_path)
        curves.save(tmp_path)
        assert Curves.stored(tmp_path)
        assert Curves.load(tmp_path) == curves

    def test_other_readers_find_the_summaries(self, tmp_path: Path) -> None:
        curves = self.real()
        curves.save(tmp_path)
        [told] = read_json(tmp_path / FILE, "")["curves"]
        [line] = curves.curves
        assert told["points"][told["chosen"]]["lam"] == line.chosen().lam  # type: ignore[union-attr]
        assert told["area_share"] == curves.area_share(line)
        assert told["allowed_drop"] == 0.005

    def test_the_same_curves_have_the_same_bytes(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            self.real().save(tmp_path / name)
        assert (tmp_path / "a" / FILE).read_bytes() == (tmp_path / "b" / FILE).read_bytes()

    def test_none_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(MissingArtefactError, match="dimec evaluate"):
            Curves.load(tmp_path)

    @pytest.mark.parametrize(
        ("place", "value"),
        [
            (["curves"], None),
            (["curves", 0, "points"], []),
            (["curves", 0, "points", 0, "cost"], "dear"),
            (["curves", 0, "points", 0], {"cost": 1.0}),
            (["tiers"], []),
            (["oracle"], 3),
            (["draws"], "many"),
        ],
    )
    def test_what_is_no_curve_is_refused(
        self, tmp_path: Path, place: list[Any], value: object
    ) -> None:
        self.real().save(tmp_path)
        stored = read_json(tmp_path / FILE, "")
        inner = stored
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = value
        write_json(tmp_path / FILE, stored)
        with pytest.raises(CorruptArtefactError, match=r"dimec evaluate"):
            Curves.load(tmp_path)


def test_areas_are_those_of_a_fine_sum() -> None:
    """Random curves against a sum of many small steps."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        points = [
            point(*pair) for pair in zip(rng.uniform(1, 10, 4), rng.uniform(0.6, 1, 4), strict=True)
        ]
        policy = curve(*points)
        everyone = [(one.cost, one.accuracy) for one in (*points, *curves_of().tiers)]
        at = np.linspace(2, 10, 2001)
        best = [
            max(
                max(y for x, y in everyone if x <= cost),
                *(
                    y1 + (y2 - y1) * (cost - x1) / (x2 - x1)
                    for x1, y1 in everyone
                    for x2, y2 in everyone
                    if x1 < cost < x2
                ),
                -1.0,
            )
            for cost in at
        ]
        summed = float(np.trapezoid(np.array(best) - (0.7 + 0.2 * (at - 2) / 8), at))
        assert curves_of().area_share(policy) == pytest.approx(summed / 0.95, abs=1e-3)
