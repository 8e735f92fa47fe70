"""Pairs of texts whose last tier somebody else fine-tuned, from training to answers over a socket.

In fp32 all is as in the replay, and as transformers has it; in int8 as the exported graphs have it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import torch
import transformers as hf
from tokenizers import Tokenizer

import dimec
from dimec.bundle.folders import TierBundle, verify_bundle
from dimec.mobile import AsyncMobile, Mobile, Prediction
from dimec.runs.run import Run
from dimec.serving.app import create_app
from dimec.serving.local import LocalTiers
from dimec.serving.settings import ServerSettings
from support.classifiers import save_with_tokenizer
from support.own_tiers import replayed
from support.tiny import reviews, write_reviews

pytestmark = pytest.mark.usefixtures("one_trace")

THEIRS = ("positive", "negative")  # in another order than the task's
NAMES, LONGEST = ("phone", "cloud"), 32

Pair = tuple[str, str]
Values = npt.NDArray[Any]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their classifier, with words of its own."""
    some = [text for text, _ in reviews(60, seed=5)]
    folder = tmp_path_factory.mktemp("theirs") / "one"
    return save_with_tokenizer(folder, "bert", THEIRS, some, layers=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, theirs: Path, tiny_backbone: Path) -> Run:
    """Trained and fitted; the phone is trained here, the cloud is theirs."""
    folder = tmp_path_factory.mktemp("pairs")
    seconds = [text for text, _ in reviews(80, seed=1)]
    rows = [(*row, other) for row, other in zip(reviews(80), seconds, strict=True)]
    table = write_reviews(folder / "pairs.csv", rows, ("text", "label", "pair"))
    run: Run = dimec.train(
        task=f"csv:{table}",
        pair_column="pair",
        out=folder / "run",
        tier=[
            {"name": "phone", "model": str(tiny_backbone), "layer": 1},
            {"name": "cloud", "model": f"hf:{theirs}"},
        ],
        student_epochs=2,
        learning_rate=3e-3,
        max_tokens=LONGEST,
        precision="fp32",
    )
    # Half of the validation rows are taken for easy, so that each tier gets its share of texts.
    run.fit(alphas=[float(np.median(run.dynamics().data_map(1).confidence))])
    return run


@pytest.fixture(scope="module")
def some(run: Run) -> list[Pair]:
    """The pairs of the test split."""
    test = run.splits().test
    return list(zip(test.texts, test.pairs or (), strict=True))


@pytest.fixture(scope="module")
def answers(
    run: Run, some: list[Pair], tmp_path_factory: pytest.TempPathFactory
) -> list[Prediction]:
    """What the mobile says of them, with a server of the cloud."""
    bundle = tmp_path_factory.mktemp("fp32") / "bundle"
    run.export(bundle)
    with (
        LocalTiers(bundle) as tiers,
        Mobile.open(bundle, state=":memory:", tiers=tiers.urls, timeout=30.0) as mobile,
    ):
        return list(mobile.predict_many(some))


async def asked_of_the_application(
    tiers: Mapping[str, TierBundle], some: Sequence[Pair]
) -> list[Prediction]:
    """What the mobile says, with the cloud's server in this process: all of it but the socket."""
    app = create_app(tiers["cloud"], ServerSettings.of(threads=1, log_level="error"))
    options: dict[str, Any] = {
        "tiers": {"cloud": "http://cloud.test"},
        "transports": {"cloud": httpx2.ASGITransport(app)},
    }
    try:
        bundle = tiers["phone"].path
        async with AsyncMobile.open(bundle, state=":memory:", timeout=30.0, **options) as mobile:
            return [answer async for answer in mobile.predict_many(some)]
    finally:
        app.close()
        app.log.close()


def session(path: Path) -> Any:
    """A graph in onnxruntime itself, at the level at which dimec runs it."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def said_by_graphs(tier: TierBundle, pair: Pair) -> Values:
    """(C,) what a tier's graphs say of a pair by itself, tokenised by the file beside them."""
    encoding = Tokenizer.from_file(str(tier.path / "tokenizer.json")).encode(*pair)
    values = {
        "input_ids": np.array([encoding.ids]),
        "attention_mask": np.array([encoding.attention_mask]),
        "token_type_ids": np.array([encoding.type_ids]),
    }
    for name in tier.manifest.graphs:
        graph = session(tier.path / name)
        asked = {each.name: values[each.name] for each in graph.get_inputs()}
        found = graph.run(None, asked)
        values |= {each.name: one for each, one in zip(graph.get_outputs(), found, strict=True)}
    return np.asarray(values["probabilities"][0])


class TestInFp32:
    def test_all_is_as_in_the_replay(self, run: Run, answers: list[Prediction]) -> None:
        deployment = run.deployment()
        expected = replayed(run, run.stored_policy().policy, deployment)
        for answer, wanted in zip(answers, expected, strict=True):
            path = [(stay.tier, stay.start, stay.stop, stay.payload) for stay in answer.path]
            assert path == [(NAMES[v.tier], v.start, v.stop, v.payload) for v in wanted.path]
            assert (answer.cost, answer.fallback_reason) == (wanted.cost, None)
            got = [*answer.probabilities.values()]
            np.testing.assert_allclose(got, wanted.probabilities, rtol=0, atol=1e-5)
        assert {answer.answered_by for answer in answers} == {*NAMES}

    def test_the_cloud_says_what_their_classifier_says(
        self, answers: list[Prediction], some: list[Pair], theirs: Path
    ) -> None:
        """Label by label, as transformers has it: theirs are in another order than the task's."""
        classifier = hf.AutoModelForSequenceClassification.from_pretrained(theirs).eval()
        tokenizer = hf.AutoTokenizer.from_pretrained(theirs)
        asked = [one for one in zip(answers, some, strict=True) if one[0].answered_by == "cloud"]
        for answer, (text, pair) in asked:
            inputs = tokenizer(text, pair, truncation=True, max_length=LONGEST, return_tensors="pt")
            with torch.inference_mode():
                shares = classifier(**inputs).logits[0].softmax(dim=0).tolist()
            wanted = {classifier.config.id2label[k]: share for k, share in enumerate(shares)}
            assert tuple(wanted) == THEIRS
            assert answer.probabilities == pytest.approx(wanted, abs=1e-5)
            assert answer.label == max(wanted, key=lambda label: wanted[label])


class TestInInt8:
    def test_both_tiers_say_what_their_graphs_say(
        self, run: Run, some: list[Pair], tmp_path: Path
    ) -> None:
        """The phone its own, the cloud's server of the texts that it is sent."""
        report = run.export(tmp_path / "bundle", int8=NAMES, force=True)
        tiers = verify_bundle(tmp_path / "bundle")[1]
        takes = [(tier.manifest.precision, tier.manifest.takes) for tier in tiers.values()]
        assert takes == [("int8", "tokens"), ("int8", "text")]
        trace, worst = run.trace("test"), dict.fromkeys(NAMES, 0.0)
        for row, answer in enumerate(asyncio.run(asked_of_the_application(tiers, some))):
            name = answer.answered_by
            got = np.array([*answer.probabilities.values()])
            np.testing.assert_allclose(got, said_by_graphs(tiers[name], some[row]), atol=1e-6)
            exact = trace.probabilities[row, trace.column(1, name)]
            worst[name] = max(worst[name], float(np.abs(got - exact).max()))
        for tier in report.tiers:
            # The export compared these rows among others, each by itself.
            assert 1e-5 < worst[tier.tier] <= tier.parity.difference + 1e-6
