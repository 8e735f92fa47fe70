"""Each part of the package by itself; a recorded trace of a few rows is all that it takes."""

import math

import numpy as np
import pytest

from dimec import Deployment, Trace, load_task
from dimec.base.plugins import loaded, named
from dimec.contract.losses import Losses
from dimec.policies.drive import drive, site_of
from dimec.policies.registry import FitInputs, system
from dimec_template.bound import HOEFFDING
from dimec_template.policy import SureEnough
from dimec_template.router import FirstOrLast

ROWS, PAPER = 40, Deployment.paper((2, 4, 6))


@pytest.fixture(scope="module")
def trace() -> Trace:
    """40 samples at three exits; the first is right, and sure, where the embedding is positive."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, ROWS)
    easy = rng.random(ROWS) < 0.5
    said = np.stack([np.where(easy, 0.95, 0.45), np.full(ROWS, 0.7), np.full(ROWS, 0.9)], axis=1)
    right = np.where(labels[:, None] == 1, said, 1 - said)
    return Trace(
        embeddings=(np.where(easy, 1.0, -1.0)[:, None] + rng.normal(0, 0.1, (ROWS, 3))).astype(
            np.float32
        ),
        probabilities=np.stack([1 - right, right], axis=-1).astype(np.float32),
        labels=labels,
        exits=(2, 4, 6),
        tiers=(2, 4, 6),
        guids=tuple(map(str, range(ROWS))),
        label_names=("bad", "good"),
        task="weather",
        split="validation",
        metric="accuracy",
        model="none",
        lengths=np.full(ROWS, 9),
    )


def test_the_policy_goes_on_where_the_first_exit_is_unsure(trace: Trace) -> None:
    outcome = SureEnough(0.8).replay(trace, PAPER)
    sure = trace.confidences[:, 0] >= 0.8
    assert outcome.answers[:, 0].astype(bool).tolist() == sure.tolist()
    assert set(outcome.cost[sure]) == {PAPER.prices[0]}
    assert outcome.cost[~sure] == pytest.approx(PAPER.prices[0] + PAPER.prices[-1])


def test_the_policy_is_fitted_by_its_name(trace: Trace) -> None:
    fitted = system("sure-enough").fit(FitInputs(trace, PAPER, 0.02))
    assert fitted.settings["threshold"] in (0.6, 0.8, 0.9)


def test_the_router_tells_the_easy_from_the_others(trace: Trace) -> None:
    policy = system("first-or-last").fit(FitInputs(trace, PAPER, 0.02)).policy
    outcome = policy.replay(trace, PAPER)
    easy = trace.embeddings[:, 0] > 0
    assert outcome.answers[:, 0].astype(bool).tolist() == easy.tolist()
    alone = drive(policy.steps(site_of(trace, PAPER)), trace, PAPER)
    assert alone.answers.tolist() == outcome.answers.tolist()


def test_the_router_comes_back_from_its_state(trace: Trace) -> None:
    router = FirstOrLast.fitted(FitInputs(trace, PAPER, 0.02))
    again = FirstOrLast.of_state(router.state())
    assert again.route(trace.embeddings).tolist() == router.route(trace.embeddings).tolist()
    with pytest.raises(ValueError, match="two means"):
        FirstOrLast.of_state({"means": np.zeros((3, 2)), "last": np.array([2])})


def test_the_task_has_its_rows() -> None:
    rows = load_task("weather")
    assert (rows.task, len(rows), rows.label_names) == ("weather", 120, ("bad", "good"))
    assert np.bincount(rows.labels).tolist() == [60, 60]


def test_the_bound_is_hoeffdings() -> None:
    plugin = named("bounds", "hoeffding")
    assert plugin is not None
    assert loaded(plugin) is HOEFFDING
    losses = Losses.of_right([1] * 96 + [0] * 4, [1] * 100)  # lost on 4 of 100
    assert HOEFFDING.p_value(losses, 0.3) == pytest.approx(math.exp(-100 * 0.26**2 / 2))
    assert HOEFFDING.p_value(losses, 0.04) == 1
    bound = HOEFFDING.upper(losses, 0.05)
    assert HOEFFDING.p_value(losses, bound) == pytest.approx(0.05)


def test_the_bound_promises_too_much_as_rarely_as_it_says() -> None:
    """Policies that lose 0.2 for certain are taken for better in at most 5 % of calibrations."""
    rng = np.random.default_rng(1)
    accepted = 0
    for _ in range(400):
        right = rng.random(200) >= 0.2
        accepted += HOEFFDING.p_value(Losses.of_right(right, np.ones(200)), 0.2) <= 0.05
    assert accepted <= 0.05 * 400
