"""Labels of audited texts: the drop in accuracy is watched by them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from dimec.base.errors import DataError
from dimec.contract.monitor import Monitor
from dimec.mobile import AsyncMobile, Mobile
from support.promised import DROP, Opposite, promised
from support.tiers import Tier, failing, texts

OpenMobile = Callable[..., Mobile]
SOME = texts(60)


@pytest.fixture(scope="module")
def dropping(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Path:
    """The bundle, its policy fitted for a drop of at most 10 points."""
    return promised(bundle, tmp_path_factory.mktemp("promised") / "bundle", DROP)


@pytest.fixture
def tiers(bundle: Path) -> dict[str, Tier]:
    """The edge, and a cloud that says the opposite of its model."""
    return {"edge": Tier(bundle, "edge"), "cloud": Opposite(bundle, "cloud")}


@pytest.fixture
def open_dropping(
    dropping: Path, tiers: dict[str, Tier], tmp_path: Path
) -> Iterator[Callable[[], Mobile]]:
    """A mobile of it that audits every text, with the same state each time."""
    opened: list[Mobile] = []

    def open_() -> Mobile:
        transports = {name: tier.transport() for name, tier in tiers.items()}
        urls = {name: f"http://{name}.test" for name in tiers}
        mobile = Mobile.open(
            dropping,
            tiers=urls,
            transports=transports,
            state=tmp_path / "drop.sqlite",
            audit=1.0,
            audit_bound=99.0,
        )
        opened.append(mobile)
        return mobile

    yield open_
    for mobile in opened:
        mobile.close()


def differing(mobile: Mobile, cloud: Tier) -> list[tuple[str, str, str] | None]:
    """Answer the texts: for each that differs its id, the label given, and the cloud's."""
    core = mobile.engine.core  # of two classes, so the least is what the cloud here says
    found: list[tuple[str, str, str] | None] = []
    for number, text in enumerate(SOME):
        answer = mobile.predict(text, id=f"{number}")
        reference = core.labels[int(cloud.graph(**core.tokenise(text))[0].argmin())]
        same = answer.label == reference
        found.append(None if same else (answer.id, answer.label, reference))
    assert sum(one is not None for one in found) > 5
    return found


def by_hand(values: Sequence[int]) -> str:
    monitor = Monitor.of_drops(0.1, (1 - 0.9) / 2)
    monitor.extend(values)
    return monitor.to_json()


def drops(mobile: Mobile) -> str:
    """What the monitor of drops knows."""
    watch = mobile.engine.state.watch
    assert watch is not None
    assert watch.drops is not None
    return watch.drops.to_json()


def test_rows_are_seen_in_order_however_late_the_labels_come(
    open_dropping: Callable[[], Mobile], tiers: dict[str, Tier]
) -> None:
    mobile = open_dropping()
    found = differing(mobile, tiers["cloud"])
    first = next(row for row, one in enumerate(found) if one is not None)
    assert drops(mobile) == by_hand([0] * first)  # those that agree wait behind it
    rows = [one for one in found if one is not None]
    for number, (id_, given, _) in enumerate(reversed(rows)):
        assert drops(mobile) == by_hand([0] * first)
        assert mobile.label(id_, given) == -1  # the policy alone is right
        if number == 2:  # over a restart too
            mobile.close()
            mobile = open_dropping()
    assert drops(mobile) == by_hand([0 if one is None else -1 for one in found])


def test_a_drop_raises_the_alarm(
    open_dropping: Callable[[], Mobile],
    tiers: dict[str, Tier],
    caplog: pytest.LogCaptureFixture,
) -> None:
    mobile = open_dropping()
    found = differing(mobile, tiers["cloud"])
    assert not mobile.info().safe
    for one in found:
        if one is not None:
            assert mobile.label(one[0], one[2]) == 1  # the cloud alone is right
    assert drops(mobile) == by_hand([int(one is not None) for one in found])
    assert mobile.info().safe
    assert caplog.messages == [mobile.engine.audit.told()]
    assert "the drop in accuracy is over 10 points" in caplog.text
    assert mobile.predict("the film is moving").policy == "all-cloud"
    mobile.close()
    assert open_dropping().info().safe


def test_a_text_of_a_policy_that_did_not_differ_drops_nothing(
    open_dropping: Callable[[], Mobile], tiers: dict[str, Tier]
) -> None:
    mobile = open_dropping()
    found = differing(mobile, tiers["cloud"])
    same = next(f"{row}" for row, one in enumerate(found) if one is None)
    for label in mobile.engine.core.labels:
        assert mobile.label(same, label) == 0


def test_what_is_no_label_of_an_audited_text_is_refused(
    open_dropping: Callable[[], Mobile], open_mobile: OpenMobile, tiers: dict[str, Tier]
) -> None:
    mobile = open_dropping()
    found = differing(mobile, tiers["cloud"])
    id_, given, reference = next(one for one in found if one is not None)
    with pytest.raises(DataError, match=r"expected a label among .*, got 'superb'"):
        mobile.label(id_, "superb")
    with pytest.raises(DataError, match="the text 'nobody' was not audited"):
        mobile.label("nobody", given)
    mobile.label(id_, given)
    assert mobile.label(id_, given) == -1  # the same once more changes nothing
    with pytest.raises(DataError, match="was given another label before"):
        mobile.label(id_, reference)
    tiers["cloud"].behaviour = failing(401)
    mobile.predict("the film is moving", id="failed")
    with pytest.raises(DataError, match="'failed' has no answer of the last tier"):
        mobile.label("failed", given)
    plain = open_mobile()
    plain.predict("the film is moving", id="one")
    with pytest.raises(DataError, match="has no audit, so no label is needed"):
        plain.label("one", given)


def test_of_an_asynchronous_mobile(
    dropping: Path, tiers: dict[str, Tier], open_dropping: Callable[[], Mobile]
) -> None:
    transports = {name: tier.async_transport() for name, tier in tiers.items()}
    urls = {name: f"http://{name}.test" for name in tiers}
    options: dict[str, Any] = {"state": ":memory:", "audit": 1.0, "audit_bound": 99.0}
    rows = differing(open_dropping(), tiers["cloud"])
    number = next(row for row, one in enumerate(rows) if one is not None)

    async def work() -> tuple[int, int | None]:
        opened = AsyncMobile.open(dropping, tiers=urls, transports=transports, **options)
        async with opened as mobile:
            answer = await mobile.predict(SOME[number], id="one")
            lost = await mobile.label("one", answer.label)
            await mobile.reset_audit()
            return lost, (await mobile.ledger()).alarm

    assert asyncio.run(work()) == (-1, None)
