"""Fronts, hulls and areas of points, by hand and against slow references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.evaluation.hull import accuracy_at, area_between, pareto_front, upper_hull

Points = list[tuple[int, int]]

some_points = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=12
)  # few values, so that costs and accuracies are often equal


def parted(points: Points) -> tuple[np.ndarray, np.ndarray]:
    values = np.array(points, dtype=float)
    return values[:, 0], values[:, 1]


def mixed(points: Points, cost: float) -> float:
    """The best accuracy of any point or mix of two that costs no more, by trying all of them."""
    best = -np.inf
    for x1, y1 in points:
        if x1 <= cost:
            best = max(best, y1)
        for x2, y2 in points:
            if x1 < cost < x2:
                best = max(best, y1 + (y2 - y1) * (cost - x1) / (x2 - x1))
    return best


class TestFront:
    @given(some_points)
    def test_it_has_the_points_that_none_beats(self, points: Points) -> None:
        front = pareto_front(*parted(points)).tolist()
        left = {
            point
            for point in points
            if not any(x <= point[0] and y >= point[1] and (x, y) != point for x, y in points)
        }
        assert [points[place] for place in front] == sorted(left)
        assert all(points.index(points[place]) == place for place in front)  # the first of equals

    def test_of_no_points(self) -> None:
        assert pareto_front([], []).tolist() == []


class TestHull:
    @given(some_points, st.floats(0, 8))
    def test_between_its_corners_lie_the_best_mixes(self, points: Points, cost: float) -> None:
        x, y = parted(points)
        corners = upper_hull(x, y)
        if cost >= x[corners[0]]:
            [found] = accuracy_at(x[corners], y[corners], [cost])
            assert found == pytest.approx(mixed(points, cost), abs=1e-9)

    @given(some_points)
    def test_each_corner_rises_less_steeply_than_the_one_before(self, points: Points) -> None:
        x, y = parted(points)
        corners = upper_hull(x, y)
        slopes = np.diff(y[corners]) / np.diff(x[corners])
        assert (slopes > 0).all()
        assert (np.diff(slopes) < 0).all()

    def test_a_point_on_the_line_between_two_is_no_corner(self) -> None:
        assert upper_hull([1, 2, 3], [1, 2, 3]).tolist() == [0, 2]


class TestArea:
    def test_a_triangle_by_hand(self) -> None:
        """Over [0, 4] the corner (1, 3) lies 2 above the line from (0, 0) to (4, 4): 4·2/2."""
        upper = parted([(0, 0), (1, 3), (4, 4)])
        lower = parted([(0, 0), (4, 4)])
        assert area_between(upper, lower, (0, 4)) == pytest.approx(4.0)
        assert area_between(lower, upper, (0, 4)) == pytest.approx(-4.0)

    def test_it_ends_where_the_span_does(self) -> None:
        """Between costs 1 and 2 the two are 2 and 2 - 2/3 apart."""
        upper = parted([(0, 0), (1, 3), (4, 4)])
        lower = parted([(0, 0), (4, 4)])
        assert area_between(upper, lower, (1, 2)) == pytest.approx((2 + 4 / 3) / 2)

    def test_points_of_one_cost_count_as_their_mean(self) -> None:
        """(1, 0) and (1, 2) are (1, 1): from (0, 0) up to there 1/2, from there to (3, 2) 3."""
        upper = parted([(0, 0), (1, 0), (1, 2), (3, 2)])
        assert area_between(upper, parted([(0, 0)]), (0, 3)) == pytest.approx(3.5)

    def test_beyond_its_ends_a_line_is_level(self) -> None:
        """A single point at 2 over a single point at 1, whatever they cost."""
        assert area_between(parted([(9, 2)]), parted([(3, 1)]), (4, 6)) == pytest.approx(2.0)
