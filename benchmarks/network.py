"""End to end over emulated links: dimec, and everything in one place, on the same texts.

A mobile, an edge server and a cloud server, each a process of its own, with a proxy in front of
each server that delays and limits what goes through (``tools/chaos_proxy.py``). Where everything is
to run in one place, the mobile is the same but for its router, which knows that one tier only.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bundles import read_texts, scene, with_route
from benchmarks.harness import in_fresh_process, say
from benchmarks.results import BYTES, RATIO, Figure, Result

LINKS = Path(__file__).with_name("links.toml")
DIMEC, CLOUD = "dimec", "all-cloud"
POLICIES = (DIMEC, CLOUD, "all-edge", "all-mobile")
_TIMEOUT = 60.0  # seconds; an answer that a fallback gave would not be the link's
_WARM_UP = 10  # texts that are not counted


@dataclass(frozen=True)
class Sizes:
    """``run``: see :func:`benchmarks.bundles.scene`; ``texts`` one after the other, ``repeats``."""

    run: str = ""
    texts: int = 80
    repeats: int = 2


def run(sizes: Sizes, seed: int) -> Result:
    """Every link in a process of its own; the policies take turns on it."""
    found = scene(sizes.run, seed)
    settings = tomllib.loads(LINKS.read_text("utf-8"))
    figures: list[Figure] = []
    runs: dict[str, Any] = {}
    for link in settings["link"]:
        say(f"network: {link['name']}")
        runs[link["name"]] = in_fresh_process(
            measure,
            bundle=found.bundle("fp32"),
            link=link,
            cloud=settings["cloud"],
            texts=sizes.texts,
            repeats=sizes.repeats,
        ).value
        figures += _figures(link["name"], runs[link["name"]])
    return Result(tuple(figures), (found.note, *_notes(settings, runs)), runs)


def _notes(settings: Mapping[str, Any], runs: Mapping[str, Any]) -> tuple[str, ...]:
    shares = next(iter(runs.values()))[DIMEC][0]["shares"]
    routed = ", ".join(f"{100 * share:.0f} % {tier}" for tier, share in shares.items())
    links = "; ".join(
        f"{link['name']}: {link['rtt']} ms, {link['up'] / 1000:g} Mbit/s up and "
        f"{link['down'] / 1000:g} down ({link['source']})"
        for link in settings["link"]
    )
    return (
        f"links, round trip to the edge: {links}",
        f"to the cloud {settings['cloud']['rtt']} ms more ({settings['cloud']['source']})",
        "emulated by a proxy that delays and limits bytes, without loss; netem would do the same "
        "below TCP, and not every kernel has it",
        f"dimec's router as it was fitted: {routed}; fp32, one text after the other, connections "
        "kept open, every answer recorded in the mobile's state",
        "all three tiers compute on this machine: a phone is slower, a cloud server faster, and "
        "neither is emulated",
        "bytes: of one input on average, HTTP headers included, those of TCP and IP not",
    )


def _figures(link: str, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Figure]:
    figures = []
    for policy, rows in found.items():
        for part in ("mean", "p50", "p99"):
            values = [row[part] for row in rows]
            figures.append(Figure.of(f"{link}, {policy}: {part}", values))
        for part in ("up", "down"):
            sent = [row[part] for row in rows]
            if any(sent):
                figures.append(Figure.of(f"{link}, {policy}: bytes {part}", sent, BYTES))
    pairs = zip(found[DIMEC], found[CLOUD], strict=True)
    ratios = [ours["mean"] / theirs["mean"] for ours, theirs in pairs]
    figures.append(Figure.of(f"{link}, {DIMEC}: mean / {CLOUD}", ratios, RATIO))
    return figures


def measure(
    bundle: str,
    link: dict[str, Any],
    cloud: dict[str, Any],
    texts: int,
    repeats: int,
) -> dict[str, list[dict[str, Any]]]:
    """Mean, quantiles and bytes of each pass over the texts, by policy."""
    from dimec.serving.local import LocalTiers

    chosen = read_texts(bundle, texts)
    found: dict[str, list[dict[str, Any]]] = {policy: [] for policy in POLICIES}
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalTiers(bundle) as tiers,
        _links(tiers.urls, link, cloud) as proxies,
        _mobiles(bundle, Path(folder), proxies) as mobiles,
    ):
        for mobile in mobiles.values():
            for text in chosen[:_WARM_UP]:
                mobile.predict(text)
        for repeat in range(repeats):
            for policy in POLICIES if repeat % 2 == 0 else POLICIES[::-1]:
                before = _bytes(proxies)
                found[policy].append(_one_pass(mobiles[policy], chosen))
                after = _bytes(proxies)
                for way, total in after.items():
                    found[policy][-1][way] = (total - before[way]) / len(chosen)
    return found


@contextlib.contextmanager
def _links(
    urls: Mapping[str, str], link: Mapping[str, Any], cloud: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """A proxy in front of each server, by tier."""
    from chaos_driver import ChaosProxy

    extra = {"edge": 0.0, "cloud": float(cloud["rtt"])}
    with contextlib.ExitStack() as stack:
        yield {
            tier: stack.enter_context(
                ChaosProxy(
                    url,
                    delay=(link["rtt"] + extra[tier]) / 2,
                    jitter=link.get("jitter", 0),
                    rate=[link["up"], link["down"]],
                )
            )
            for tier, url in urls.items()
        }


@contextlib.contextmanager
def _mobiles(bundle: str, folder: Path, proxies: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A mobile for each policy, all behind the same links."""
    from dimec.mobile import Mobile

    places = {DIMEC: Path(bundle) / "mobile"} | {
        f"all-{name}": with_route(bundle, tier, folder / name)
        for tier, name in enumerate(("mobile", "edge", "cloud"))
    }
    urls = {tier: proxy.url for tier, proxy in proxies.items()}
    with contextlib.ExitStack() as stack:
        yield {
            policy: stack.enter_context(
                Mobile.open(place, **urls, state=folder / f"{policy}.sqlite", timeout=_TIMEOUT)
            )
            for policy, place in places.items()
        }


def _one_pass(mobile: Any, texts: Sequence[str]) -> dict[str, Any]:
    """Seconds of the answers to the texts, one after the other, and who gave them."""
    import numpy as np

    seconds, served = [], []
    for text in texts:
        start = time.perf_counter()
        answer = mobile.predict(text)
        seconds.append(time.perf_counter() - start)
        if answer.fallback_reason is not None:
            raise RuntimeError(f"an answer came by a fallback: {answer.fallback_reason}")
        served.append(answer.answered_by)
    p50, p99 = np.quantile(seconds, (0.5, 0.99)).tolist()
    shares = {tier: served.count(tier) / len(served) for tier in ("mobile", "edge", "cloud")}
    return {"mean": sum(seconds) / len(seconds), "p50": p50, "p99": p99, "shares": shares}


def _bytes(proxies: Mapping[str, Any]) -> dict[str, int]:
    """Bytes that have gone up and down through all proxies."""
    counts = [proxy.stats() for proxy in proxies.values()]
    return {way: sum(count[f"bytes_{way}"] for count in counts) for way in ("up", "down")}
