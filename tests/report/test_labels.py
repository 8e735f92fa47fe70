"""Names of points do not cover each other."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dimec.report.labels import overlap, place_labels

BOUNDS = (0.0, 0.0, 500.0, 350.0)
NO_LINES = np.empty((0, 4))

places = st.lists(st.tuples(st.floats(60, 440), st.floats(40, 310)), min_size=1, max_size=9)


@given(places)
def test_no_name_covers_a_name_or_a_mark_and_all_stay_inside(
    points: list[tuple[float, float]],
) -> None:
    centres = np.array(points)
    sizes = np.tile([90.0, 12.0], (len(points), 1))
    boxes = place_labels(centres, sizes, NO_LINES, BOUNDS)
    np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], sizes)
    among = overlap(boxes, boxes)
    np.fill_diagonal(among, 0)
    assert among.max() == 0
    marks = np.concatenate([centres - 5, centres + 5], axis=1)
    assert overlap(boxes, marks).max() == 0
    assert (boxes[:, :2] >= -1e-9).all()
    assert (boxes[:, 2:] <= np.array(BOUNDS[2:]) + 1e-9).all()


def test_a_lone_name_stands_right_of_its_mark() -> None:
    (box,) = place_labels(np.array([[100.0, 100.0]]), np.array([[50.0, 10.0]]), NO_LINES, BOUNDS)
    assert box[0] > 100
    assert box[1] < 100 < box[3]


def test_a_name_gives_way_to_a_line() -> None:
    line = np.array([[100.0, 97.0, 300.0, 103.0]])
    (box,) = place_labels(np.array([[100.0, 100.0]]), np.array([[50.0, 10.0]]), line, BOUNDS)
    assert overlap(box[None], line).max() == 0


def test_overlap_is_the_shared_area() -> None:
    boxes = np.array([[0.0, 0, 2, 2], [5, 5, 6, 6]])
    assert overlap(boxes, np.array([[1.0, 1, 3, 4]])).tolist() == [[1.0], [0.0]]
