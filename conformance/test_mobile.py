"""The mobile and ``dimec predict`` with a real Triton as edge and cloud."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dimec.bundle.folders import TierBundle, write_manifest
from dimec.mobile import AsyncMobile, Mobile, Prediction
from support.tiers import texts
from support.tiny import dimec
from triton_server import TritonServer

SOME = texts(60)


def answers(bundle: Path, some: Sequence[str], edge: str, cloud: str) -> list[Prediction]:
    """What a mobile says to the texts, one after the other."""
    with Mobile.open(bundle, edge=edge, cloud=cloud, state=":memory:", timeout=20) as mobile:
        return [mobile.predict(text) for text in some]


def shown(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """What must not depend on who serves; probabilities to six digits."""
    return [
        {
            "label": p.label,
            "probabilities": {k: round(v, 5) for k, v in p.probabilities.items()},
            "route": p.route,
            "answered_by": p.answered_by,
            "fallback_reason": p.fallback_reason,
            "cost": p.cost,
        }
        for p in predictions
    ]


@pytest.fixture(scope="module")
def expected(bundle: Path, ours: dict[str, str]) -> list[Prediction]:
    """The answers with dimec's own servers."""
    return answers(bundle, SOME, **ours)


def test_every_tier_has_a_share_of_the_texts(expected: Sequence[Prediction]) -> None:
    assert {p.answered_by for p in expected} == {"mobile", "edge", "cloud"}
    assert all(p.fallback_reason is None for p in expected)


def test_triton_in_place_of_our_servers_changes_no_answer(
    bundle: Path, triton: TritonServer, expected: Sequence[Prediction]
) -> None:
    found = answers(bundle, SOME, edge=triton.url, cloud=triton.url)
    assert shown(found) == shown(expected)


def test_many_at_once_and_the_asynchronous_mobile_get_the_same(
    bundle: Path, triton: TritonServer, expected: Sequence[Prediction]
) -> None:
    url = triton.url
    with Mobile.open(bundle, edge=url, cloud=url, state=":memory:", timeout=20) as mobile:
        many = list(mobile.predict_many(SOME, workers=8))

    async def by_tasks() -> list[Prediction]:
        opened = AsyncMobile.open(bundle, edge=url, cloud=url, state=":memory:", timeout=20)
        async with opened as mobile:
            return [prediction async for prediction in mobile.predict_many(SOME, workers=8)]

    assert shown(many) == shown(expected)
    assert shown(asyncio.run(by_tasks())) == shown(expected)


def test_while_triton_is_gone_the_mobile_answers_and_says_why(
    bundle: Path, own_triton: TritonServer, expected: Sequence[Prediction]
) -> None:
    away = [i for i, p in enumerate(expected) if p.route != "mobile"]
    first, second, third = away[:2], away[2:4], away[4:6]
    url = own_triton.url
    with Mobile.open(bundle, edge=url, cloud=url, state=":memory:", timeout=5) as mobile:
        before = [mobile.predict(SOME[i]) for i in first]
        own_triton.kill()
        meanwhile = [mobile.predict(SOME[i]) for i in second]
        own_triton.start()
        after = [mobile.predict(SOME[i]) for i in third]
        ledger = mobile.ledger()
    assert shown(before) == shown([expected[i] for i in first])
    for prediction in meanwhile:
        assert prediction.answered_by == "mobile"
        assert prediction.fallback_reason
        assert "unreachable" in prediction.fallback_reason
    assert shown(after) == shown([expected[i] for i in third])
    assert ledger.answers == 6


def test_a_mobile_of_another_export_falls_back_by_version(
    bundle: Path, triton: TritonServer, tmp_path: Path
) -> None:
    other = _with_other_versions(bundle / "mobile", tmp_path / "mobile")
    found = answers(other, SOME[:20], edge=triton.url, cloud=triton.url)
    asked = [p for p in found if p.route != "mobile"]
    assert {p.answered_by for p in asked} == {"mobile"}
    reasons = [str(p.fallback_reason) for p in asked]
    # A tier that has failed five times in a row is left alone for a while.
    assert all(reason.count(": wrong version") == 2 for reason in reasons[:5])
    assert all(reason.count(": circuit open") == 2 for reason in reasons[5:])
    assert len(reasons) > 5


def _with_other_versions(mobile: Path, out: Path) -> Path:
    shutil.copytree(mobile, out)
    manifest = TierBundle.open(out).manifest
    others = {"edge": "17", "cloud": "18"}
    tiers = tuple(
        record.model_copy(update={"version": others.get(record.name, record.version)})
        for record in manifest.tiers
    )
    write_manifest(out, manifest.model_copy(update={"tiers": tiers}))
    return out


def test_dimec_predict_asks_triton(
    bundle: Path, triton: TritonServer, expected: Sequence[Prediction], tmp_path: Path
) -> None:
    lines = tmp_path / "texts.txt"
    lines.write_text("\n".join(SOME) + "\n", "utf-8")
    out = tmp_path / "answers.jsonl"
    said = dimec(
        *("predict", bundle / "mobile", "--input", lines, "--output", out),
        *("--edge", triton.url, "--cloud", triton.url, "--timeout", "20"),
        XDG_STATE_HOME=str(tmp_path / "state"),
    )
    assert said.code == 0, said
    found = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    keys = ("label", "route", "answered_by", "fallback_reason", "cost")
    assert [{k: row[k] for k in keys} for row in found] == [
        {k: row[k] for k in keys} for row in shown(expected)
    ]
