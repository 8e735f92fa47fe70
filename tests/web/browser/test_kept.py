"""What a browser keeps for the next start: the device's files, and a state that may be damaged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, Page

from support.browser import blank_site, module_page, served
from support.tiers import balanced, texts

_OPEN = """async (options) => {
  window.mobile = await dimec.openInWorker(new URL("bundle/", location.href).href, options);
  return mobile.info();
}"""
_FAILED_OPEN = """(options) => dimec.openInWorker("bundle/", options).then(
  () => null, (error) => [error.name, error.message])"""
_STREAM = """async (texts) => {
  for await (const _ of mobile.predictMany(texts)) continue;
  return mobile.ledger();
}"""
# One byte of what was learnt is changed; the number that it makes is one like any other.
_FLIP = """(name) => new Promise((resolve, reject) => {
  const request = indexedDB.open(`dimec ${name}`);
  request.onerror = () => reject(request.error);
  request.onsuccess = () => {
    const transaction = request.result.transaction("rest", "readwrite");
    const store = transaction.objectStore("rest");
    transaction.oncomplete = () => { request.result.close(); resolve(); };
    transaction.onabort = () => reject(transaction.error);
    store.get("rest").onsuccess = ({ target: { result } }) => {
      new Uint8Array(result.learnt.sums.data.buffer)[2] ^= 1;
      store.put(result, "rest");
    };
  };
})"""
# As Safari before 26: files can be written by a worker, in their place, and by nobody else.
_OLD = {
    "sync": "delete FileSystemFileHandle.prototype.createWritable;",
    # One whose disk is full, and takes half of what is written.
    "short": """delete FileSystemFileHandle.prototype.createWritable;
      const { write } = FileSystemSyncAccessHandle.prototype;
      FileSystemSyncAccessHandle.prototype.write = function (content, options) {
        return write.call(this, content.subarray(content.length >> 1), options);
      };""",
    "none": """delete FileSystemFileHandle.prototype.createWritable;
      delete FileSystemFileHandle.prototype.createSyncAccessHandle;""",
}
# The files of the device by hash, one of them changed or cut short.
_DAMAGE = """async (how) => {
  const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("dimec");
  let damaged = 0;
  for await (const folder of root.values()) {
    for await (const handle of folder.values()) {
      const content = new Uint8Array(await (await handle.getFile()).arrayBuffer());
      if (content.length < 2) continue;
      content[content.length >> 1] ^= 1;
      const stream = await handle.createWritable();
      await stream.write(how === "cut" ? content.subarray(1) : content);
      await stream.close();
      damaged += 1;
    }
    await (await folder.getFileHandle("ab".repeat(32), { create: true }));
  }
  return damaged;
}"""
_NAMES = """async () => {
  const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("dimec");
  const names = [];
  for await (const folder of root.values()) {
    for await (const name of folder.keys()) names.push(name);
  }
  return names.sort();
}"""


class Place(NamedTuple):
    """A bundle whose router learns, its site and the site's origin."""

    bundle: Path
    site: Path
    origin: str


@pytest.fixture(scope="module")
def place(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    bundle = balanced(tiny_bundle, folder / "bundle")
    site = blank_site(bundle, folder / "site")
    with ExitStack() as stack:
        yield Place(bundle, site, stack.enter_context(served(site)))


@pytest.fixture
def page(chromium: Browser, place: Place) -> Iterator[Page]:
    """A page in a profile of its own."""
    context = chromium.new_context()
    yield module_page(context.new_page(), place.origin)
    context.close()


def test_a_second_start_fetches_no_file_and_a_damaged_one_is_fetched_anew(
    page: Page, place: Place
) -> None:
    asked: list[str] = []
    page.context.on("request", lambda request: asked.append(request.url))
    in_memory = {"state": ":memory:"}
    assert page.evaluate(_OPEN, in_memory)["cached"] is False
    names = page.evaluate(_NAMES)
    assert len(names) > 3
    for how in (None, "flip", "cut"):
        if how is not None:
            assert page.evaluate(_DAMAGE, how) == len(names)
        for cached in (how is None, True):
            module_page(page, place.origin)
            asked.clear()
            assert page.evaluate(_OPEN, in_memory)["cached"] is cached
            files = {url for url in asked if "/bundle/" in url and "manifest" not in url}
            assert bool(files) is not cached
            page.evaluate("() => mobile.predict('a film')")
        assert page.evaluate(_NAMES) == names  # what the bundle has no more was removed
    assert page.evaluate(_OPEN, {**in_memory, "cache": False})["cached"] is False


def test_an_altered_file_is_refused_and_not_kept(
    chromium: Browser, place: Place, tmp_path: Path
) -> None:
    site = blank_site(place.bundle, tmp_path / "site")
    graph = site / "bundle" / "layers.onnx.data"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    whole = graph.read_bytes()
    graph.write_bytes(bytes(content))
    context = chromium.new_context()
    with served(site) as origin:
        page = module_page(context.new_page(), origin)
        for _ in range(2):
            name, message = page.evaluate(_FAILED_OPEN, {})
            assert name == "CorruptArtefactError"
            assert "layers.onnx.data was altered" in message
        graph.write_bytes(whole)
        page.evaluate(_OPEN, {})
    context.close()


@pytest.mark.parametrize(("old", "kept"), [("sync", True), ("short", False), ("none", False)])
def test_a_browser_without_writable_streams_keeps_the_files_by_what_it_has(
    chromium: Browser, place: Place, tmp_path: Path, old: str, kept: bool
) -> None:
    site = blank_site(place.bundle, tmp_path / "site")
    worker = site / "mobile" / "worker.js"
    worker.write_text(f"{worker.read_text('utf-8')}\n{_OLD[old]}\n", "utf-8")
    context = chromium.new_context()
    in_memory = {"state": ":memory:"}
    with served(site) as origin:
        page = module_page(context.new_page(), origin)
        assert page.evaluate(_OPEN, in_memory)["cached"] is False
        assert (len(page.evaluate(_NAMES)) > 3) is kept
        module_page(page, origin)
        assert page.evaluate(_OPEN, in_memory)["cached"] is kept
        page.evaluate("() => mobile.predict('a film')")
        if kept:  # what is damaged is written again, in its place
            assert page.evaluate(_DAMAGE, "cut") > 3
            for cached in (False, True):
                module_page(page, origin)
                assert page.evaluate(_OPEN, in_memory)["cached"] is cached
    context.close()


def test_a_state_whose_numbers_were_altered_is_refused_and_left(page: Page, place: Place) -> None:
    page.evaluate(_OPEN, {"state": "mine", "adaptive": True})
    ledger: dict[str, Any] = page.evaluate(_STREAM, texts(5))
    assert ledger["learnt"] == 5
    page.evaluate("() => mobile.close()")
    page.evaluate(_FLIP, "mine")
    for _ in range(2):
        name, message = page.evaluate(_FAILED_OPEN, {"state": "mine"})
        assert name == "CorruptArtefactError"
        assert "its check sum differs" in message
        assert "\n" not in message
    page.evaluate(_FLIP, "mine")  # back
    page.evaluate(_OPEN, {"state": "mine", "adaptive": True})
    assert page.evaluate("() => mobile.ledger()") == ledger
