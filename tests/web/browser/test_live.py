"""The page of `dimec up --web` in a real browser, and the policy of content that it is held to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from dimec.bundle.folders import read_manifest
from dimec.mobile import Mobile
from support.browser import up
from support.tiers import balanced, texts

_PATIENCE = 60_000.0  # milliseconds
# Before any script of the page: what its policy of content has stopped, in the page itself.
_VIOLATIONS = """addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
});"""
# The rule that stops a trial. Later, since what a debugger evaluates may do what a page may not.
_STOPPED = """() => new Promise((resolve) => {
  const told = (event) => resolve(event.effectiveDirective);
  addEventListener("securitypolicyviolation", told, { once: true });
  setTimeout(() => TRIAL, 0);
})"""
# What a page might be made to do → code, and the rule that stops it.
_TRIALS = {
    "a script in the page": (
        "document.body.append(Object.assign(document.createElement('script'), "
        "{ textContent: 'window.ran = true' }))",
        "script-src-elem",
    ),
    "a script from elsewhere": (
        "document.body.append(Object.assign(document.createElement('script'), "
        "{ src: 'http://localhost:9/x.js' }))",
        "script-src-elem",
    ),
    "code made of a text": ("eval('window.ran = true')", "script-src"),
    "asking a server that is no tier's": ("fetch('http://localhost:9/')", "connect-src"),
    "a frame": (
        "document.body.append(Object.assign(document.createElement('iframe'), "
        "{ src: 'http://localhost:9/' }))",
        "frame-src",
    ),
}


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose router sends a third of the texts to each tier."""
    return balanced(tiny_bundle, tmp_path_factory.mktemp("live page") / "bundle")


@pytest.fixture(scope="module")
def address(bundle: Path) -> Iterator[str]:
    """What is printed, while it is served."""
    with up(bundle) as found:
        yield found.address


@pytest.fixture
def wrong() -> list[str]:
    """What the browser complains of."""
    return []


@pytest.fixture
def page(chromium: Browser, address: str, wrong: list[str]) -> Iterator[Page]:
    """The page, once a text can be sent."""
    context = chromium.new_context()
    context.set_default_timeout(_PATIENCE)
    context.add_init_script(_VIOLATIONS)
    page = context.new_page()

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            wrong.append(message.text)

    page.on("console", heard)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    page.goto(address)
    expect(page.get_by_role("button", name="Answer", exact=True)).to_be_enabled()
    yield page
    context.close()


def said_of(page: Page, text: str) -> str:
    """What is said aloud of the answer to a text."""
    page.get_by_label("Text", exact=True).fill(text)
    page.get_by_role("button", name="Answer", exact=True).click()
    expect(page.locator("#answer blockquote")).to_have_text(text)
    said = page.locator("#said")
    expect(said).to_contain_text("answered in")
    return said.inner_text()


def test_it_answers_like_python_from_every_tier_and_breaks_no_rule_of_its_own(
    page: Page, bundle: Path, wrong: list[str]
) -> None:
    # Without servers Python's answer to a text that leaves the device is another; its route is not.
    with Mobile.open(bundle, state=":memory:") as mobile:
        ways = {text: mobile.decide(text).tier_name for text in texts(40)}
    for tier in read_manifest(bundle).names:
        text = next(one for one, way in ways.items() if way == tier)
        assert f"; {tier} answered in " in said_of(page, text)
    assert wrong == []


def test_the_key_goes_nowhere_but_to_the_site_itself(
    page: Page, address: str, bundle: Path
) -> None:
    origin, _, key = address.partition("/#")
    with Mobile.open(bundle, state=":memory:") as mobile:
        away = next(text for text in texts(40) if mobile.decide(text).tier)
    seen: list[tuple[str, str]] = []
    page.on("request", lambda one: seen.append((one.url, str(one.headers))))
    page.reload()
    expect(page.get_by_role("button", name="Answer", exact=True)).to_be_enabled()
    said_of(page, away)
    assert any(not url.startswith(origin) for url, _ in seen)
    assert any(key in headers for _, headers in seen)
    for url, headers in seen:
        assert key not in url
        assert key not in headers or url.startswith(f"{origin}/")


@pytest.mark.parametrize("trial", _TRIALS)
def test_the_policy_of_content_stops(page: Page, wrong: list[str], trial: str) -> None:
    """So that the silence above is the page's, and not one of a test that hears nothing."""
    code, directive = _TRIALS[trial]
    stopped = page.evaluate(_STOPPED.replace("TRIAL", code))
    assert stopped == directive
    assert page.evaluate("() => window.ran ?? null") is None
    assert any(one.startswith("policy: ") for one in wrong)
