"""Which bundle a server answers from, once the one on the disk may be another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from dimec.base.errors import DimecError
from dimec.bundle.folders import TierBundle
from dimec.serving.app import Place, TierApp, create_app
from dimec.serving.exchange import Receive, Scope, Send
from dimec.serving.logs import JsonLog, error_fields
from dimec.serving.model import Pace
from dimec.serving.settings import ServerSettings
from dimec.serving.watching import LOOK, difference, stamps

_BREATH = 0.05  # seconds between two looks at what the old bundle still has to answer


class Standing:
    """The application of the bundle that is served; a new one takes its place between requests.

    Attributes:
        app: that answers what comes now.
        leaving: whether only this process of its server is to stop.

    Args:
        bundle: to begin with.
        settings: of the server.
        log: for what becomes of bundles.
        connections: how many there are, for the metrics.
        place: of this process among those of the server; by default there is no other.
        pace: of the bundle's graph, where another of them has measured it.
    """

    def __init__(
        self,
        bundle: TierBundle,
        settings: ServerSettings,
        log: JsonLog,
        connections: Callable[[], float],
        place: Place | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._bundle = bundle
        self._settings = settings
        self._log = log
        self._connections = connections
        self._place = place
        self._seen = stamps(bundle)
        self._old: set[TierApp] = set()
        self._taking = asyncio.Lock()
        self.leaving = False
        self.app = self.make(bundle, pace)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    def record_refusal(self, status: int) -> None:
        """Count and log a connection that was refused before there was a request."""
        self.app.record_refusal(status)

    def drain(self) -> None:
        """Take no new inferences, unless this process alone leaves."""
        for app in (self.app, *self._old):
            app.leaving, app.draining = self.leaving, True

    def close(self) -> None:
        """Answer 503 to whatever waits, and stop the threads."""
        for app in (self.app, *self._old):
            app.close()

    async def watch(self) -> None:
        """Notice when the bundle on the disk is no longer the one that is served."""
        while True:
            await asyncio.sleep(LOOK)
            await self.look()

    async def look(self) -> None:
        """One look: at the files' sizes and times, and only if these changed at what is in them."""
        async with self._taking:
            seen = await asyncio.to_thread(stamps, self._bundle)
            if seen == self._seen:
                return
            self._seen = seen
            reason = await asyncio.to_thread(difference, self._bundle)
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
            old = self.replace(bundle, app)
            self._log("info", "bundle taken", version=bundle.manifest.version)
        await self.retire(old)

    def replace(self, bundle: TierBundle, app: TierApp) -> TierApp:
        """Answer by another application from now on; returns the one before."""
        old, self.app, self._bundle = self.app, app, bundle
        app.leaving, app.draining = old.leaving, old.draining
        self._old.add(old)
        return old

    async def retire(self, old: TierApp) -> None:
        """Close an application once it has answered all that it was asked."""
        while old.busy:
            await asyncio.sleep(_BREATH)
        old.close()
        self._old.discard(old)

    def _load(self) -> tuple[TierBundle, TierApp]:
        seen = stamps(self._bundle)
        bundle = TierBundle.open(self._bundle.path, self._bundle.manifest.tier)
        app = self.make(bundle)
        self._seen = seen if seen.keys() == stamps(bundle).keys() else stamps(bundle)
        return bundle, app

    def make(self, bundle: TierBundle, pace: Pace | None = None) -> TierApp:
        """The application of a bundle; it answers nothing yet."""
        app = create_app(bundle, self._settings, self._log, self._place, pace)
        app.metrics.connections = self._connections
        return app
