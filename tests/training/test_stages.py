from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.settings.training import TrainingSettings
from dimec.training.stages import (
    EpochRecord,
    Stage,
    best_epoch,
    loss_weights,
    stages_of,
    stops_early,
)

JOINT = TrainingSettings()
TWO_STAGE = TrainingSettings(recipe="two-stage")


def history(*scores: float) -> list[EpochRecord]:
    """Epochs whose last exit had these scores; the first exit's would tell another story."""
    return [
        EpochRecord(epoch, 1.0, 1.0, 1.0, (0.5, 0.5), (1.0 - score, score))
        for epoch, score in enumerate(scores)
    ]


class TestBestEpoch:
    @pytest.mark.parametrize(
        ("scores", "best"),
        [((0.5,), 0), ((0.5, 0.7, 0.6), 1), ((0.7, 0.7), 0), ((0.1, 0.2, 0.2), 1), ((-0.1, 0), 1)],
    )
    def test_the_last_exit_decides_and_the_earlier_of_equals_wins(
        self, scores: tuple[float, ...], best: int
    ) -> None:
        assert best_epoch(history(*scores)) == best


class TestStopsEarly:
    @pytest.mark.parametrize(
        ("scores", "patience", "stops"),
        [
            ((), 2, False),
            ((0.9, 0.1, 0.1), 0, False),
            ((0.9, 0.1), 2, False),
            ((0.9, 0.1, 0.1), 2, True),
            ((0.9, 0.9, 0.9), 2, True),
            ((0.9, 0.1, 0.95), 2, False),
            # a data map needs two epochs, whatever the patience
            ((0.9,), 1, False),
            ((0.9, 0.8), 1, True),
        ],
    )
    def test_it_stops_after_as_many_epochs_without_a_better_one(
        self, scores: tuple[float, ...], patience: int, stops: bool
    ) -> None:
        assert stops_early(history(*scores), patience) is stops


def test_other_exits_may_decide_by_their_mean() -> None:
    scores = [(0.2, 0.5, 0.9), (0.6, 0.3, 0.8), (0.4, 0.4, 0.7), (0.3, 0.6, 0.1)]
    epochs = [EpochRecord(7 + k, 1.0, 1.0, 1.0, (), metric, 2) for k, metric in enumerate(scores)]
    means = [Fraction(str(a)) + Fraction(str(b)) for a, b, _ in scores]
    assert best_epoch(epochs, (0, 1)) == means.index(max(means)) == 1
    assert best_epoch(epochs, (1,)) == 3
    assert best_epoch(epochs) == 0
    assert stops_early(epochs, 2, (0, 1))
    assert not stops_early(epochs, 2, (1,))


class TestStages:
    def test_the_joint_recipe_is_one_stage_in_which_all_learns(self) -> None:
        assert stages_of(JOINT, (2, 3, 6)) == (Stage(1, (2, 3, 6), True, 5e-5, None, (2,)),)
        assert stages_of(JOINT, (6,)) == (Stage(1, (6,), True, 5e-5, None, (0,)),)

    def test_deeberts_are_the_last_exit_with_the_encoder_and_then_the_others_alone(self) -> None:
        assert stages_of(TWO_STAGE, (1, 2, 3, 6)) == (
            Stage(1, (6,), True, 5e-5, None, (3,)),
            Stage(2, (1, 2, 3), False, 5e-5, None, (0, 1, 2)),
        )

    def test_the_second_stage_may_have_a_rate_of_its_own(self) -> None:
        training = TrainingSettings(recipe="two-stage", learning_rate=2e-5, exit_learning_rate=1e-3)
        assert [stage.learning_rate for stage in stages_of(training, (3, 6))] == [2e-5, 1e-3]

    def test_one_exit_has_no_second_stage(self) -> None:
        with pytest.raises(ConfigError, match=r"before the last.*\[6\].*--recipe joint"):
            stages_of(TWO_STAGE, (6,))


class TestLossWeights:
    def test_pabees_by_hand(self) -> None:
        training = TrainingSettings(loss="depth")
        assert loss_weights(training, (2, 3, 6)) == pytest.approx((2 / 11, 3 / 11, 6 / 11))
        assert loss_weights(training, (6,)) == (1.0,)
        (stage,) = stages_of(training, (1, 2, 3))
        assert stage.weights == pytest.approx((1 / 6, 1 / 3, 1 / 2))

    @given(st.sets(st.integers(1, 48), min_size=1))
    def test_pabees_sum_to_one_and_grow_with_the_layer(self, layers: set[int]) -> None:
        exits = sorted(layers)
        weights = loss_weights(TrainingSettings(loss="depth"), exits)
        assert weights is not None
        assert sum(weights) == pytest.approx(1)
        assert list(weights) == sorted(weights)
        assert weights[0] / weights[-1] == pytest.approx(exits[0] / exits[-1])

    def test_those_that_are_given_must_fit_the_exits(self) -> None:
        training = TrainingSettings(loss_weights=(1, 2))
        assert loss_weights(JOINT, (2, 3, 6)) is None
        assert loss_weights(training, (3, 6)) == (1, 2)
        with pytest.raises(ConfigError, match=r"expected 3 loss weights.*\[2, 3, 6\], got 2"):
            stages_of(training, (2, 3, 6))


class TestEqualScores:
    @staticmethod
    def _epochs(*marks: tuple[float, float]) -> list[EpochRecord]:
        return [
            EpochRecord(k, 1.0, 1.0, 1.0, (), (0.0, score), 1, (9.0 - k, loss))
            for k, (score, loss) in enumerate(marks)
        ]

    def test_the_lower_validation_loss_of_the_judged_exits_decides(self) -> None:
        history = self._epochs((0.8, 0.5), (0.9, 0.5), (0.9, 0.1), (0.9, 0.3))
        assert best_epoch(history, (1,)) == 2
        assert best_epoch(self._epochs((0.9, 0.2), (0.9, 0.2)), (1,)) == 0
        assert best_epoch(self._epochs((0.9, 0.5), (0.8, 0.1)), (1,)) == 0

    def test_an_epoch_that_only_lowers_the_loss_is_a_better_one(self) -> None:
        falling = self._epochs((0.9, 0.5), (0.9, 0.4), (0.9, 0.3))
        assert not stops_early(falling, 2, (1,))
        rising = self._epochs((0.9, 0.3), (0.9, 0.4), (0.9, 0.5))
        assert stops_early(rising, 2, (1,))

    def test_epochs_of_earlier_versions_have_no_loss(self) -> None:
        old = [EpochRecord(k, 1.0, 1.0, 1.0, (), (0.9,)) for k in range(3)]
        assert best_epoch(old) == 0
