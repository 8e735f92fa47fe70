"""The mobile in a browser: how long it takes to start, what it takes a text, what is fetched."""

from __future__ import annotations

import contextlib
import functools
import gzip
import http.server
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bundles import PRECISIONS, read_texts, scene, with_route
from benchmarks.harness import WorkerError, in_fresh_process, say
from benchmarks.results import BYTES, RATIO, Figure, Result

PAGE_GOAL, SECOND_GOAL = 20e6, 0.5  # bytes gzipped, seconds
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_BLANK = "blank.html"
_WARM_UP = 20  # texts before the clock runs

# In the page, in the site's own modules. What is timed is told in milliseconds of its own clock.
_OPEN = """async () => {
  const { openInWorker } = await import("/mobile/remote.js");
  const started = performance.now();
  window.mobile = await openInWorker(new URL("/bundle/", location).href, { state: ":memory:" });
  return performance.now() - started;
}"""
_ANSWER = """async (texts) => {
  const started = performance.now();
  for (const text of texts) await window.mobile.predict(text);
  return (performance.now() - started) / texts.length;
}"""
_CLOSE = "() => window.mobile.close()"


@dataclass(frozen=True)
class Sizes:
    """``run``: see :func:`benchmarks.bundles.scene`; ``texts`` answered in each of ``repeats``."""

    run: str = ""
    texts: int = 200
    repeats: int = 3


def run(sizes: Sizes, seed: int) -> Result:
    """The two precisions by turns, and after each Python's mobile on the same texts."""
    found = scene(sizes.run, seed)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in PRECISIONS}
    for repeat in range(sizes.repeats):
        for name in PRECISIONS:
            say(f"browser: {name}, {repeat + 1} of {sizes.repeats}")
            arguments = {"bundle": found.bundle(name), "texts": sizes.texts}
            measured = in_fresh_process(measure_page, **arguments).value
            python = in_fresh_process(measure_python, **arguments).value
            runs[name].append(measured | {"python": python})
    figures = [figure for name in PRECISIONS for figure in _figures(name, runs[name])]
    versions = {row["browser"] for rows in runs.values() for row in rows}
    notes = (
        found.note,
        f"{', '.join(sorted(versions))}, headless; the site is served from this machine, so that "
        "no figure has a network's time; bytes are those of gzip -6, a file each",
        "start: from the call that opens the mobile in its worker until it can answer; cold in a "
        "new profile, second in the same one with the page loaded again",
        f"a text: one after the other, all answered by the device, in both; Python on one thread; "
        f"{sizes.texts} texts after {_WARM_UP}",
        "own memory: of the page's process (USS) after the answers, less that of an empty page",
    )
    return Result(tuple(figures), notes, runs)


def _figures(name: str, rows: list[dict[str, Any]]) -> list[Figure]:
    def of(key: str) -> list[float]:
        return [row[key] for row in rows]

    page_goal = PAGE_GOAL if name == "int8" else None
    ratios = [row["text"] / row["python"] for row in rows]
    return [
        Figure.of(f"{name}: page, gzipped", of("page"), BYTES, page_goal),
        Figure.of(f"{name}: of this, the bundle", of("bundle"), BYTES),
        Figure.of(f"{name}: cold start", of("cold")),
        Figure.of(f"{name}: second start", of("second"), goal=SECOND_GOAL),
        Figure.of(f"{name}: a text", of("text")),
        Figure.of(f"{name}: a text, Python's mobile", of("python")),
        Figure.of(f"{name}: a text, browser / Python", ratios, RATIO),
        Figure.of(f"{name}: own memory", of("memory"), BYTES),
    ]


def measure_page(bundle: str, texts: int) -> dict[str, Any]:
    """Seconds and bytes of one new profile."""
    from playwright.sync_api import sync_playwright

    some = read_texts(bundle, _WARM_UP + texts)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        site = _site(bundle, folder)
        address = stack.enter_context(_served(site))
        playwright = stack.enter_context(sync_playwright())
        context = playwright.chromium.launch_persistent_context(
            folder / "profile",
            executable_path=_executable(),
            args=["--no-sandbox", "--disable-dev-shm-usage"],
        )
        stack.callback(context.close)
        page = context.new_page()
        page.goto(f"{address}/{_BLANK}")
        empty = _memory(folder)
        measured: dict[str, Any] = {"cold": page.evaluate(_OPEN) / 1e3}
        page.evaluate(_CLOSE)
        page.reload()
        measured["second"] = page.evaluate(_OPEN) / 1e3
        page.evaluate(_ANSWER, some[:_WARM_UP])
        measured["text"] = page.evaluate(_ANSWER, some[_WARM_UP:]) / 1e3
        measured["memory"] = _memory(folder) - empty
        browser = context.browser
        measured["browser"] = f"Chromium {browser.version}" if browser else "Chromium"
        return measured | _bytes(site)


def measure_python(bundle: str, texts: int) -> float:
    """Seconds of a text, by Python's mobile on one thread."""
    from dimec.mobile import Mobile

    some = read_texts(bundle, _WARM_UP + texts)
    with tempfile.TemporaryDirectory() as folder:
        alone = with_route(bundle, 0, Path(folder) / "mobile")
        with Mobile.open(alone, state=":memory:", threads=1) as mobile:
            for text in some[:_WARM_UP]:
                mobile.predict(text)
            started = time.perf_counter()
            for text in some[_WARM_UP:]:
                mobile.predict(text)
            return (time.perf_counter() - started) / texts


def _site(bundle: str, folder: Path) -> Path:
    """A site of this bundle whose policy sends every text to the device."""
    from dimec.web.site import write_site

    alone = with_route(bundle, 0, folder / "mobile")
    site = folder / "site"
    write_site(alone, site)
    (site / _BLANK).write_text("<!doctype html><title>empty</title>", "utf-8")
    return site


class _Files(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # as of any server that a site is put on
    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def _served(site: Path) -> Iterator[str]:
    """The address of a folder while it is served on this machine."""
    handler = functools.partial(_Files, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def _bytes(site: Path) -> dict[str, int]:
    """Bytes of the whole site, and of the bundle in it, each file gzipped."""
    sizes = {
        path.relative_to(site): len(gzip.compress(path.read_bytes(), 6, mtime=0))
        for path in site.rglob("*")
        if path.is_file() and path.name != _BLANK
    }
    bundle = sum(size for path, size in sizes.items() if path.parts[0] == "bundle")
    return {"page": sum(sizes.values()), "bundle": bundle}


def _memory(profile: Path) -> int:
    """Bytes of its own (USS) of the largest page process of the browser with this profile."""
    import psutil

    sizes: list[int] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if "--type=renderer" in words and any(
                str(profile) in word for word in _lineage(process)
            ):
                sizes.append(process.memory_full_info().uss)
    return max(sizes)


def _lineage(process: Any) -> Iterator[str]:
    """Words of the command lines of a process and of those above it."""
    for one in (process, *process.parents()):
        yield from one.cmdline()


def _executable() -> str:
    """Path of the machine's Chromium."""
    import os
    import shutil

    named = os.environ.get("DIMEC_CHROMIUM")
    path = named or next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        raise WorkerError(f"no Chromium: none of {', '.join(_NAMES)} is on the PATH")
    return path
