"""A mobile of a bundle whose tiers have other names than the paper's."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from dimec.base.errors import ConfigError
from dimec.mobile import AsyncMobile, Mobile
from support.tiers import Tier, failing, renamed, texts

NAMES = ("phone", "box", "dc")
URLS = {name: f"http://{name}.test" for name in NAMES[1:]}


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Path:
    return renamed(bundle, tmp_path_factory.mktemp("named") / "bundle", *NAMES)


@pytest.fixture
def servers(named: Path) -> dict[str, Tier]:
    return {name: Tier(named, name) for name in NAMES[1:]}


def options(servers: dict[str, Tier]) -> dict[str, Any]:
    transports = {name: tier.transport() for name, tier in servers.items()}
    return {"state": ":memory:", "tiers": URLS, "timeout": 20.0, "transports": transports}


def test_each_text_goes_to_the_tier_of_that_name(named: Path, servers: dict[str, Tier]) -> None:
    some = texts(40)
    with Mobile.open(named / "phone", adaptive=True, **options(servers)) as mobile:
        chosen = mobile.decide(some[0])
        answers = list(mobile.predict_many(some))
        ledger = mobile.ledger()
    assert chosen.tier_name == NAMES[chosen.tier] == answers[0].route
    assert tuple(chosen.scores) == NAMES
    assert {a.answered_by for a in answers} == set(NAMES)
    assert all(a.answered_by == a.route and a.fallback_reason is None for a in answers)
    for counts in (ledger.routes, ledger.answered):
        assert tuple(counts) == NAMES
    assert ledger.answered == {n: sum(a.answered_by == n for a in answers) for n in NAMES}


def test_the_deepest_of_the_others_stands_in(named: Path, servers: dict[str, Tier]) -> None:
    servers["box"].behaviour = failing(503)
    with Mobile.open(named / "phone", **options(servers)) as mobile:
        answers = [a for a in mobile.predict_many(texts(40)) if a.route == "box"]
    assert {a.answered_by for a in answers} == {"dc"}
    assert all(str(a.fallback_reason).startswith("box: ") for a in answers)


def test_the_asynchronous_mobile_takes_names_too(named: Path, servers: dict[str, Tier]) -> None:
    async def ask() -> list[str]:
        transports = {name: tier.async_transport() for name, tier in servers.items()}
        given = {**options(servers), "transports": transports}
        async with AsyncMobile.open(named / "phone", **given) as mobile:
            return [a.answered_by async for a in mobile.predict_many(texts(40))]

    assert set(asyncio.run(ask())) == set(NAMES)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tiers": {"edge": "http://a.test"}}, "given for 'edge'; .* server are box, dc"),
        ({"edge": "http://a.test"}, "given for 'edge'; .* server are box, dc"),
        ({"tiers": {"phone": "http://a.test"}}, "given for 'phone'; .* server are box, dc"),
        ({"tiers": {"edge": "http://a.test"}, "edge": "http://a.test"}, "tier edge was .* twice"),
    ],
)
def test_an_address_has_one_tier(named: Path, given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Mobile.open(named / "phone", state=":memory:", **given)
