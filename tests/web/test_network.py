"""The mobile in JavaScript and real servers of tiers: it answers as Python's does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dimec.mobile import Mobile, Prediction
from dimec.mobile.core import Text
from dimec.serving.local import LocalTiers
from support.texts import let_tier_take_texts
from support.tiers import balanced
from support.tiny import reviews
from web.test_package import has_node, run

pytestmark = pytest.mark.skipif(not has_node(), reason="Node 20 or later is not installed")

TOKEN = "a-token-of-the-tests"


@pytest.fixture
def bundle_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Path]:
    """A bundle on texts or pairs, whose tiers take tokens or texts and all get traffic."""

    def make(what: str) -> Path:
        folder = tmp_path / "bundle"
        if what == "looking again":
            web_bundles: Path = request.getfixturevalue("web_bundles")
            return Path(shutil.copytree(web_bundles / "max-softmax-tiers", folder))
        pairs = "pairs" in what
        source = request.getfixturevalue("pair_bundle" if pairs else "tiny_bundle")
        balanced(source, folder, inputs_of(300, pairs=pairs))
        if "texts" in what:
            for tier in ("edge", "cloud"):
                let_tier_take_texts(folder, tier, pairs=pairs)
        return folder

    return make


def inputs_of(number: int, *, pairs: bool) -> list[Text]:
    """Reviews, or pairs of them, and what is short, long or written otherwise."""
    texts = [text for text, _ in reviews(number, seed=3)]
    texts += ["", "naïve 漢字 \U0001f600", f"{texts[0]} {'漢' * 100_000}"]
    return list(zip(texts, reversed(texts), strict=True)) if pairs else list(texts)


@pytest.mark.parametrize("what", ["tokens", "texts", "pairs", "texts of pairs", "looking again"])
def test_it_answers_as_pythons_mobile_does(
    what: str, bundle_of: Callable[[str], Path], tmp_path: Path
) -> None:
    bundle = bundle_of(what)
    texts = inputs_of(40, pairs="pairs" in what)
    with LocalTiers(bundle, TOKEN) as servers:
        with Mobile.open(
            bundle, tiers=servers.urls, token=TOKEN, state=":memory:", timeout=60.0
        ) as mobile:
            answers = [mobile.predict(text) for text in texts]
            device, names = mobile.engine.device, mobile.engine.names
        asked = {stay.tier for answer in answers for stay in answer.path}
        assert asked == set(names)
        told = {
            "bundle": str(bundle),
            "tiers": servers.urls,
            "token": TOKEN,
            "pids": list(servers.pids.values()),
            "device": device,
            "inputs": [
                {"text": text, "answer": answer_of(answer)}
                for text, answer in zip(texts, answers, strict=True)
            ],
        }
        served = tmp_path / "served.json"
        served.write_text(json.dumps(told), "utf-8")
        said = run("node", "--test", "test/served/network.test.js", DIMEC_SERVED=str(served))
    assert "\n# fail 0\n" in said, said[-2_000:]
    assert "\n# skipped 0\n" in said, said[-2_000:]


def answer_of(prediction: Prediction) -> dict[str, Any]:
    """What of an answer does not depend on the machine, named as in JavaScript."""
    stored = prediction.to_dict()
    return {
        "label": prediction.label,
        "route": prediction.route,
        "answeredBy": prediction.answered_by,
        "fallbackReason": prediction.fallback_reason,
        "path": stored["path"],
        "tried": stored["tried"],
        "cost": prediction.cost,
        "probabilities": list(prediction.probabilities.values()),
    }
