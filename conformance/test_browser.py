"""The mobile in a browser with a real Triton as edge and cloud, behind a proxy that adds CORS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, Page

from cors_proxy import CorsProxy
from cors_proxy import served as proxied
from dimec.mobile import Mobile, Prediction
from support.browser import (
    blank_site,
    chromium,
    chromium_type,
    launch_options,
    module_page,
    served,
)
from support.tiers import texts
from triton_server import TritonServer

__all__ = ["chromium", "chromium_type", "launch_options"]

SOME = texts(60)
_ANSWERS = """async ([tiers, texts]) => {
  const bundle = new URL("bundle/", location.href).href;
  const mobile = await dimec.openInWorker(bundle, { tiers, timeout: 30, state: ":memory:" });
  const answers = [];
  for (const text of texts) answers.push(await mobile.predict(text));
  await mobile.close();
  return answers;
}"""


class Behind(NamedTuple):
    """A page's origin, and the proxy before Triton that lets it ask."""

    origin: str
    proxy: CorsProxy
    url: str


@pytest.fixture(scope="module")
def behind(
    bundle: Path, triton: TritonServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Behind]:
    """A site of the bundle, and Triton behind a proxy."""
    folder = blank_site(bundle, tmp_path_factory.mktemp("browser") / "site")
    with ExitStack() as stack:
        origin = stack.enter_context(served(folder))
        proxy = CorsProxy(triton.url, (origin,))
        yield Behind(origin, proxy, stack.enter_context(proxied(proxy)))


@pytest.fixture
def page(chromium: Browser, behind: Behind) -> Iterator[Page]:
    """A page of the site in a profile of its own."""
    context = chromium.new_context()
    yield module_page(context.new_page(), behind.origin)
    context.close()


@pytest.fixture(scope="module")
def expected(bundle: Path, ours: dict[str, str]) -> Sequence[Prediction]:
    """What Python's mobile says with dimec's own servers."""
    with Mobile.open(bundle, tiers=ours, state=":memory:", timeout=20) as mobile:
        return [mobile.predict(text) for text in SOME]


def test_the_browser_gets_from_triton_what_python_gets_from_our_servers(
    page: Page, behind: Behind, expected: Sequence[Prediction]
) -> None:
    tiers = {"edge": behind.url, "cloud": behind.url}
    found: list[dict[str, Any]] = page.evaluate(_ANSWERS, [tiers, SOME])
    assert {answer["answeredBy"] for answer in found} == {"mobile", "edge", "cloud"}
    for answer, right in zip(found, expected, strict=True):
        assert answer["fallbackReason"] is None
        assert (answer["route"], answer["label"]) == (right.route, right.label)
        assert answer["answeredBy"] == right.answered_by
        assert answer["cost"] == pytest.approx(right.cost)
        assert answer["probabilities"] == pytest.approx(right.probabilities, abs=1e-4)
    asked = [line for line in behind.proxy.passed if line.startswith("POST")]
    assert len(asked) == sum(answer["answeredBy"] != "mobile" for answer in found)


def test_without_the_proxy_the_browser_asks_in_vain_and_says_so(
    page: Page, triton: TritonServer
) -> None:
    tiers = {"edge": triton.url, "cloud": triton.url}
    found: list[dict[str, Any]] = page.evaluate(_ANSWERS, [tiers, SOME[:20]])
    elsewhere = [answer for answer in found if answer["route"] != "mobile"]
    assert elsewhere
    assert {answer["answeredBy"] for answer in elsewhere} == {"mobile"}
    assert "unreachable" in elsewhere[0]["fallbackReason"]  # the circuits are open later on
