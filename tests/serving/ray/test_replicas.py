"""What a replica serves and says of itself, without Ray, which conformance/ runs it on."""

from __future__ import annotations

from pathlib import Path

import pytest

from dimec.base.errors import ConfigError
from dimec.serving.ray.replicas import Stand, readiness
from dimec.serving.settings import ServerSettings
from support.served import VERSION, in_loop

SETTINGS = ServerSettings(threads=1, workers=1, log_level="error")


def test_a_replica_is_ready_until_it_is_told_to_stop(tier: Path) -> None:
    async def work() -> None:
        app = Stand(tier, "edge", VERSION, SETTINGS).app("one")
        try:
            assert await readiness(app) == 200
            assert b'outcome="ok",replica="one",status="200"} 1.0' in app.metrics.render()
            app.draining = True
            assert await readiness(app) == 503
        finally:
            app.close()

    in_loop(work)


def test_another_version_than_the_others_serve_is_refused(tier: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected version 40, .* got 41"):
        Stand(tier, "edge", "40", SETTINGS).app("one")
