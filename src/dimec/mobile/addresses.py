"""Where the tiers are reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dimec.base.errors import ConfigError, TierError, option, quoted
from dimec.mobile.engine import Engine

if TYPE_CHECKING:
    from dimec.client.endpoint import Endpoint


def not_configured(tier: str) -> TierError:
    """No address of this tier was given."""
    return TierError(tier, "not configured", "no address was given", sent=False)


def endpoints(
    engine: Engine,
    urls: Mapping[str, str],
    timeout: float,
    token: str | None,
    ca: Path | str | None,
    insecure: bool,
) -> Iterator[Endpoint]:
    """Where the tiers are reached that an address was given for.

    Raises:
        ConfigError: no such tier, or an address, the token or the timeout cannot work.
    """
    from dimec.client.endpoint import Endpoint

    manifest = engine.bundle.manifest
    served = engine.names[1:]
    if unknown := [tier for tier in urls if tier not in served]:
        raise ConfigError(
            f"an address was given for {quoted(unknown[0])}; the bundle's tiers with a server are "
            f"{', '.join(served) or 'none'}"
        )
    if engine.audit.share and engine.names[-1] not in urls:
        raise ConfigError(
            f"{option('audit')} asks the {engine.names[-1]} too, and no address of it was given; "
            "give its address, or leave the audit out"
        )
    for tier, url in urls.items():
        yield Endpoint(
            tier,
            url,
            manifest.versions[tier],
            len(manifest.labels),
            token=token,
            ca=None if ca is None else Path(ca),
            timeout=timeout,
            insecure=insecure,
        )


def named_urls(
    tiers: Mapping[str, str] | None, edge: str | None, cloud: str | None
) -> dict[str, str]:
    """Tier → address, of the two ways to give one.

    Raises:
        ConfigError: one tier was given both ways.
    """
    urls = dict(tiers or {})
    for tier, url in (("edge", edge), ("cloud", cloud)):
        if url is None:
            continue
        if tier in urls:
            raise ConfigError(
                f"the tier {tier} was given an address twice, by its name and as {option(tier)}; "
                "give one"
            )
        urls[tier] = url
    return urls
