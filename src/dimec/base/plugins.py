"""What other packages bring, by entry points: found by metadata, imported when they are named.

An entry point of the group ``dimec.policies``, ``dimec.routers``, ``dimec.tasks``,
``dimec.bounds`` or ``dimec.trackers`` gives a thing a name. To know which names there are imports
nothing of a package, so one that is broken is in nobody's way until it is asked for. dimec's own
names are dimec's: who registers one is refused. Of two packages with one name neither is taken.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from dimec.base.errors import ConfigError, shown

PREFIX = "dimec."
GROUPS = ("policies", "routers", "tasks", "bounds", "trackers")
T = TypeVar("T")


class PluginWarning(UserWarning):
    """Something of another package is left out, or is of another version than before."""


@dataclass(frozen=True, order=True)
class Plugin:
    """A thing of another package.

    Attributes:
        group: one of :data:`GROUPS`.
        name: by which it is asked for.
        value: where it is: ``module`` or ``module:attribute``.
        package: the distribution that brings it.
        version: of the distribution.
    """

    group: str
    name: str
    value: str
    package: str
    version: str

    @property
    def told(self) -> str:
        """``escalating 1.0``: the distribution and its version."""
        return f"{self.package} {self.version}"

    def to_json(self) -> dict[str, str]:
        """What an artefact that needs it says."""
        return {"name": self.package, "version": self.version}


@cache
def installed() -> tuple[Plugin, ...]:
    """Every plug-in of the packages beside dimec, in the order of their groups and names."""
    found = set()
    for group in GROUPS:
        for point in entry_points(group=PREFIX + group):
            package, version = _distribution(point)
            found.add(Plugin(group, point.name, point.value, package, version))
    return tuple(sorted(found, key=lambda one: (GROUPS.index(one.group), one)))


def _distribution(point: Any) -> tuple[str, str]:
    """Name and version of the distribution behind an entry point; its metadata may be damaged."""
    try:
        return str(point.dist.name), str(point.dist.version)
    except Exception:  # whatever is wrong with it, the entry point itself can be told
        return "a package without metadata", "unknown"


def named(group: str, name: str) -> Plugin | None:
    """The plug-in of that name, not yet imported; None where there is none.

    Args:
        group: one of :data:`GROUPS`.
        name: one that is not dimec's own, which its callers look up first.

    Raises:
        ConfigError: two packages claim the name.
    """
    found = [one for one in installed() if (one.group, one.name) == (group, name)]
    if len(found) > 1:
        raise ConfigError(f"{_clash(found)}; uninstall one of them")
    return found[0] if found else None


def names(group: str, own: Collection[str] = ()) -> tuple[str, ...]:
    """The names that packages bring to a group and that can be asked for, in order.

    Args:
        group: one of :data:`GROUPS`.
        own: dimec's own names.
    """
    every = [one.name for one in installed() if one.group == group]
    return tuple(name for name in every if every.count(name) == 1 and name not in own)


def _clash(found: Collection[Plugin]) -> str:
    whose = " and ".join(one.told for one in found)
    first = next(iter(found))
    return f"the name {shown(first.name, 40)!r} of {PREFIX}{first.group} is claimed by {whose}"


_objects: dict[Plugin, Any] = {}
_failures: dict[Plugin, str] = {}
_loading: ContextVar[Plugin | None] = ContextVar("_loading", default=None)


def loaded(plugin: Plugin) -> Any:
    """What an entry point names, imported once.

    What it registered before it failed is taken back.

    Raises:
        ConfigError: it cannot be imported; names the package and what is wrong.
    """
    if plugin in _objects:
        return _objects[plugin]
    if plugin not in _failures:
        try:
            with on_behalf_of(plugin):
                return _objects.setdefault(plugin, _load(plugin))
        except Exception as error:
            _failures[plugin] = f"{type(error).__name__}: {shown(str(error), 160)}"
            for table in _tables:
                table.forget(plugin)
    raise ConfigError(
        f"the entry point {plugin.name!r} ({plugin.value}) of the package {plugin.told} cannot be "
        f"loaded: {_failures[plugin]}; repair or uninstall it"
    )


def _load(plugin: Plugin) -> Any:
    for one in entry_points(group=PREFIX + plugin.group, name=plugin.name):
        if one.value == plugin.value:
            return one.load()
    raise ModuleNotFoundError("it was uninstalled while dimec ran")


def load_all(group: str) -> None:
    """Import all plug-ins of a group; those that cannot be are left out, with a warning."""
    for plugin in installed():
        if plugin.group == group:
            try:
                named(group, plugin.name)
                loaded(plugin)
            except ConfigError as error:
                warn(f"left out: {error}")


def warn(message: str) -> None:
    """Warn of a plug-in; each message comes once."""
    warnings.warn(message, PluginWarning, stacklevel=3)


def problem_of(plugin: Plugin, own: Mapping[str, Collection[str]]) -> str:
    """What keeps an installed plug-in from being used, as far as that is known; else empty.

    Args:
        plugin: an installed one.
        own: dimec's own names by group.
    """
    if plugin.name in own.get(plugin.group, ()):
        return "the name is dimec's own"
    same = [one for one in installed() if (one.group, one.name) == (plugin.group, plugin.name)]
    return _clash(same) if len(same) > 1 else _failures.get(plugin, "")


@contextmanager
def on_behalf_of(plugin: Plugin) -> Iterator[None]:
    """What is registered within this is that package's."""
    token = _loading.set(plugin)
    try:
        yield
    finally:
        _loading.reset(token)


def registrant(module: str) -> Plugin | None:
    """For whom a module registers: the plug-in that is being imported; None for dimec's own.

    A package's import may be what first imports a module of dimec, which registers for itself.
    """
    return None if module.partition(".")[0] == "dimec" else _loading.get()


def calling_module() -> str:
    """The module that called the function which calls this."""
    return str(sys._getframe(2).f_globals.get("__name__", ""))


class Registered(Generic[T]):
    """Things by name, each with the plug-in that registered it.

    Args:
        what: a thing is, for messages: ``a system``.

    Attributes:
        things: name → thing, in the order of registration.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self.things: dict[str, T] = {}
        self._owners: dict[str, Plugin] = {}
        _tables.append(self)

    def add(self, name: str, thing: T, by: Plugin | None = None) -> None:
        """Register a thing.

        Args:
            name: free, or else of a package and now dimec's own: whose module may come later.
            thing: what it is.
            by: whose it is; None for dimec's own, and for those of a program.

        Raises:
            ConfigError: the name is taken.
        """
        owner = self._owners.get(name)
        if name in self.things and owner is not None and by is None:
            _failures[owner] = f"{self._what} named {name!r} is dimec's own"
            warn(f"left out: {owner.told} names {self._what} {name!r}, a name of dimec's own")
            self.forget(owner)
        if name in self.things:
            whose = "" if owner is None else f" by {owner.told}"
            raise ConfigError(f"{self._what} named {name!r} is registered already{whose}")
        self.things[name] = thing
        if by is not None:
            self._owners[name] = by

    def owner(self, name: str) -> Plugin | None:
        """Who registered a name; None for dimec's own."""
        return self._owners.get(name)

    def forget(self, plugin: Plugin) -> None:
        """Take back all that a plug-in registered."""
        for name in [name for name, owner in self._owners.items() if owner == plugin]:
            del self.things[name], self._owners[name]

    def __getitem__(self, name: str) -> T:
        return self.things[name]

    def __contains__(self, name: object) -> bool:
        return name in self.things

    def __iter__(self) -> Iterator[str]:
        return iter(self.things)


_tables: list[Registered[Any]] = []
