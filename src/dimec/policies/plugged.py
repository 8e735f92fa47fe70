"""Routers of other packages, as systems that are fitted, stored and served like any other.

A package names a class of routers by an entry point of the group ``dimec.routers``. Under the
name of the entry point dimec registers a system, whose fit is the class's own, and a kind, whose
arrays are the router's state. Cost of a sample: the price of the tier that it was sent to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self

from dimec.base.errors import ConfigError, shown
from dimec.base.plugins import Plugin
from dimec.policies.kinds import Arrays, register_kind
from dimec.policies.registry import FitInputs, Fitted, System, register, validation_reward
from dimec.policies.routed import RouterPolicy, name_router
from dimec.routing import Router

_OF_CLASS = ("fitted", "of_state")
_OF_ROUTER = ("route", "route_one", "learn_one", "state", "restore", "copy")


class FittedRouter(Router, Protocol):
    """What an entry point of ``dimec.routers`` names: a class of routers that can be fitted.

    A router with an attribute ``adaptive`` that is true goes on learning as inputs arrive.
    """

    @classmethod
    def fitted(cls, inputs: FitInputs) -> Self:
        """Fit a router to the validation split; the test split is not there to be looked at.

        Raises:
            ConfigError: it cannot be fitted to these.
        """
        ...

    @classmethod
    def of_state(cls, state: Arrays) -> Self:
        """The router of a state that :meth:`~dimec.routing.Router.state` gave, read from a file.

        Raises:
            KeyError, ValueError, DataError: it is not one of such a router.
        """
        ...


_TAKEN: set[Plugin] = set()


def take_up(plugin: Plugin, made: Any) -> None:
    """Register a package's class of routers, once.

    Raises:
        ConfigError: it is no such class, or the name is taken.
    """
    if plugin in _TAKEN:
        return
    if not isinstance(made, type):
        raise _refusal(plugin, f"it is {shown(repr(made), 60)}")
    if lacking := [name for name in (*_OF_CLASS, *_OF_ROUTER) if not hasattr(made, name)]:
        raise _refusal(plugin, f"{made.__name__} has no {', '.join(lacking)}")
    router_class: Any = made
    name = plugin.name

    def fit(inputs: FitInputs) -> Fitted:
        policy = RouterPolicy(name, router_class.fitted(inputs))
        return Fitted(policy, {}, validation_reward(policy, inputs))

    def make(router: Router) -> RouterPolicy:
        return RouterPolicy(name, router)

    def stored(called: str, settings: Mapping[str, Any], arrays: Arrays) -> RouterPolicy:
        if settings.keys() != {"adaptive"}:
            raise ValueError(f"expected the setting adaptive, got {list(settings)}")
        return RouterPolicy(called, router_class.of_state(arrays))

    reads = frozenset({"embeddings"})
    register_kind(name, stored, by=plugin)
    register(System(name, plugin.told, make, fitter=fit, reads=reads), by=plugin)
    name_router(router_class, name)
    _TAKEN.add(plugin)


def _refusal(plugin: Plugin, why: str) -> ConfigError:
    return ConfigError(
        f"the entry point {plugin.name!r} ({plugin.value}) of the package {plugin.told}: expected "
        f"a class of routers with {', '.join((*_OF_CLASS, *_OF_ROUTER))}; {why}; see "
        "dimec.policies.plugged.FittedRouter"
    )
