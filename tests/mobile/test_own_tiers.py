"""A mobile whose tiers have a model each: the last one is sent texts, and all is as in a replay."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import CorruptArtefactError, MismatchError
from dimec.mobile import AsyncMobile, Mobile, Prediction
from dimec.mobile.prediction import Stay
from dimec.policies.base import Policy
from dimec.policies.kinds import StoredPolicy
from dimec.policies.registry import FitInputs
from dimec.policies.servable import fit_servable
from dimec.protocol import BINARY_HEADER, decode_request
from dimec.runs.run import Run
from dimec.serving.local import LocalTiers
from support.own_tiers import OWN, URLS, own_deployment, replayed, with_policy
from support.tampering import change
from support.tiers import Tier, failing, timeless

DEPLOYMENT = own_deployment()


@pytest.fixture(scope="module")
def run(own_bundle: Path) -> Run:
    return Run(own_bundle.parent / "run")


@pytest.fixture(scope="module")
def some(run: Run) -> list[str]:
    """The texts of the test split."""
    return list(run.splits().test.texts)


@pytest.fixture
def servers(own_bundle: Path) -> dict[str, Tier]:
    return {name: Tier(own_bundle, name) for name in URLS}


@pytest.fixture
def open_mobile(own_bundle: Path, servers: dict[str, Tier]) -> Iterator[Callable[..., Mobile]]:
    with ExitStack() as stack:

        def open_(bundle: Path = own_bundle, **options: Any) -> Mobile:
            transports = {name: tier.transport() for name, tier in servers.items()}
            given = {"state": ":memory:", "tiers": URLS, "transports": transports, "timeout": 20.0}
            return stack.enter_context(Mobile.open(bundle, **{**given, **options}))

        yield open_


def assert_as_replayed(
    answers: list[Prediction], run: Run, policy: Policy, tolerance: float = 1e-5
) -> None:
    for answer, expected in zip(answers, replayed(run, policy, DEPLOYMENT), strict=True):
        names = DEPLOYMENT.names
        path = tuple(Stay(names[v.tier], v.start, v.stop, v.payload) for v in expected.path)
        assert answer.path == path
        assert answer.cost == expected.cost
        got = [*answer.probabilities.values()]
        np.testing.assert_allclose(got, expected.probabilities, rtol=0, atol=tolerance)
        assert answer.answered_by == names[expected.path[-1].tier]
        assert (answer.tried, answer.fallback_reason) == ((), None)


def policy_of(run: Run) -> Policy:
    return StoredPolicy.load(run.path).policy


class TestAsInTheReplay:
    def test_text_by_text_on_from_exit_to_tier(
        self, open_mobile: Callable[..., Mobile], run: Run, some: list[str]
    ) -> None:
        mobile = open_mobile()
        answers = [mobile.predict(text) for text in some]
        assert_as_replayed(answers, run, policy_of(run))
        ends = {(a.answered_by, a.path[0].stop) for a in answers}
        assert ends == {("phone", 0), ("phone", 1), ("edge", 1), ("cloud", 1)}

    def test_in_a_stream_and_asynchronously(
        self,
        open_mobile: Callable[..., Mobile],
        own_bundle: Path,
        servers: dict[str, Tier],
        run: Run,
        some: list[str],
    ) -> None:
        answers = list(open_mobile().predict_many(some, workers=3))
        assert_as_replayed(answers, run, policy_of(run))

        async def ask() -> tuple[list[Prediction], list[Prediction]]:
            transports = {name: tier.async_transport() for name, tier in servers.items()}
            options: Any = {"state": ":memory:", "tiers": URLS, "timeout": 20.0}
            async with AsyncMobile.open(own_bundle, transports=transports, **options) as other:
                singles = [await other.predict(text) for text in some[:8]]
                return singles, [answer async for answer in other.predict_many(some)]

        singles, many = asyncio.run(ask())
        assert_as_replayed(many, run, policy_of(run))
        # One text by itself: the same graph at another batch size sums in another order.
        assert [one.path for one in timeless(singles)] == [one.path for one in answers[:8]]

    @pytest.mark.parametrize("lam", [0.001, 0.05])
    def test_of_a_cascade_fitted_to_the_joined_trace(
        self,
        open_mobile: Callable[..., Mobile],
        own_bundle: Path,
        run: Run,
        some: list[str],
        tmp_path: Path,
        lam: float,
    ) -> None:
        inputs = FitInputs(run.trace("validation"), DEPLOYMENT, lam)
        policy = fit_servable("cascade", inputs, {}).policy
        mobile = open_mobile(with_policy(own_bundle, tmp_path / "phone", policy))
        assert_as_replayed([mobile.predict(text) for text in some], run, policy)

    def test_over_servers(self, own_bundle: Path, run: Run, some: list[str]) -> None:
        with (
            LocalTiers(own_bundle) as tiers,
            Mobile.open(own_bundle, state=":memory:", tiers=tiers.urls, timeout=30.0) as mobile,
        ):
            answers = list(mobile.predict_many(some))
            singles = [mobile.predict(text) for text in some]
        assert_as_replayed(answers, run, policy_of(run))
        assert_as_replayed(singles, run, policy_of(run))


class TestWhatIsSent:
    def test_token_ids_where_the_words_are_the_same_and_else_the_text(
        self, open_mobile: Callable[..., Mobile], servers: dict[str, Tier], some: list[str]
    ) -> None:
        mobile = open_mobile()
        answers = {text: mobile.predict(text) for text in some}
        asked = {
            name: [
                decode_request(one.content, one.headers.get(BINARY_HEADER)).inputs
                for one in tier.requests
            ]
            for name, tier in servers.items()
        }
        core = mobile.engine.core
        seen = {name: [t for t in some if name in _tiers(answers[t])] for name in servers}
        assert all(seen.values())
        for text, inputs in zip(seen["edge"], asked["edge"], strict=True):
            np.testing.assert_array_equal(inputs["input_ids"], core.tokenise(text)["input_ids"])
        assert [one["text"].tolist() for one in asked["cloud"]] == [
            [[text.encode()]] for text in seen["cloud"]
        ]
        assert {*map(tuple, asked["cloud"])} == {("text",)}

    def test_a_text_of_any_characters_and_of_a_long_one_its_beginning(
        self,
        open_mobile: Callable[..., Mobile],
        own_bundle: Path,
        servers: dict[str, Tier],
        run: Run,
        tmp_path: Path,
    ) -> None:
        policy = _straight_to_the_cloud(run)
        mobile = open_mobile(with_policy(own_bundle, tmp_path / "phone", policy))
        texts = ["", "\x00 ünïcödé \U0001f3ac\u202e", "the film is dull and " * 13_000]
        answers = list(mobile.predict_many(texts, workers=1))
        assert [answer.answered_by for answer in answers] == ["cloud"] * 3
        sent = [
            value
            for one in servers["cloud"].requests
            for value in decode_request(one.content, one.headers[BINARY_HEADER])
            .inputs["text"][:, 0]
            .tolist()
        ]
        assert sorted(map(len, sent)) == [0, len(texts[1].encode()), 1 << 18]
        assert texts[1].encode() in sent
        expected = servers["cloud"]._of_text(texts[2].encode())[0]
        np.testing.assert_allclose([*answers[2].probabilities.values()], expected, atol=1e-5)

    def test_an_audit_asks_the_last_tier_of_every_text(
        self, open_mobile: Callable[..., Mobile], run: Run, some: list[str]
    ) -> None:
        trace = run.trace("test")
        last = trace.probabilities[:, trace.column(3, "cloud")].argmax(axis=1)
        plain = open_mobile()
        expected = [plain.predict(text) for text in some]
        different = sum(
            a.label != trace.label_names[k] for a, k in zip(expected, last, strict=True)
        )
        for workers in (0, 3):
            mobile = open_mobile(audit=1.0, audit_bound=99.0)
            answers = (
                list(mobile.predict_many(some, workers=workers))
                if workers
                else [mobile.predict(text) for text in some]
            )
            assert [a.path for a in answers] == [a.path for a in expected]
            ledger = mobile.ledger()
            found = (ledger.audited, ledger.different, ledger.audits_failed)
            assert found == (len(some), different, 0)

    def test_where_a_tier_fails_what_an_exit_said_is_the_answer(
        self, open_mobile: Callable[..., Mobile], servers: dict[str, Tier], some: list[str]
    ) -> None:
        servers["cloud"].behaviour = failing(503)
        answers = [a for a in open_mobile().predict_many(some) if a.fallback_reason]
        assert answers
        assert {a.answered_by for a in answers} == {"edge"}
        assert {a.tried for a in answers} == {("cloud",)}

    def test_a_tier_of_texts_stands_in_for_one_of_token_ids(
        self,
        open_mobile: Callable[..., Mobile],
        own_bundle: Path,
        servers: dict[str, Tier],
        run: Run,
        some: list[str],
        tmp_path: Path,
    ) -> None:
        servers["edge"].behaviour = failing(503)
        policy = _straight_to_the_cloud(run, pool=1)
        mobile = open_mobile(with_policy(own_bundle, tmp_path / "phone", policy))
        for text in some[:3]:
            answer = mobile.predict(text)
            assert (answer.route, answer.answered_by) == ("edge", "cloud")
            expected = servers["cloud"]._of_text(text.encode())[0]
            np.testing.assert_allclose([*answer.probabilities.values()], expected, atol=1e-6)


class TestABundleThatDoesNotGoTogether:
    @pytest.fixture
    def copy(self, own_bundle: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(own_bundle / "phone", tmp_path / "phone"))

    def _provenance(self, folder: Path, **fields: Any) -> None:
        known = json.loads((folder / "manifest.json").read_text())["provenance"]
        change(folder, provenance={**known, **fields})

    def test_a_policy_of_other_models(self, copy: Path, open_mobile: Callable[..., Mobile]) -> None:
        self._provenance(copy, model="0" * 64)
        with pytest.raises(MismatchError, match="fitted on another model"):
            open_mobile(copy)

    def test_an_exit_0_of_another_tier_s_model(
        self, copy: Path, open_mobile: Callable[..., Mobile], run: Run
    ) -> None:
        models = run.training()["models"]
        self._provenance(copy, models={**models, "phone": models["edge"]})
        with pytest.raises(CorruptArtefactError, match=r"exit0\.safetensors does not go with"):
            open_mobile(copy)

    @pytest.mark.parametrize("sources", [["phone"], ["phone", *OWN, *OWN], 3, None])
    def test_exits_whose_models_are_not_told(
        self, copy: Path, open_mobile: Callable[..., Mobile], sources: Any
    ) -> None:
        self._provenance(copy, sources=sources)
        with pytest.raises(CorruptArtefactError, match=r"policy\.json does not go with"):
            open_mobile(copy)


def _tiers(answer: Prediction) -> set[str]:
    return {stay.tier for stay in answer.path}


def _straight_to_the_cloud(run: Run, pool: int = 2) -> Policy:
    from dimec.policies.routed import RouterPolicy
    from dimec.routing import SingleTierRouter

    return RouterPolicy("there", SingleTierRouter(pool))
