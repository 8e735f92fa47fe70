"""The code of a bottleneck: levels, bytes, gradients and where it starts, beside plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dimec.base.errors import ConfigError, DataError
from dimec.policies.literature.bottleneck import token_code_bytes
from dimec.training.bottleneck.code import (
    Bottleneck,
    best_ranges,
    from_levels,
    pack_levels,
    principal_axes,
    to_levels,
    unpack_levels,
)

BITS = (1, 2, 3, 4, 5, 8, 12, 16)
bit_counts = st.sampled_from(BITS)


def level_by_hand(z: float, r: float, bits: int) -> int:
    top = (1 << bits) - 1
    clipped = min(1.0, max(-1.0, z / r))
    return round((clipped + 1) / 2 * top)  # halves to even, as torch does


def value_by_hand(level: int, r: float, bits: int) -> float:
    return r * (2 * level / ((1 << bits) - 1) - 1)


def bits_by_hand(levels: list[list[int]], bits: int) -> bytes:
    """Each token's levels as text of zeros and ones, cut into bytes."""
    message = b""
    for token in levels:
        text = "".join(format(level, f"0{bits}b") for level in token)
        text += "0" * (-len(text) % 8)
        message += bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))
    return message


@given(st.data(), bit_counts)
def test_levels_and_values_are_those_of_the_formula(data: st.DataObject, bits: int) -> None:
    # Quarters and powers of two: nothing is rounded before the rounding that is tested.
    code = data.draw(st.lists(st.integers(-40, 40).map(lambda q: q / 4), min_size=1, max_size=6))
    r = data.draw(st.sampled_from([0.5, 1.0, 2.0, 4.0]))
    log_range = torch.full((len(code),), math.log(r), dtype=torch.float64)
    levels = to_levels(torch.tensor(code, dtype=torch.float64), log_range, bits)
    values = from_levels(levels, log_range, bits)
    for k, z in enumerate(code):
        place = (min(1.0, max(-1.0, z / r)) + 1) / 2 * (2**bits - 1)
        if abs(place - math.floor(place) - 0.5) < 1e-9:  # a half: the range is a rounded exp(ln r)
            assert levels[k].item() in (math.floor(place), math.ceil(place))
        else:
            assert levels[k].item() == level_by_hand(z, r, bits)
        wanted = value_by_hand(int(levels[k]), r, bits)
        assert values[k].item() == pytest.approx(wanted, abs=1e-9)


@given(st.data(), bit_counts)
def test_what_comes_back_is_within_half_a_step(data: st.DataObject, bits: int) -> None:
    inside = hnp.arrays(np.float64, (3, 4), elements=st.floats(-2, 2))
    code = torch.from_numpy(data.draw(inside))
    log_range = torch.full((4,), math.log(2.0), dtype=torch.float64)
    back = from_levels(to_levels(code, log_range, bits), log_range, bits)
    step = 2 * 2.0 / (2**bits - 1)
    assert float((back - code).abs().max()) <= step / 2 + 1e-9
    again = from_levels(to_levels(back, log_range, bits), log_range, bits)
    assert torch.allclose(again, back, rtol=0, atol=1e-9)


@pytest.mark.parametrize("bits", BITS)
def test_levels_are_whole_numbers_of_so_many_bits_in_fp32_too(bits: int) -> None:
    torch.manual_seed(bits)
    levels = to_levels(3 * torch.randn(2000, 3), torch.randn(3), bits)
    assert torch.equal(levels, levels.round())
    assert levels.min() == 0
    assert levels.max() == 2**bits - 1


@given(st.data(), bit_counts)
def test_gradients_pass_the_rounding_and_reach_the_ranges(data: st.DataObject, bits: int) -> None:
    numbers = st.integers(-30, 30).map(lambda q: q / 8 + 1 / 32)  # never on the edge of a range
    code = torch.tensor(
        data.draw(st.lists(numbers, min_size=1, max_size=6)),
        dtype=torch.float64,
        requires_grad=True,
    )
    r = data.draw(st.sampled_from([0.5, 1.0, 2.0]))
    log_range = torch.full((len(code),), math.log(r), dtype=torch.float64, requires_grad=True)
    levels = to_levels(code, log_range, bits)
    from_levels(levels, log_range, bits).sum().backward()  # type: ignore[no-untyped-call]
    assert code.grad is not None
    assert log_range.grad is not None
    for k, z in enumerate(code.tolist()):
        inside = abs(z) < r
        assert code.grad[k].item() == pytest.approx(1.0 if inside else 0.0, abs=1e-12)
        # d z'/d r = (2·level/n - 1) - z/r inside, and d r/d ln r = r
        slope = 2 * levels[k].item() / (2**bits - 1) - 1 - (z / r if inside else 0.0)
        assert log_range.grad[k].item() == pytest.approx(r * slope, abs=1e-9)


@given(st.data(), bit_counts | st.just(32), st.integers(1, 9), st.integers(0, 5))
def test_bytes_are_bit_after_bit_and_come_back(
    data: st.DataObject, bits: int, width: int, tokens: int
) -> None:
    whole = st.integers(0, 2**bits - 1)
    levels = data.draw(hnp.arrays(np.uint32, (tokens, width), elements=whole))
    message = pack_levels(levels, bits)
    assert message == bits_by_hand(levels.tolist(), bits)
    assert len(message) == tokens * token_code_bytes(width, bits)
    assert np.array_equal(unpack_levels(message, width, bits), levels)


def test_a_torn_message_is_refused() -> None:
    with pytest.raises(DataError, match=r"2 bytes a token.*5 bytes"):
        unpack_levels(b"12345", 3, 5)


@pytest.mark.parametrize("bits", [1, 3, 8, 16, 32])
def test_what_is_received_is_what_training_saw(bits: int) -> None:
    """The bytes alone lead to the very hidden states that the forward pass goes on with."""
    torch.manual_seed(0)
    bottleneck = Bottleneck(12, 5, bits)
    torch.nn.init.normal_(bottleneck.log_range, std=0.3)
    hidden = torch.randn(7, 12)
    message = bottleneck.send(hidden)
    assert len(message) == 7 * bottleneck.token_bytes
    with torch.no_grad():
        assert torch.equal(bottleneck.receive(message), bottleneck(hidden))
        rows = torch.cat([bottleneck.receive(bottleneck.send(row[None])) for row in hidden])
        assert torch.allclose(rows, bottleneck(hidden), atol=1e-6)


class TestTheStart:
    def _states(
        self, rows: int = 60, hidden: int = 8
    ) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        rng = np.random.default_rng(0)
        return rng.standard_normal((rows, hidden)) @ rng.standard_normal((hidden, hidden)) + 3.0

    @pytest.mark.parametrize("width", [1, 3, 8])
    def test_the_axes_span_what_singular_vectors_span(self, width: int) -> None:
        states = self._states()
        mean, axes = principal_axes(states, width)
        by_loop = [math.fsum(states[:, d]) / len(states) for d in range(states.shape[1])]
        np.testing.assert_allclose(mean, by_loop)
        right = np.linalg.svd(states - mean, full_matrices=False)[2][:width]
        np.testing.assert_allclose(axes.T @ axes, right.T @ right, atol=1e-9)
        np.testing.assert_allclose(axes @ axes.T, np.eye(width), atol=1e-9)
        for axis in axes:
            assert axis[np.abs(axis).argmax()] > 0

    def test_no_other_linear_map_of_that_width_loses_less(self) -> None:
        states = self._states()
        bottleneck = Bottleneck(8, 3, 32).double()
        bottleneck.start_from(states)
        wanted = torch.from_numpy(states)
        with torch.no_grad():
            least = float(((bottleneck(wanted) - wanted) ** 2).sum())
        spectrum = np.linalg.svd(states - states.mean(axis=0), compute_uv=False)
        assert least == pytest.approx(float((spectrum[3:] ** 2).sum()))

    def test_the_full_width_without_quantising_changes_nothing(self) -> None:
        states = self._states()
        bottleneck = Bottleneck(8, 8, 32).double()
        bottleneck.start_from(states)
        with torch.no_grad():
            same = bottleneck(torch.from_numpy(states)).numpy()
        np.testing.assert_allclose(same, states, atol=1e-9)

    def test_it_is_the_same_every_time(self) -> None:
        one, two = Bottleneck(8, 3, 4), Bottleneck(8, 3, 4)
        one.start_from(self._states())
        two.start_from(self._states())
        for name, value in one.state_dict().items():
            assert torch.equal(two.state_dict()[name], value)

    @pytest.mark.parametrize("bits", [1, 2, 4, 8])
    def test_a_range_is_the_best_of_those_tried(self, bits: int) -> None:
        code = np.random.default_rng(bits).standard_normal((150, 2)) * [0.5, 3.0]
        ranges = best_ranges(code, bits)
        for k in range(2):
            mean = sum(code[:, k]) / len(code)
            spread = math.sqrt(sum((z - mean) ** 2 for z in code[:, k]) / len(code))
            errors = {}
            for step in range(45):
                r = (0.5 + step * 0.125) * spread
                errors[r] = sum(
                    (value_by_hand(level_by_hand(z, r, bits), r, bits) - z) ** 2
                    for z in code[:, k].tolist()
                )
            got = min(errors, key=lambda r, k=k: abs(r - ranges[k]))  # type: ignore[misc]
            assert got == pytest.approx(ranges[k])
            assert errors[got] == pytest.approx(min(errors.values()))

    def test_few_bits_take_the_narrow_ranges_of_max(self) -> None:
        """Max 1960, table II, uniform quantisers of a normal variable: r = step·(levels - 1)/2."""
        code = np.random.default_rng(0).standard_normal((50_000, 1))
        for bits, step in ((1, 1.596), (2, 0.9957), (3, 0.5860), (4, 0.3352)):
            assert best_ranges(code, bits)[0] == pytest.approx(step * (2**bits - 1) / 2, abs=0.15)

    def test_a_number_that_never_varies_has_a_range_too(self) -> None:
        assert np.isfinite(best_ranges(np.zeros((5, 1)), 8)).all()
        assert (best_ranges(np.zeros((5, 1)), 8) > 0).all()

    def test_one_hidden_state_is_too_few(self) -> None:
        with pytest.raises(DataError, match="at least 2 hidden states, got 1"):
            principal_axes(np.zeros((1, 4)), 2)


def test_a_bottleneck_of_no_width_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        Bottleneck(8, 0, 8)
