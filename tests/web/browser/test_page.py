"""The page itself: typed, read and broken as a person does it, by the names that are read aloud."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, expect

from dimec.mobile import Mobile
from dimec.serving.local import LocalTiers
from dimec.web.site import write_site
from support.browser import served
from support.tiers import balanced, texts

_TOKEN = "of-these-tests"
_PATIENCE = 30_000.0


class Place(NamedTuple):
    """A bundle, its site's folder and origin, and its tiers."""

    bundle: Path
    site: Path
    origin: str
    tiers: LocalTiers


@pytest.fixture(scope="module")
def place(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A bundle whose router sends a third of the texts to each tier, its site and servers."""
    folder = tmp_path_factory.mktemp("page")
    bundle = balanced(tiny_bundle, folder / "bundle")
    site = folder / "site"
    write_site(bundle, site)
    with ExitStack() as stack:
        origin = stack.enter_context(served(site))
        tiers = stack.enter_context(LocalTiers(bundle, _TOKEN, cors_origins=(origin,)))
        # The addresses are known only now.
        write_site(bundle, site, tiers.urls)
        yield Place(bundle, site, origin, tiers)


@pytest.fixture
def page(chromium: Browser, place: Place) -> Iterator[Page]:
    """The page in a profile of its own, with the tiers' token; nothing goes wrong unseen."""
    context = chromium.new_context()
    context.set_default_timeout(_PATIENCE)
    page = context.new_page()
    wrong: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        # The browser writes each request that failed; those are this test's own doing.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            wrong.append(message.text)

    page.on("console", heard)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(place.origin)
    opened(page)
    set_token(page, _TOKEN)
    yield page
    context.close()
    assert wrong == []


def opened(page: Page) -> None:
    """Wait until a text can be sent."""
    expect(page.get_by_role("button", name="Answer", exact=True)).to_be_enabled(timeout=_PATIENCE)


def set_token(page: Page, token: str) -> None:
    """By the settings; the model is opened again."""
    settings = page.get_by_role("heading", name="Settings")
    field = page.get_by_label("Token of the tiers")
    if not field.is_visible():
        settings.click()
    field.fill(token)
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("The settings are applied.")).to_be_visible(timeout=_PATIENCE)


def ask(page: Page, text: str) -> str:
    """Type a text, send it, and read what is said aloud of the answer."""
    page.get_by_label("Text", exact=True).fill(text)
    page.get_by_role("button", name="Answer", exact=True).click()
    said = page.locator("#said")
    expect(said).to_contain_text("answered in", timeout=_PATIENCE)
    expect(page.locator("#answer blockquote")).to_have_text(text)
    return said.inner_text()


def first_at(place: Place, tier: str) -> str:
    """A text that Python's mobile has answered there."""
    with Mobile.open(
        place.bundle, tiers=place.tiers.urls, token=_TOKEN, state=":memory:", timeout=20
    ) as mobile:
        return next(text for text in texts(40) if mobile.predict(text).answered_by == tier)


@pytest.mark.parametrize("tier", ["mobile", "edge", "cloud"])
def test_a_typed_text_has_the_answer_that_python_gives(page: Page, place: Place, tier: str) -> None:
    text = first_at(place, tier)
    with Mobile.open(
        place.bundle, tiers=place.tiers.urls, token=_TOKEN, state=":memory:", timeout=20
    ) as mobile:
        right = mobile.predict(text)
    said = ask(page, text)
    assert said.startswith(f"{right.label}, {100 * right.probability:.1f} %; {tier} answered")
    card = page.get_by_role("region", name="Answer", exact=True)
    expect(card).to_contain_text(f"{tier} has the lowest distance to its pool")
    expect(card.get_by_role("heading", name="Asked over the network")).to_have_count(
        0 if tier == "mobile" else 1
    )


def test_all_of_it_is_reached_by_the_keyboard_alone(page: Page) -> None:
    page.reload()
    opened(page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the text")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.get_by_label("Text", exact=True).focus()
    page.keyboard.type("a moving film")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#said")).to_contain_text("answered in", timeout=_PATIENCE)
    seen = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.add(
            page.evaluate(
                "() => document.activeElement.getAttribute('aria-label')"
                " ?? document.activeElement.textContent.trim()"
            )
        )
    wanted = {"Export as JSON lines", "Cut the link to edge", "Cut the link to cloud"}
    assert wanted <= seen
    assert any("Run many texts" in one for one in seen)
    assert any("Settings" in one for one in seen)


def test_many_texts_are_run_listed_and_exported(page: Page, place: Place, tmp_path: Path) -> None:
    some = texts(12)
    page.get_by_role("heading", name="Run many texts").click()
    page.get_by_label("Texts, one a line").fill("\n".join(some))
    page.get_by_role("button", name="Run these").click()
    expect(page.get_by_text("All 12 texts have their answers.")).to_be_visible(timeout=_PATIENCE)
    rows = page.locator("#past").get_by_role("button")
    expect(rows).to_have_count(12)
    expect(page.locator("#ledger")).to_contain_text("12")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as JSON lines").click()
    download.value.save_as(tmp_path / "answers.jsonl")
    lines = (tmp_path / "answers.jsonl").read_text("utf-8").splitlines()
    told = [json.loads(line) for line in lines]
    assert [one["text"] for one in told] == some
    with Mobile.open(
        place.bundle, tiers=place.tiers.urls, token=_TOKEN, state=":memory:", timeout=20
    ) as mobile:
        right = [mobile.predict(text) for text in some]
    assert [one["label"] for one in told] == [one.label for one in right]
    assert [one["route"] for one in told] == [one.route for one in right]


def test_a_link_that_is_cut_is_seen_as_a_fallback_and_can_be_mended(
    page: Page, place: Place
) -> None:
    text = first_at(place, "edge")
    button = page.get_by_role("button", name="Cut the link to edge")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    assert "edge answered" not in ask(page, text)
    expect(page.locator("#answer")).to_contain_text("Not as the policy wanted (edge: unreachable)")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    page.get_by_role("button", name="Clear the list").click()
    expect(page.locator("#answer")).to_be_hidden()
    page.get_by_label("Text", exact=True).fill(text)
    page.get_by_role("button", name="Answer", exact=True).click()
    expect(page.locator("#said")).to_contain_text("edge answered", timeout=_PATIENCE)


def test_a_wrong_token_is_told_as_such_with_what_to_do(page: Page, place: Place) -> None:
    text = first_at(place, "cloud")
    set_token(page, "another")
    ask(page, text)
    expect(page.locator("#answer")).to_contain_text("The server refuses the token")
    expect(page.locator("#answer")).to_contain_text("set the right one under Settings")


def test_a_reload_loses_neither_draft_nor_list_nor_token(page: Page, place: Place) -> None:
    ask(page, first_at(place, "edge"))
    page.get_by_label("Text", exact=True).fill("half a sen")
    page.reload()
    opened(page)
    expect(page.get_by_label("Text", exact=True)).to_have_value("half a sen")
    expect(page.locator("#past").get_by_role("button")).to_have_count(1)
    assert "edge answered" in ask(page, first_at(place, "edge"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_narrow_and_wide_screens_and_can_be_read(
    page: Page, place: Place, width: int, scheme: str
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 844})
    ask(page, first_at(place, "cloud"))
    for heading in ("Run many texts", "Settings"):
        page.get_by_role("heading", name=heading).click()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    faint = page.evaluate(_FAINT)
    assert faint == []


# Of each text that is shown and can be acted on, those with too little contrast to its ground.
_FAINT = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = (colour) => {
    const [r, g, b] = [...rgba(colour)].map((one) => one / 255)
      .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const { backgroundColor } = getComputedStyle(one);
      if (rgba(backgroundColor)[3] > 250) return backgroundColor;
    }
    return "white";
  };
  const faint = [];
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
    if (!own || element.disabled || !element.checkVisibility()) continue;
    const both = [light(getComputedStyle(element).color), light(ground(element))];
    const ratio = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    if (ratio < 4.5) faint.push([element.tagName, element.textContent.slice(0, 40), ratio]);
  }
  return faint;
}"""


def test_how_far_the_model_has_come_is_shown_and_read_aloud(
    chromium: Browser, place: Place
) -> None:
    context = chromium.new_context()
    held: list[Route] = []
    context.route("**/bundle/tokenizer.json", lambda route: held.append(route))
    page = context.new_page()
    page.goto(place.origin)
    bar = page.get_by_role("progressbar", name="Loading the model")
    # All that can come has come, but for the one that is held.
    expect(bar).to_have_attribute("aria-valuetext", re.compile(r"^[\d.]+ kB of [\d.]+ [kM]B$"))
    share = float(bar.get_attribute("value") or "")
    assert 0 < share < 1
    expect(page.locator("#loaded")).to_have_text(bar.get_attribute("aria-valuetext") or "")
    for route in held:
        route.continue_()
    opened(page)
    expect(bar).to_be_hidden()
    context.close()


def test_a_second_tab_is_refused_with_what_to_do(page: Page, place: Place) -> None:
    second = page.context.new_page()
    second.goto(place.origin)
    alert = second.get_by_role("alert")
    expect(alert).to_contain_text("Another tab has this bundle open", timeout=_PATIENCE)
    second.close()
    assert "answered" in ask(page, "a moving film")


def test_the_ledger_goes_on_after_a_reload(page: Page) -> None:
    ask(page, "a moving film")
    ask(page, "a dull film")
    page.reload()
    opened(page)
    answers = page.locator("#ledger > div").filter(has_text=re.compile("^answers"))
    expect(answers.locator("dd")).to_have_text("2")


def test_an_altered_bundle_is_refused_with_what_to_do(
    chromium: Browser, place: Place, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    write_site(place.bundle, site)
    graph = site / "bundle" / "layers.onnx.data"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(bytes(content))
    with served(site) as origin:
        page = chromium.new_context().new_page()
        page.goto(origin)
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text(re.compile("layers.onnx.data was altered"), timeout=_PATIENCE)
        expect(alert).to_contain_text("Export the bundle again")
        expect(page.get_by_role("button", name="Answer", exact=True)).to_be_disabled()
        page.context.close()


def test_pairs_are_typed_in_two_boxes_and_run_with_a_tab_between(
    chromium: Browser, pair_bundle: Path, tmp_path: Path
) -> None:
    some = [("a moving film", "the film moves"), ("a dull film", "what a film")]
    write_site(pair_bundle, tmp_path / "site")
    with Mobile.open(pair_bundle, state=":memory:") as mobile:
        right = [mobile.predict(pair) for pair in some]
    with served(tmp_path / "site") as origin:
        context = chromium.new_context()
        page = context.new_page()
        page.goto(origin)
        opened(page)
        page.get_by_label("First text").fill(some[0][0])
        page.get_by_label("Second text").fill(some[0][1])
        page.get_by_role("button", name="Answer", exact=True).click()
        said = page.locator("#said")
        expect(said).to_contain_text("answered in", timeout=_PATIENCE)
        first = right[0]
        assert said.inner_text().startswith(
            f"{first.label}, {100 * first.probability:.1f} %; {first.answered_by} answered"
        )
        expect(page.locator("#answer blockquote")).to_have_text("a moving film | the film moves")
        page.get_by_role("heading", name="Run many texts").click()
        page.get_by_label("Texts, one a line").fill("\n".join(map("\t".join, some)))
        page.get_by_role("button", name="Run these").click()
        expect(page.get_by_text("All 2 texts have their answers.")).to_be_visible(timeout=_PATIENCE)
        labels = page.locator("#past .label").all_inner_texts()
        # The newest comes first.
        wanted = [f"{one.label} {100 * one.probability:.1f} %" for one in right[::-1]]
        assert labels == [*wanted, wanted[-1]]
        page.get_by_label("Texts, one a line").fill("one text alone")
        page.get_by_role("button", name="Run these").click()
        expect(page.get_by_role("alert")).to_contain_text("Line 1 is not two texts with a tab")
        context.close()
