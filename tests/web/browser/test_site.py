"""A site in a real browser: what `dimec export --web` writes, on any web server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, Page, expect

from dimec.mobile import Mobile
from dimec.serving.local import LocalTiers
from dimec.web.site import write_site
from support.browser import blank_site, module_page, served
from support.tiers import balanced, texts

_TOKEN = "of-these-tests"
_OPEN = """async ([tiers, options]) => {
  const bundle = new URL("bundle/", location.href).href;
  window.mobile = await dimec.openInWorker(bundle, { tiers, timeout: 30, ...options });
  return [mobile.policy, mobile.tiers, mobile.labels];
}"""
_PREDICT = "(text) => mobile.predict(text)"
# The name and the message of what a call fails with, and whether it is the class of that name.
_FAILING = """async ([call, values]) => {
  const errors = await import(new URL("mobile/errors.js", location.href));
  try {
    await mobile[call](...values);
    return null;
  } catch (error) {
    return [error.name, error.message, error instanceof errors[error.name]];
  }
}"""


class Place(NamedTuple):
    """A bundle, its site's origin, and its tiers."""

    bundle: Path
    origin: str
    tiers: LocalTiers


@pytest.fixture(scope="module")
def place(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A bundle whose router sends a third of the texts to each tier, its site and servers."""
    folder = tmp_path_factory.mktemp("place")
    bundle = balanced(tiny_bundle, folder / "bundle")
    blank_site(bundle, folder / "site")
    with ExitStack() as stack:
        origin = stack.enter_context(served(folder / "site"))
        tiers = stack.enter_context(LocalTiers(bundle, _TOKEN, cors_origins=(origin,)))
        yield Place(bundle, origin, tiers)


@pytest.fixture
def page(chromium: Browser, place: Place) -> Iterator[Page]:
    """A page of the site in a profile of its own, on which nothing may go wrong unseen."""
    context = chromium.new_context()
    page = context.new_page()
    yield module_page(page, place.origin)
    context.close()


def test_the_worker_answers_as_python_does(page: Page, place: Place) -> None:
    some = texts(40)
    with Mobile.open(
        place.bundle, tiers=place.tiers.urls, token=_TOKEN, state=":memory:", timeout=20
    ) as mobile:
        right = [mobile.predict(text) for text in some]
        info, engine = mobile.info(), mobile.engine
        names = [info.policy, list(engine.names), list(engine.core.labels)]
    told = page.evaluate(_OPEN, [place.tiers.urls, {"token": _TOKEN}])
    assert told == names
    assert {one.answered_by for one in right} == {"mobile", "edge", "cloud"}
    for text, expected in zip(some, right, strict=True):
        answer: dict[str, Any] = page.evaluate(_PREDICT, text)
        assert answer["label"] == expected.label
        assert answer["answeredBy"] == expected.answered_by
        assert answer["fallbackReason"] is None
        assert answer["cost"] == pytest.approx(expected.cost)
        assert answer["probabilities"] == pytest.approx(expected.probabilities, abs=1e-4)


def test_a_wrong_token_is_told_as_such(page: Page, place: Place) -> None:
    page.evaluate(_OPEN, [place.tiers.urls, {"token": "another"}])
    asked = [page.evaluate(_PREDICT, text) for text in texts(20)]
    elsewhere = [answer for answer in asked if answer["route"] != "mobile"]
    assert elsewhere
    for answer in elsewhere:
        assert answer["answeredBy"] == "mobile"
    # The answer of another origin can be read, so that it can be said.
    assert "401" in elsewhere[0]["calls"][0]["detail"]


def test_errors_come_out_of_the_worker_as_what_they_are(page: Page, place: Place) -> None:
    page.evaluate(_OPEN, [place.tiers.urls, {"token": _TOKEN}])
    name, message, known = page.evaluate(_FAILING, ["predict", [7]])
    assert (name, known) == ("DataError", True)
    assert "text" in message
    page.evaluate("() => mobile.close()")
    name, message, known = page.evaluate(_FAILING, ["predict", ["a film"]])
    assert (name, known) == ("ConfigError", True)
    assert "closed" in message


def test_a_worker_that_dies_fails_whatever_was_asked_of_it(page: Page, place: Place) -> None:
    """Killed for its memory, say: the browser itself tells a page nothing of that."""
    slow = {tier: {"roundTrip": 1e6} for tier in place.tiers.urls}
    with Mobile.open(place.bundle, state=":memory:") as mobile:
        away = next(text for text in texts(40) if mobile.decide(text).tier)
    page.evaluate(_OPEN, [place.tiers.urls, {"token": _TOKEN, "links": slow, "timeout": 900}])
    page.evaluate(
        """(text) => {
          window.asked = mobile.predict(text).then(() => null, (error) => error.message);
          window.streamed = (async () => {
            for await (const _ of mobile.predictMany([text])) return "an answer";
          })().catch((error) => error.message);
        }""",
        away,
    )
    assert page.evaluate("() => mobile.info()")["policy"]  # all of it has come to the worker
    (worker,) = page.workers
    worker.evaluate("() => self.close()")
    for call in ("asked", "streamed"):
        assert "worker has ended" in page.evaluate(f"() => {call}")
    name, message, known = page.evaluate(_FAILING, ["predict", ["a film"]])
    assert (name, known) == ("DimecError", True)
    assert "load the page again" in message


def test_a_function_cannot_go_into_a_worker_and_the_error_says_so(page: Page) -> None:
    message = page.evaluate(
        """async () => {
          const bundle = new URL("bundle/", location.href).href;
          const clients = { edge: { infer: async () => new Float32Array(2) } };
          return dimec.openInWorker(bundle, { clients }).catch((error) => error.message);
        }"""
    )
    assert "plain values" in message


@pytest.mark.parametrize("headers", [True, False])
def test_the_worker_is_held_to_the_policy_that_the_server_sends(
    chromium: Browser, place: Place, tmp_path: Path, headers: bool
) -> None:
    """By the file that hosts read; without one it has none, since a page's is not the worker's."""
    site = tmp_path / "site"
    write_site(place.bundle, site, place.tiers.urls)
    first, *lines = (site / "_headers").read_text("ascii").splitlines()
    assert first == "/*"
    sent = dict(line.strip().split(": ", 1) for line in lines) if headers else {}
    page = chromium.new_context().new_page()
    with served(site, sent) as origin:
        page.goto(origin)
        expect(page.get_by_role("button", name="Answer", exact=True)).to_be_enabled(timeout=30_000)
        (worker,) = page.workers
        # Later, since what a debugger evaluates may do what a page may not.
        made = worker.evaluate(
            """() => new Promise((resolve) => setTimeout(() => {
              try { resolve(eval("1 + 1")); } catch (error) { resolve(error.name); }
            }, 0))"""
        )
    assert made == ("EvalError" if headers else 2)
    page.context.close()


def test_a_page_is_shown_whose_server_answers(page: Page, place: Place) -> None:
    """So that the client knows from the first answer on that each has its digest."""
    for url in place.tiers.urls.values():
        said = page.evaluate(
            "async (url) => (await fetch(`${url}/v2/health/ready`)).headers.get('Server')", url
        )
        assert said.startswith("dimec/")


@pytest.mark.parametrize("waiting", [False, True])
def test_a_stream_is_left_though_its_source_never_goes_on(
    page: Page, place: Place, waiting: bool
) -> None:
    page.evaluate(_OPEN, [place.tiers.urls, {"token": _TOKEN}])
    given = page.evaluate(
        """async (waiting) => {
          async function* endless() {
            yield "a film";
            await new Promise(() => undefined);
          }
          const stream = mobile.predictMany(endless());
          const first = await stream.next();
          const next = waiting ? stream.next() : null;
          await mobile.info(); // by now the worker asks for the next input
          const left = await stream.return();
          const last = (await next) ?? (await stream.next());
          const never = mobile.predictMany(endless());
          await never.return();
          const early = mobile.predictMany(endless());
          const none = early.next(); // which the worker has not heard of yet
          await early.return();
          return [first.done, left.done, last.done, (await none).done];
        }""",
        waiting,
    )
    assert given == [False, True, True, True]
    # The worker lets go too: it closes as soon as its streams have ended.
    assert page.evaluate("async () => { await mobile.close(); return 'closed'; }") == "closed"


def test_an_address_that_is_none_is_told_as_such(page: Page) -> None:
    said = page.evaluate("() => dimec.openInWorker('http://[').catch((e) => [e.name, e.message])")
    assert said == ["ConfigError", "expected the address of a bundle, got http://["]
    assert page.workers == []


def test_how_far_the_files_are_is_told_to_the_page(page: Page, place: Place) -> None:
    told = page.evaluate(
        """async () => {
          const told = [];
          const onProgress = (one) => told.push(one);
          window.mobile = await dimec.openInWorker("bundle/", { onProgress, cache: false });
          return told;
        }"""
    )
    total = page.evaluate("async () => (await mobile.info()).bytes")
    last = told[-1]
    assert (last["loaded"], last["total"], last["done"]) == (total, total, last["files"])
    assert [one["loaded"] for one in told] == sorted(one["loaded"] for one in told)
    assert any(one["loaded"] < total for one in told)
    said = page.evaluate(
        """() => dimec.openInWorker("bundle/", {
          state: ":memory:", onProgress: () => { throw new RangeError("of the page's own"); },
        }).catch((error) => error.message)"""
    )
    assert said == "of the page's own"


def test_an_altered_bundle_is_refused_with_what_to_do(
    chromium: Browser, place: Place, tmp_path: Path
) -> None:
    site = blank_site(place.bundle, tmp_path / "site")
    graph = site / "bundle" / "layers.onnx.data"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(bytes(content))
    with served(site) as origin:
        page = module_page(chromium.new_context().new_page(), origin)
        said = page.evaluate(
            "() => dimec.openInWorker('bundle/', {}).catch((e) => [e.name, e.message])"
        )
        page.context.close()
    assert said[0] == "CorruptArtefactError"
    assert "layers.onnx.data was altered" in said[1]
