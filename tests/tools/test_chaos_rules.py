"""What becomes of a chunk, and when it arrives: pure rules, exact figures."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pydantic import ValidationError

from chaos_rules import DOWN, UP, Counts, Fate, Link, Settings, fate, handshake

CHUNK = bytes(range(256)) * 4


def settings(**changes: Any) -> Settings:
    return Settings.model_validate({"to": "127.0.0.1:1", **changes})


def fates(number: int, seed: int = 0, way: int = UP, **changes: Any) -> tuple[list[Fate], Counts]:
    """What becomes of so many equal chunks on one connection."""
    rng, counts, rules = random.Random(seed), Counts(), settings(**changes)
    return [fate(CHUNK, rules, way, rng, counts) for _ in range(number)], counts


class TestLink:
    def test_bytes_leave_at_the_rate_one_after_the_other(self) -> None:
        link = Link()
        # 1,000 bytes are 8,000 bits: 8 ms at 1,000 kbit/s.
        assert link.leaves(10.0, 1000, 1000) == pytest.approx(10.008)
        assert link.leaves(10.0, 1000, 1000) == pytest.approx(10.016)
        assert link.leaves(10.5, 500, 1000) == pytest.approx(10.504)

    def test_an_idle_link_saves_nothing_up(self) -> None:
        link = Link()
        link.leaves(0.0, 1000, 8)
        assert link.leaves(100.0, 1000, 8) == pytest.approx(101.0)

    def test_without_a_rate_bytes_leave_at_once(self) -> None:
        assert Link().leaves(3.0, 10**9, 0) == 3.0

    def test_a_connection_costs_a_round_trip_before_the_first_byte(self) -> None:
        rules = settings(delay=(30, 10))
        assert handshake(rules, UP) == pytest.approx(0.04)
        assert handshake(rules, DOWN) == pytest.approx(0.03)


class TestFate:
    def test_without_faults_nothing_happens(self) -> None:
        drawn, counts = fates(100)
        assert drawn == [Fate(CHUNK)] * 100
        assert counts == Counts()

    def test_corruption_alters_one_to_four_bytes_and_no_length(self) -> None:
        drawn, counts = fates(300, corrupt=1)
        altered = [sum(a != b for a, b in zip(one.data, CHUNK, strict=True)) for one in drawn]
        assert set(altered) == {1, 2, 3, 4}
        assert (counts.corrupted, counts.bytes_altered) == (300, sum(altered))

    def test_a_truncated_chunk_is_a_shorter_beginning_and_the_end(self) -> None:
        drawn, counts = fates(200, truncate=1)
        for one in drawn:
            assert len(one.data) < len(CHUNK)
            assert CHUNK.startswith(one.data)
        assert {one.end for one in drawn} == {"close", "reset"}
        assert counts.truncated == 200

    def test_a_dropped_chunk_leaves_nothing(self) -> None:
        drawn, counts = fates(50, drop=1, corrupt=1, reset=1)
        assert drawn == [Fate(b"", end="reset")] * 50
        assert (counts.dropped, counts.corrupted) == (50, 0)

    def test_a_stalled_chunk_is_late_and_whole(self) -> None:
        drawn, counts = fates(50, stall=1, stall_ms=250)
        assert drawn == [Fate(CHUNK, late=0.25)] * 50
        assert counts.stalled == 50

    @pytest.mark.parametrize("name", ["drop", "truncate", "corrupt", "stall"])
    def test_faults_come_as_often_as_asked_for(self, name: str) -> None:
        odds: dict[str, Any] = {name: 0.1}
        _, counts = fates(4000, **odds)
        seen = {
            "drop": counts.dropped,
            "truncate": counts.truncated,
            "corrupt": counts.corrupted,
            "stall": counts.stalled,
        }
        # Six standard deviations of a binomial with n = 4,000 and p = 0.1, which is 19 each.
        assert abs(seen.pop(name) - 400) < 6 * 19
        assert not any(seen.values())

    def test_each_direction_has_a_probability_of_its_own(self) -> None:
        _, up = fates(50, way=UP, corrupt=(1, 0))
        _, down = fates(50, way=DOWN, corrupt=(1, 0))
        assert (up.corrupted, down.corrupted) == (50, 0)

    def test_the_same_seed_gives_the_same_faults(self) -> None:
        odds: dict[str, Any] = {"drop": 0.1, "truncate": 0.1, "corrupt": 0.3, "stall": 0.1}
        assert fates(500, seed=3, **odds) == fates(500, seed=3, **odds)
        assert fates(500, seed=3, **odds) != fates(500, seed=4, **odds)

    def test_one_probability_leaves_the_draws_of_the_others_alone(self) -> None:
        alone, _ = fates(500, corrupt=0.2)
        beside, _ = fates(500, corrupt=0.2, stall=0.5)
        assert [one.data for one in alone] == [one.data for one in beside]


class TestSettings:
    def test_one_number_stands_for_both_directions(self) -> None:
        assert settings(delay=20).delay == (20, 20)
        assert settings(delay=[20, 5]).delay == (20, 5)
        assert settings(to="[::1]:80").address == ("::1", 80)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"to": "no-port"},
            {"to": "http://127.0.0.1:1"},
            {"corrupt": 1.5},
            {"corrupt": -0.1},
            {"delay": -1},
            {"delay": [1, 2, 3]},
            {"rate": float("inf")},
            {"colour": 1},
        ],
    )
    def test_wrong_settings_are_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            Settings.model_validate({"to": "127.0.0.1:1", **wrong})
