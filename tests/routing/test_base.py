"""A router that learns nothing says only where an input goes, and what it decides by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dimec.routing import FixedRouter, Route, Router


class BySign(FixedRouter):
    """Tier 1 where the first number is above zero."""

    def choose(self, embeddings: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        return (embeddings[:, 0] > 0).astype(np.int64)

    def state(self) -> Mapping[str, npt.NDArray[Any]]:
        return {}


def test_the_rest_of_a_router_comes_with_it() -> None:
    router = BySign()
    assert isinstance(router, Router)
    assert router.route(np.array([[1.0, 0.0], [-1.0, 0.0]], np.float32)).tolist() == [1, 0]
    assert router.route_one(np.array([2.0, 0.0], np.float32)) == Route(1)
    router.learn_one(np.array([2.0, 0.0]), 0)
    router.restore({})
    assert router.copy() is router
    assert router.route_one(np.array([2.0, 0.0])) == Route(1)


def test_one_that_does_not_say_where_an_input_goes_cannot_be_made() -> None:
    class Silent(FixedRouter):
        def state(self) -> Mapping[str, npt.NDArray[Any]]:
            return {}

    with pytest.raises(TypeError, match="choose"):
        Silent()  # type: ignore[abstract]
