"""The phone in a browser does what the trace promises, and loses nothing when tiers go.

A site as ``dimec export --web`` writes it, on any web server, opened in Chromium; edge and cloud
are processes of their own that let pages of this origin ask.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from dimec.runs.run import Run
from dimec.serving.local import LocalTiers
from dimec.tiers.names import TIER_NAMES
from support.browser import (
    blank_site,
    chromium,
    chromium_type,
    launch_options,
    module_page,
    served,
)
from support.tiny import reviews

__all__ = ["chromium", "chromium_type", "launch_options"]

TEXTS = 500

_OPEN = """async ([tiers, options]) => {
  const bundle = new URL("bundle/", location.href).href;
  window.mobile = await dimec.openInWorker(bundle, { tiers, timeout: 30, ...options });
}"""
# `answered` is told of every answer, so that the test can do harm in mid-stream.
_STREAM = """async ([inputs, workers]) => {
  const answers = [];
  for await (const answer of mobile.predictMany(inputs, { workers })) {
    answers.push(answer);
    await window.answered(answers.length);
  }
  return answers;
}"""


class Served(NamedTuple):
    """A site, and the tiers that it may ask."""

    origin: str
    tiers: LocalTiers


@pytest.fixture(scope="module")
def site(proof_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The bundle's site and its servers."""
    folder = blank_site(proof_bundle, tmp_path_factory.mktemp("browser") / "site")
    with ExitStack() as stack:
        origin = stack.enter_context(served(folder))
        tiers = stack.enter_context(LocalTiers(proof_bundle, cors_origins=(origin,)))
        yield Served(origin, tiers)


@pytest.fixture
def page(chromium: Browser, site: Served) -> Iterator[Page]:
    """A page in a profile of its own."""
    context = chromium.new_context()
    page = context.new_page()
    page.set_default_timeout(120_000)
    yield module_page(page, site.origin)
    context.close()


@pytest.mark.parametrize("adaptive", [False, True], ids=["fixed", "adaptive"])
def test_five_hundred_texts_go_where_the_trace_says(
    page: Page, site: Served, proof_run: Path, adaptive: bool
) -> None:
    run = Run(proof_run)
    trace, rows = run.trace("test"), reviews(1500)
    texts = [rows[int(guid.removeprefix("row-"))][0] for guid in trace.guids[:TEXTS]]
    tiers = run.router().copy(adaptive).route(trace.embeddings[:TEXTS])
    columns = np.array(trace.columns(trace.tiers))
    expected = trace.probabilities[np.arange(TEXTS), columns[tiers]]

    page.expose_function("answered", lambda count: None)
    page.evaluate(_OPEN, [site.tiers.urls, {"adaptive": adaptive}])
    answers = page.evaluate(_STREAM, [texts, 1])

    routes = [TIER_NAMES[tier] for tier in tiers]
    assert set(routes) == set(TIER_NAMES)  # else little is proven
    assert len(answers) == TEXTS
    assert not [answer for answer in answers if answer["fallbackReason"]]
    assert [answer["route"] for answer in answers] == routes
    assert [answer["answeredBy"] for answer in answers] == routes
    labels = [trace.label_names[code] for code in expected.argmax(axis=1)]
    assert [answer["label"] for answer in answers] == labels
    found = np.array([[a["probabilities"][name] for name in trace.label_names] for a in answers])
    assert np.abs(found - expected).max() < 1e-4
    prices = run.deployment().prices
    assert [answer["cost"] for answer in answers] == pytest.approx([prices[t] for t in tiers])


def test_with_edge_and_cloud_killed_in_mid_stream_every_input_is_answered_once(
    page: Page, site: Served, offline: Any
) -> None:
    texts = [text for text, _ in reviews(150, seed=11)]
    inputs = [{"id": f"row-{k}", "text": text} for k, text in enumerate(texts)]

    def harm(count: int) -> None:
        if count == 50:
            for pid in site.tiers.pids.values():
                os.kill(pid, signal.SIGKILL)
        elif count == 100:
            for tier in ("edge", "cloud"):
                site.tiers.restart(tier)

    page.expose_function("answered", harm)
    page.evaluate(_OPEN, [site.tiers.urls, {}])
    answers = page.evaluate(_STREAM, [inputs, 4])
    again = page.evaluate("(input) => mobile.predict(input.text, { id: input.id })", inputs[70])
    ledger = page.evaluate("() => mobile.ledger()")

    assert [answer["id"] for answer in answers] == [row["id"] for row in inputs]
    assert ledger["answers"] == len(inputs)
    assert again["label"] == answers[70]["label"]
    assert again["answeredBy"] == answers[70]["answeredBy"]
    fallbacks = [k for k, answer in enumerate(answers) if answer["fallbackReason"]]
    assert fallbacks
    assert min(fallbacks) >= 50 - 4  # those that were under way
    said = offline.replay(texts)
    for row, answer in enumerate(answers):
        probabilities = [answer["probabilities"][label] for label in offline.labels]
        assert said.disagreement(answer["answeredBy"], row, probabilities) < 1e-4
