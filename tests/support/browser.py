"""A real browser: Debian's headless Chromium, or whichever the machine has; and sites to show it.

Playwright's own download of browsers is not needed. Where no browser is installed its tests are
skipped; `.ci/run` installs one, and sets DIMEC_BROWSER_TESTS so that none can be skipped there. A
conftest imports the fixtures that its tests take.
"""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, BrowserType, Page, sync_playwright

from dimec.web.site import write_site
from support.tiny import command, environment

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_BLANK = "blank.html"
# The sandbox of Chromium wants a user who is not root; what the tests open is their own.
ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage")


def executable() -> str | None:
    """Path of the machine's Chromium, DIMEC_CHROMIUM before those on the PATH."""
    wanted = os.environ.get("DIMEC_CHROMIUM")
    return wanted or next(filter(None, map(shutil.which, _NAMES)), None)


@pytest.fixture(scope="session")
def launch_options() -> dict[str, Any]:
    """What Playwright's ``launch`` and ``launch_persistent_context`` take."""
    path = executable()
    if path is None:
        problem = (
            f"no Chromium: none of {', '.join(_NAMES)} is on the PATH; install Debian's chromium, "
            "or name one by DIMEC_CHROMIUM"
        )
        if os.environ.get("DIMEC_BROWSER_TESTS"):
            pytest.fail(problem)
        pytest.skip(problem)
    return {"executable_path": path, "args": list(ARGUMENTS), "headless": True}


# Not for the session: while it is there its thread counts as one that runs an event loop, so that
# no asyncio.run works in the tests of other files.
@pytest.fixture(scope="module")
def chromium_type(launch_options: dict[str, Any]) -> Iterator[BrowserType]:
    """What launches browsers, for a test that kills its own or keeps a profile's folder."""
    with sync_playwright() as playwright:
        yield playwright.chromium


@pytest.fixture(scope="module")
def chromium(chromium_type: BrowserType, launch_options: dict[str, Any]) -> Iterator[Browser]:
    """A browser that all tests of a file share; each takes a context of its own from it."""
    browser = chromium_type.launch(**launch_options)
    yield browser
    browser.close()


class _Files(http.server.SimpleHTTPRequestHandler):
    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    headers_of_all: Mapping[str, str] = {}

    def end_headers(self) -> None:
        """Those that every file has, too."""
        for name, value in self.headers_of_all.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path, headers: Mapping[str, str] | None = None) -> Iterator[str]:
    """The origin of a folder while any web server's like serves it on this machine.

    Args:
        folder: of the files.
        headers: name → value, of every answer.
    """
    kind = type("Files", (_Files,), {"headers_of_all": headers or {}})
    handler = functools.partial(kind, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def blank_site(bundle: Path, folder: Path, tiers: Mapping[str, str] | None = None) -> Path:
    """A site of a bundle with a page that shows nothing; see :func:`module_page`."""
    write_site(bundle, folder, tiers)
    (folder / _BLANK).write_text("<!doctype html><title>empty</title>", "utf-8")
    return folder


class Up(NamedTuple):
    """A process of `dimec up --web`, and the address that it has printed."""

    process: subprocess.Popen[bytes]
    address: str


@contextmanager
def up(bundle: Path, *options: str) -> Iterator[Up]:
    """The page and the servers of a bundle's tiers, while the block runs."""
    line = command("up", bundle, "--web", *options)
    with subprocess.Popen(
        line, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        try:
            yield Up(process, process.stdout.readline().decode().strip())
        finally:
            process.terminate()
    assert process.returncode == 0


def module_page(page: Page, origin: str, blank: str = _BLANK) -> Page:
    """A page of a site that shows nothing, with ``openInWorker`` of the site at hand."""
    page.goto(f"{origin}/{blank}")
    page.evaluate(
        "async () => { window.dimec = await import(new URL('mobile/remote.js', location.href)); }"
    )
    return page
