"""Regressions of latency: against a grid of all solutions, exact data, and other machines."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import (
    ConfigError,
    CorruptArtefactError,
    DataError,
    MissingArtefactError,
)
from dimec.tiers.latency import (
    PARTS,
    LayerProfile,
    Measurement,
    ModelShape,
    fit_regressor,
)

SHAPE = ModelShape(8, 32)


def profile(**changes: object) -> LayerProfile:
    """Two layers of 1 ms a token, an embedding layer of 2 ms and a head of 3 ms."""
    rows = [Measurement("embed", 0, t, 2e-3) for t in (1, 128)]
    rows += [Measurement("layer", k, t, 1e-3 * t) for k in (1, 2) for t in (1, 128)]
    rows += [Measurement("head", 0, t, 3e-3) for t in (1, 128)]
    known = LayerProfile("tiny", SHAPE, 2, "a test", 1, "", tuple(rows))
    return replace(known, **changes)  # type: ignore[arg-type]


def test_the_operations_of_a_layer_are_those_of_its_matrices() -> None:
    tokens, w, i = 5, 8, 32
    products = [(tokens, w, w)] * 4 + [(tokens, w, tokens), (tokens, tokens, w)]
    products += [(tokens, w, i), (tokens, i, w)]
    assert SHAPE.layer_flops(tokens) == sum(2 * a * b * c for a, b, c in products)


def test_operations_come_in_the_shape_of_the_lengths() -> None:
    many = SHAPE.layer_flops(np.array([[1, 2], [3, 4]]))
    assert many.shape == (2, 2)
    assert many[1, 0] == SHAPE.layer_flops(3)


def test_the_usual_shape_is_four_times_as_wide_inside() -> None:
    assert ModelShape.of_width(384) == ModelShape(384, 1536)
    with pytest.raises(ConfigError, match="must be positive, got 0 and 0"):
        ModelShape.of_width(0)


@given(st.tuples(*[st.floats(0, 10)] * 3))
def test_exact_data_give_their_own_coefficients(wanted: tuple[float, float, float]) -> None:
    tokens = [1, 2, 4, 8, 16]
    seconds = [wanted[0] + wanted[1] * t + wanted[2] * t * t for t in tokens]
    fitted = fit_regressor(tokens, seconds)
    np.testing.assert_allclose(fitted.seconds(np.array(tokens)), seconds, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(fitted.coefficients, wanted, rtol=1e-6, atol=1e-6)


@given(st.lists(st.tuples(st.integers(1, 9), st.floats(0, 9)), min_size=1, max_size=8))
def test_no_other_coefficients_of_at_least_zero_fit_better(points: list[tuple[int, float]]) -> None:
    tokens, seconds = [t for t, _ in points], [s for _, s in points]
    fitted = fit_regressor(tokens, seconds)
    assert min(fitted.coefficients) >= 0
    reached = sum(r * r for r in fitted.residuals)
    for t, s, r in zip(tokens, seconds, fitted.residuals, strict=True):
        assert r == pytest.approx(s - float(fitted.seconds(t)), abs=1e-9)
    # The problem is convex: what no small step betters, nothing betters.
    for k in range(3):
        for step in (1e-3, -1e-3):
            other = list(fitted.coefficients)
            other[k] = max(0.0, other[k] + step)
            error = 0.0
            for t, s in points:
                error += (s - other[0] - other[1] * t - other[2] * t * t) ** 2
            assert error >= reached - 1e-9


def test_a_falling_curve_is_fitted_by_a_constant() -> None:
    fitted = fit_regressor([1, 2, 3], [3.0, 2.0, 1.0])
    assert fitted.coefficients == pytest.approx((2, 0, 0))
    assert fitted.r2 == pytest.approx(0)


def test_r2_is_the_share_of_the_variance() -> None:
    # 1 + T leaves 1 at each of six points; around their mean, 3, they vary by 0+4+1+1+4+0
    fitted = fit_regressor([1, 1, 2, 2, 3, 3], [3.0, 1.0, 4.0, 2.0, 5.0, 3.0])
    assert fitted.coefficients == pytest.approx((1, 1, 0), abs=1e-9)
    assert fitted.r2 == pytest.approx(1 - 6 / 10)
    assert fit_regressor([1, 2], [5.0, 5.0]).r2 == 1


@pytest.mark.parametrize(
    ("tokens", "seconds", "words"),
    [
        ([], [], "as many latencies"),
        ([1], [1.0, 2.0], "as many latencies"),
        ([1], [-1.0], "finite and not negative"),
        ([1], [float("nan")], "finite and not negative"),
        ([0], [1.0], "lengths positive"),
    ],
)
def test_bad_measurements_are_refused(tokens: list[int], seconds: list[float], words: str) -> None:
    with pytest.raises(DataError, match=words):
        fit_regressor(tokens, seconds)


# --- profiles ---------------------------------------------------------------------------------


def test_on_its_own_machine_a_profile_says_what_was_measured() -> None:
    known = profile()
    own = known.flops_per_second
    assert own == pytest.approx(float(SHAPE.layer_flops(128)) / 0.128)
    assert known.seconds("layer", 64, SHAPE, own) == pytest.approx(0.064)
    assert known.seconds("embed", 64, SHAPE, own) == pytest.approx(2e-3)
    assert known.seconds("head", 64, SHAPE, own) == pytest.approx(3e-3)


def test_a_device_of_twice_the_rate_takes_half_the_time() -> None:
    known = profile()
    tokens = np.array([1, 30, 128])
    for part in PARTS:
        own = known.seconds(part, tokens, SHAPE, known.flops_per_second)
        fast = known.seconds(part, tokens, SHAPE, 2 * known.flops_per_second)
        np.testing.assert_allclose(fast, own / 2)


def test_another_shape_takes_the_time_of_its_operations() -> None:
    known, wide = profile(), ModelShape(16, 20)
    own, tokens = known.flops_per_second, np.array([1, 30, 128])
    operations = wide.layer_flops(tokens) / SHAPE.layer_flops(tokens)
    layer = known.seconds("layer", tokens, wide, own)
    np.testing.assert_allclose(layer, known.seconds("layer", tokens, SHAPE, own) * operations)
    np.testing.assert_allclose(known.seconds("head", tokens, wide, own), 6e-3)


def test_a_profile_needs_every_part() -> None:
    rows = tuple(row for row in profile().rows if row.part != "head")
    with pytest.raises(DataError, match="not of head"):
        profile(rows=rows)


def test_layers_that_take_no_time_have_no_rate() -> None:
    rows = tuple(replace(row, seconds=0.0) for row in profile().rows)
    with pytest.raises(DataError, match="no time at all"):
        _ = profile(rows=rows).flops_per_second


def test_a_profile_comes_back_from_its_file(tmp_path: Path) -> None:
    known = profile(note="on a quiet machine")
    known.save(tmp_path / "profile.json")
    assert LayerProfile.load(tmp_path / "profile.json") == known


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "trace"},
        {"format": 2},
        {"rows": []},
        {"rows": [{"part": "layer", "index": 1, "tokens": 3}]},
        {"shape": {"width": 0, "intermediate": 1}},
        {"colour": "red"},
    ],
)
def test_a_file_that_is_no_profile_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    profile().save(path)
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **change}), "utf-8")
    with pytest.raises(CorruptArtefactError, match=r"not a layer profile.*dimec profile"):
        LayerProfile.load(path)


def test_a_negative_latency_in_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    profile().save(path)
    value = json.loads(path.read_text("utf-8"))
    value["rows"][0]["seconds"] = -1
    path.write_text(json.dumps(value), "utf-8")
    with pytest.raises(CorruptArtefactError, match="not negative"):
        LayerProfile.load(path)


def test_a_missing_profile_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(MissingArtefactError, match="dimec profile"):
        LayerProfile.load(tmp_path / "none.json")
    with pytest.raises(MissingArtefactError, match=r"there are minilm-l6.*--backbone bert-base"):
        LayerProfile.packaged("bert-base")


def test_the_packaged_profile_grows_with_the_text_and_fits_its_measurements() -> None:
    known = LayerProfile.packaged("minilm-l6")
    assert (known.shape, known.layers) == (ModelShape(384, 1536), 6)
    assert {row.index for row in known.rows if row.part == "layer"} == set(range(1, 7))
    assert known.threads == 1
    assert known.note
    layer = known.regressors["layer"]
    assert layer.r2 > 0.95
    assert layer.coefficients[1] > 0
