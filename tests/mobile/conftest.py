"""A bundle whose tiers all get traffic, and its edge and cloud without sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from dimec.mobile import Mobile
from dimec.mobile.state.store import State
from support.states import open_state
from support.tiers import Tier, balanced


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    """The tiny bundle with a router that uses all three tiers; not to be changed."""
    return balanced(tiny_bundle, tmp_path_factory.mktemp("mobile") / "bundle")


@pytest.fixture
def tiers(bundle: Path) -> dict[str, Tier]:
    """The edge and the cloud of the bundle."""
    return {tier: Tier(bundle, tier) for tier in ("edge", "cloud")}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a state file, in a folder that is not there yet."""
    return tmp_path / "deep" / "state.sqlite"


@pytest.fixture
def state(path: Path) -> Iterator[State]:
    """A new state, open."""
    with closing(open_state(path)) as opened:
        yield opened


@pytest.fixture
def open_mobile(
    bundle: Path, tiers: dict[str, Tier], tmp_path: Path
) -> Iterator[Callable[..., Mobile]]:
    """``open_mobile(adaptive=True)``: a mobile with these tiers; closed after the test."""
    with ExitStack() as stack:

        def open_(**options: Any) -> Mobile:
            options = {
                "state": tmp_path / "state.sqlite",
                "edge": "http://edge.test",
                "cloud": "http://cloud.test",
                "timeout": 20.0,
                "transports": {name: tier.transport() for name, tier in tiers.items()},
                **options,
            }
            return stack.enter_context(Mobile.open(bundle, **options))

        yield open_
