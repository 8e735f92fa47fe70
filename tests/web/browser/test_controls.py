"""What a person breaks and sets on the page of `dimec up --web`: links, servers, audit, runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from dimec.mobile import Mobile
from support.browser import up
from support.tiers import balanced, texts

_PATIENCE = 60_000.0  # milliseconds


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose router sends a third of the texts to each tier."""
    return balanced(tiny_bundle, tmp_path_factory.mktemp("controls") / "bundle")


@pytest.fixture(scope="module")
def address(bundle: Path) -> Iterator[str]:
    """Of one that all tests share which leave it as it was."""
    with up(bundle) as found:
        yield found.address


@pytest.fixture(scope="module")
def to_cloud(bundle: Path) -> list[str]:
    """Texts that the policy sends to the cloud."""
    with Mobile.open(bundle, state=":memory:") as mobile:
        return [text for text in texts(40) if mobile.decide(text).tier_name == "cloud"]


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    """The page in a profile of its own, ready."""
    context = chromium.new_context()
    context.set_default_timeout(_PATIENCE)
    page = context.new_page()
    page.goto(address)
    ready(page)
    yield page
    context.close()


def ready(page: Page) -> None:
    """Wait until a text can be sent."""
    button = page.get_by_role("button", name="Answer", exact=True)
    expect(button).to_be_enabled(timeout=_PATIENCE)


def ask(page: Page, text: str) -> str:
    """What is said aloud of the answer to a text."""
    page.get_by_role("button", name="Clear the list").click(force=True)
    page.get_by_label("Text", exact=True).fill(text)
    page.get_by_role("button", name="Answer", exact=True).click()
    expect(page.locator("#answer blockquote")).to_have_text(text, timeout=_PATIENCE)
    return page.locator("#said").inner_text()


def card(page: Page, tier: str) -> Locator:
    """A tier's part of the page."""
    return page.locator("#tiers > li").filter(has_text=re.compile(f"^{tier}"))


def run(page: Page, some: list[str]) -> None:
    """Start a run of many texts."""
    box = page.get_by_label("Texts, one a line")
    if not box.is_visible():
        page.get_by_role("heading", name="Run many texts").click()
    box.fill("\n".join(some))
    page.get_by_role("button", name="Run these").click()


def fact(page: Page, name: str) -> Locator:
    """What the ledger says under a name."""
    return page.locator("#ledger > div").filter(has_text=re.compile(f"^{name}")).locator("dd")


def asked(page: Page) -> float:
    """Milliseconds that the cloud took with its link, by the answer's card."""
    said = page.locator("#answer .calls").inner_text()
    found = re.search(r"cloud ([\d.]+) ms", said)
    assert found, said
    return float(found[1])


def test_a_link_can_be_slow_and_is_named_as_people_name_it(page: Page, to_cloud: list[str]) -> None:
    choice = page.get_by_label("Link to cloud", exact=True)
    names = choice.locator("option").all_inner_texts()
    assert names == ["as it is", "3G", "4G", "5G", "Wi-Fi"]
    # A round trip of 3G alone; how long the rest takes does not matter.
    least = page.evaluate(
        "async () => (await (await fetch('setup.json', { headers: { Authorization:"
        " `Bearer ${location.hash.slice(1)}` } })).json()).links['3G'].roundTrip"
    )
    assert least > 50
    choice.select_option("3G")
    assert "cloud answered" in ask(page, to_cloud[0])
    assert asked(page) >= least


def test_a_server_can_be_stopped_and_started_and_others_stand_in_for_it(
    page: Page, to_cloud: list[str]
) -> None:
    cloud = card(page, "cloud")
    page.get_by_role("button", name="Stop the server of cloud").click()
    start = page.get_by_role("button", name="Start the server of cloud")
    expect(start).to_be_visible(timeout=_PATIENCE)
    expect(cloud).to_contain_text("stopped")
    for text in to_cloud[:6]:
        assert "cloud answered" not in ask(page, text)
        expect(page.locator("#answer")).to_contain_text("Not as the policy wanted (cloud:")
    expect(cloud).to_contain_text("circuit open", timeout=_PATIENCE)
    start.click()
    expect(page.get_by_role("button", name="Stop the server of cloud")).to_be_visible(
        timeout=_PATIENCE
    )
    expect(cloud).to_contain_text("running")
    expect(cloud).not_to_contain_text("circuit open", timeout=_PATIENCE)
    assert "cloud answered" in ask(page, to_cloud[6])
    expect(fact(page, "fallbacks")).to_contain_text("cloud: unreachable")


def test_a_run_can_be_stopped_and_says_how_far_it_came(page: Page) -> None:
    some = texts(300) * 4
    # A slow link, so that it is under way when it is stopped.
    for tier in ("edge", "cloud"):
        page.get_by_label(f"Link to {tier}", exact=True).select_option("3G")
    run(page, some)
    stop = page.get_by_role("button", name="Stop", exact=True)
    expect(page.locator("#past > li").first).to_be_visible(timeout=_PATIENCE)
    stop.click()
    said = page.locator("#run-said")
    expect(said).to_have_text(re.compile("Stopped: "), timeout=_PATIENCE)
    found = re.fullmatch(
        rf"Stopped: (\d+) of {len(some)} texts have their answers\.", said.inner_text()
    )
    assert found is not None
    assert 0 < int(found[1]) < len(some)
    expect(fact(page, "answers")).to_have_text(found[1])
    expect(page.get_by_role("button", name="Run these")).to_be_enabled()


def test_an_audit_is_set_drawn_raises_its_alarm_and_is_begun_anew(page: Page) -> None:
    page.get_by_role("heading", name="Settings").click()
    page.get_by_label("Share of texts that the last tier checks").fill("100")
    page.get_by_label("Answers that may differ").fill("1")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("The settings are applied.")).to_be_visible(timeout=_PATIENCE)
    chart = page.get_by_role("figure").filter(has_text="Drift monitor")
    expect(chart).to_contain_text("No answer")
    run(page, texts(120))
    expect(page.locator("#run-said")).to_have_text(re.compile("All 120"), timeout=_PATIENCE)
    # The tiny model's exits differ on far more than one text in a hundred.
    alarm = fact(page, "alarm")
    expect(alarm).to_contain_text("the audit has raised its alarm")
    expect(alarm).to_contain_text("every text goes to the cloud")
    expect(chart).to_contain_text(re.compile(r"E-value \d+"))
    ask(page, texts(121)[-1])
    expect(page.locator("#answer")).to_contain_text("every text goes to the last tier")
    page.get_by_role("button", name="Begin the audit anew").click()
    expect(alarm).to_have_count(0)
    ask(page, texts(122)[-1])
    expect(page.locator("#answer")).not_to_contain_text("every text goes to the last tier")


def test_the_skip_link_leaves_the_key_in_the_address(page: Page, address: str) -> None:
    page.get_by_role("link", name="Skip to the text").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Text", exact=True)).to_be_focused()
    assert page.url == address


def test_another_start_has_the_same_state_and_wants_its_own_address(
    chromium: Browser, bundle: Path
) -> None:
    context = chromium.new_context()
    context.set_default_timeout(_PATIENCE)
    page = context.new_page()
    with up(bundle, "--port", "0") as first:
        port = first.address.partition("/#")[0].rpartition(":")[2]
        page.goto(first.address)
        ready(page)
        ask(page, "a moving film")
        expect(card(page, "cloud")).to_contain_text("running")
    expect(page.locator("#events-said")).to_contain_text("does not answer", timeout=_PATIENCE)
    expect(card(page, "cloud")).to_contain_text("not known")
    with up(bundle, "--port", port) as second:
        assert second.address != first.address
        expect(page.locator("#events-said")).to_contain_text(
            "another key; open the address", timeout=_PATIENCE
        )
        page.goto(second.address)
        expect(page.locator("#events-said")).to_have_text("", timeout=_PATIENCE)
        ready(page)
        expect(fact(page, "answers")).to_have_text("1")
        expect(card(page, "cloud")).to_contain_text("running", timeout=_PATIENCE)
    context.close()
