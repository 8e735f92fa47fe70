"""What the servers of this machine's tiers do: running, ready, what they have answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

from prometheus_client.parser import text_string_to_metric_families

from dimec.base.errors import ServerError
from dimec.serving.local import LocalTiers

TierState = Literal["running", "starting", "stopped", "failed"]
_SECONDS = 0.8  # for a server to tell; a stopped process never does


class TierWatch:
    """Asks the servers, and stops and starts them.

    Args:
        local: the servers.
        token: that they want.

    Attributes:
        tiers: names of those with a server.
    """

    def __init__(self, local: LocalTiers, token: str | None) -> None:
        self._local = local
        self.tiers: Sequence[str] = tuple(local.urls)
        self._locks = {tier: asyncio.Lock() for tier in self.tiers}
        # What was asked for last; that a server died on its own shows in its process.
        self._wanted: dict[str, TierState] = dict.fromkeys(self.tiers, "running")
        import httpx2

        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._client = httpx2.AsyncClient(headers=headers, timeout=_SECONDS, trust_env=False)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    def state(self, tier: str) -> dict[str, Any]:
        """Of one server, without asking it."""
        state = self._wanted[tier]
        if state == "running" and not self._local.runs(tier):
            state = "failed"
        return {"state": state}

    async def stop(self, tier: str) -> None:
        """Stop a server, and wait until it has gone."""
        async with self._locks[tier]:
            self._wanted[tier] = "stopped"
            await asyncio.to_thread(self._local.halt, tier)

    async def start(self, tier: str) -> None:
        """Start a server at its old address, and wait until it is ready; one that is stays.

        Raises:
            ServerError: it did not start.
        """
        async with self._locks[tier]:
            if self.state(tier)["state"] == "running":
                return
            self._wanted[tier] = "starting"
            try:
                await asyncio.to_thread(self._local.restart, tier)
            except ServerError:
                self._wanted[tier] = "failed"
                raise
            self._wanted[tier] = "running"

    async def look(self) -> dict[str, dict[str, Any]]:
        """Tier → its state, whether it is ready, and what it has done since it started."""
        found = await asyncio.gather(*map(self._look, self.tiers))
        return dict(zip(self.tiers, found, strict=True))

    async def _look(self, tier: str) -> dict[str, Any]:
        told = self.state(tier)
        counted = {"requests": 0, "failures": 0, "inFlight": 0, "queued": 0, "milliseconds": None}
        if told["state"] != "running":
            return {**told, "ready": False, **counted}
        from httpx2 import HTTPError

        url = self._local.urls[tier]
        try:
            ready = await self._client.get(f"{url}/v2/health/ready")
            metrics = await self._client.get(f"{url}/metrics")
            metrics.raise_for_status()
        except HTTPError:
            return {**self.state(tier), "ready": False, **counted}
        return {**told, "ready": ready.status_code == 200, **counts(metrics.text)}


def counts(metrics: str) -> dict[str, float | None]:
    """What a page shows of a server's metrics, which are in Prometheus's text format.

    Inferences alone count as requests; milliseconds are the mean of those that were answered.
    """
    answered = seconds = failed = queued = running = 0.0
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            ok = sample.labels.get("outcome") == "ok"
            match sample.name:
                case "dimec_infer_seconds_count":
                    answered, failed = (
                        (answered + sample.value, failed)
                        if ok
                        else (answered, failed + sample.value)
                    )
                case "dimec_infer_seconds_sum" if ok:
                    seconds += sample.value
                case "dimec_queue_rows":
                    queued += sample.value
                case "dimec_runs_active":
                    running += sample.value
    return {
        "requests": int(answered + failed),
        "failures": int(failed),
        "inFlight": int(running),
        "queued": int(queued),
        "milliseconds": 1e3 * seconds / answered if answered else None,
    }
