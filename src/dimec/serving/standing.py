"""Which bundle a server answers from, once the one on the disk may be another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from dimec.base.errors import DimecError
from dimec.bundle.folders import TierBundle
from dimec.bundle.manifest import MANIFEST
from dimec.serving.app import TierApp, create_app
from dimec.serving.exchange import Receive, Scope, Send
from dimec.serving.logs import JsonLog, error_fields
from dimec.serving.settings import ServerSettings

_LOOK = 1.0  # seconds between two looks at the files
_BREATH = 0.05  # seconds between two looks at what the old bundle still has to answer


class Standing:
    """The application of the bundle that is served; a new one takes its place between requests.

    Attributes:
        app: that answers what comes now.

    Args:
        bundle: to begin with.
        settings: of the server.
        log: for what becomes of bundles.
        connections: how many there are, for the metrics.
    """

    def __init__(
        self,
        bundle: TierBundle,
        settings: ServerSettings,
        log: JsonLog,
        connections: Callable[[], int],
    ) -> None:
        self._bundle = bundle
        self._settings = settings
        self._log = log
        self._connections = connections
        self._seen = _stamps(bundle)
        self._old: set[TierApp] = set()
        self._taking = asyncio.Lock()
        self.app = self._make(bundle)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    def record_refusal(self, status: int) -> None:
        """Count and log a connection that was refused before there was a request."""
        self.app.record_refusal(status)

    def drain(self) -> None:
        """Take no new inferences."""
        for app in (self.app, *self._old):
            app.draining = True

    def close(self) -> None:
        """Answer 503 to whatever waits, and stop the threads."""
        for app in (self.app, *self._old):
            app.close()

    async def watch(self) -> None:
        """Notice when the bundle on the disk is no longer the one that is served."""
        while True:
            await asyncio.sleep(_LOOK)
            await self.look()

    async def look(self) -> None:
        """One look: at the files' sizes and times, and only if these changed at what is in them."""
        async with self._taking:
            stamps = await asyncio.to_thread(_stamps, self._bundle)
            if stamps == self._seen:
                return
            self._seen = stamps
            reason = await asyncio.to_thread(_difference, self._bundle)
            if bool(reason) != self.app.changed_on_disk:
                event = "bundle changed on disk" if reason else "bundle is again the one served"
                self._log("warning", event, version=self._bundle.manifest.version, reason=reason)
            self.app.changed_on_disk = bool(reason)

    async def take(self) -> None:
        """Serve what is on the disk now; a bundle that cannot be served is refused and logged."""
        async with self._taking:
            try:
                bundle, app = await asyncio.to_thread(self._load)
            except DimecError as error:
                self._log("error", "bundle refused", reason=str(error))
                return
            except Exception as error:
                self._log("error", "bundle refused", **error_fields(error))
                return
            old, self.app, self._bundle = self.app, app, bundle
            app.draining = old.draining
            self._log("info", "bundle taken", version=bundle.manifest.version)
            self._old.add(old)
        while old.busy:
            await asyncio.sleep(_BREATH)
        old.close()
        self._old.discard(old)

    def _load(self) -> tuple[TierBundle, TierApp]:
        seen = _stamps(self._bundle)
        bundle = TierBundle.open(self._bundle.path, self._bundle.manifest.tier)
        app = self._make(bundle)
        self._seen = seen if seen.keys() == _stamps(bundle).keys() else _stamps(bundle)
        return bundle, app

    def _make(self, bundle: TierBundle) -> TierApp:
        app = create_app(bundle, self._settings, self._log)
        app.metrics.connections.set_function(self._connections)
        return app


def _stamps(bundle: TierBundle) -> dict[str, tuple[int, ...] | None]:
    """What tells whether a file of a bundle was written to or replaced."""

    def stamp(path: Path) -> tuple[int, ...] | None:
        try:
            told = path.stat()
        except OSError:
            return None
        return told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns

    return {name: stamp(bundle.path / name) for name in (MANIFEST, *bundle.manifest.files)}


def _difference(bundle: TierBundle) -> str | None:
    """What is different on the disk; None where nothing is."""
    try:
        there = TierBundle.open(bundle.path, bundle.manifest.tier)
    except DimecError as error:
        return str(error)
    if there.manifest == bundle.manifest:
        return None
    return f"version {there.manifest.version} is there; SIGHUP takes it"
