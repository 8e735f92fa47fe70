"""Kinds of policies by name, and a fitted policy of any kind as a file.

A kind that is registered can be stored, exported, served, and its state kept. Packages of others
register theirs by an entry point of the group ``dimec.policies``: a module whose import registers
kinds (:func:`register_kind`) and systems (:func:`dimec.policies.registry.register`); or bring a
router, of which dimec makes both (:mod:`dimec.policies.plugged`). An entry point of a kind's own
name is imported alone where that kind is wanted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast

import numpy as np
import numpy.typing as npt

from dimec.base.errors import (
    ConfigError,
    CorruptArtefactError,
    DataError,
    MissingArtefactError,
    shown,
)
from dimec.base.plugins import (
    Plugin,
    Registered,
    calling_module,
    installed,
    load_all,
    loaded,
    named,
    registrant,
    warn,
)
from dimec.base.storage import load_arrays, read_json, save_arrays, write_json
from dimec.policies.base import Policy

POLICY, ARRAYS = "policy.json", "policy.safetensors"
_FORMAT = 1
_KIND = "policy"
_MADE_BY = "dimec fit"

Arrays = Mapping[str, npt.NDArray[Any]]


class Storable(Policy, Protocol):
    """A policy of which one can be stored.

    Attributes:
        kind: its registered name.
    """

    @property
    def kind(self) -> str: ...

    def settings(self) -> dict[str, Any]:
        """What makes this policy, as JSON values."""
        ...

    def arrays(self) -> Arrays:
        """What makes this policy, as arrays by name."""
        ...


class FromSettings:
    """A policy that is made of its constructor's settings alone, each an attribute of its name.

    Attributes:
        kind: its registered name.
        stored: the names of the settings.
    """

    kind: ClassVar[str]
    stored: ClassVar[tuple[str, ...]]

    def settings(self) -> dict[str, Any]:
        """What the constructor takes."""
        return {name: getattr(self, name) for name in self.stored}

    def arrays(self) -> Arrays:
        """None."""
        return {}

    @classmethod
    def made_of(cls, name: str, settings: Mapping[str, Any], arrays: Arrays) -> Any:
        """The policy of these settings, as :func:`register_kind` takes it.

        Raises:
            ValueError: other settings, arrays, or another name.
        """
        if settings.keys() != set(cls.stored) or arrays:
            raise ValueError(f"expected the settings {', '.join(cls.stored)}, got {list(settings)}")
        policy: Any = cls(**settings)
        if policy.name != name:
            raise ValueError(f"expected the name {policy.name}")
        return policy


Make = Callable[[str, Mapping[str, Any], Arrays], Policy]
_KINDS: Registered[Make] = Registered("a kind of policies")
# Where dimec's own kinds are registered, so that one of them loads no other.
_HOMES = {
    "centroid": "dimec.policies.routed",
    "tier": "dimec.policies.routed",
    "cascade": "dimec.policies.cascade.policy",
    "bert": "dimec.policies.literature.bert",
    "deebert": "dimec.policies.literature.deebert",
    "pabee": "dimec.policies.literature.pabee",
    "adaee": "dimec.policies.literature.adaee",
    "splitee": "dimec.policies.literature.splitee",
    "splitee-s": "dimec.policies.literature.splitee_s",
    "i-splitee": "dimec.policies.literature.i_splitee",
    "uee-ucb": "dimec.policies.literature.uee_ucb",
    "lee": "dimec.policies.literature.lee",
    "dee": "dimec.policies.literature.dee",
    "ceebert": "dimec.policies.literature.ceebert",
    "max-softmax": "dimec.policies.literature.dimee",
    "max-softmax-tiers": "dimec.policies.literature.dimee",
    "exit-thresholds": "dimec.policies.literature.exit_thresholds",
    "deferral": "dimec.policies.literature.deferral",
    "neighbours": "dimec.policies.literature.knn",
    "cats": "dimec.policies.literature.cats",
}


def register_kind(kind: str, make: Make, *, by: Plugin | None = None) -> None:
    """Let policies of this kind be stored and loaded.

    Args:
        kind: its name.
        make: builds a policy from its name, its settings and its arrays; raises KeyError,
            TypeError, ValueError, ConfigError or DataError where they are not such a policy's.
        by: the package whose it is, where that is not the one that is being imported.

    Raises:
        ConfigError: the name is taken.
    """
    by = by or registrant(calling_module())
    if _HOMES.get(kind, __name__) not in sys.modules or (by is not None and kind in _HOMES):
        raise ConfigError(f"a kind of policies named {kind!r} is registered already")
    _KINDS.add(kind, make, by)


def is_kind(name: str) -> bool:
    """Whether policies of that kind can be stored, as far as is known without loading packages."""
    return name in _KINDS or name in _HOMES


def load_plugins() -> None:
    """Import every policy and router of other packages; a broken one is left out with a warning."""
    load_all("policies")
    load_all("routers")
    for plugin in installed():
        if plugin.group == "routers":
            with suppress(ConfigError):  # it was warned of
                _take_up(plugin)


def load_plugin(name: str) -> bool:
    """Import the policy or router that an entry point gives this name.

    Returns:
        Whether there is one.

    Raises:
        ConfigError: it cannot be loaded, or two packages claim the name.
    """
    found = [one for group in ("policies", "routers") if (one := named(group, name)) is not None]
    for plugin in found:
        _take_up(plugin)
    return bool(found)


def _take_up(plugin: Plugin) -> None:
    thing = loaded(plugin)
    if plugin.group == "routers":
        # Not at the top: it stands on this module and on the registry.
        import_module("dimec.policies.plugged").take_up(plugin, thing)


def own_kinds() -> tuple[str, ...]:
    """The names of dimec's own kinds."""
    return tuple(_HOMES)


def package_of(kind: str) -> Plugin | None:
    """The package that brought a registered kind; None for dimec's own."""
    return _KINDS.owner(kind)


@dataclass(frozen=True, eq=False)
class StoredPolicy:
    """A fitted policy and what it was fitted on.

    Attributes:
        policy: of a registered kind.
        fitted_on: JSON values: the model, the tiers, λ, and what the fit found.
    """

    policy: Policy
    fitted_on: Mapping[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write ``policy.json``, and the arrays, if there are any, checksummed and no pickle.

        The JSON is written last.

        Raises:
            ConfigError: the policy is of no registered kind.
        """
        kind = getattr(self.policy, "kind", None)
        if kind not in _KINDS:
            raise ConfigError(
                f"{self.policy.name} is of no registered kind of policies and cannot be stored; "
                f"register it with dimec.policies.kinds.register_kind"
            )
        policy = cast(Storable, self.policy)
        arrays = {name: np.asarray(array) for name, array in policy.arrays().items()}
        if arrays:
            save_arrays(folder / ARRAYS, _KIND, arrays, {"kind": kind, "name": policy.name})
        else:
            (folder / ARRAYS).unlink(missing_ok=True)
        write_json(
            folder / POLICY,
            {
                "format": _FORMAT,
                "kind": kind,
                "name": policy.name,
                "settings": policy.settings(),
                "arrays": sorted(arrays),
                "fitted_on": dict(self.fitted_on),
                **({} if (by := package_of(str(kind))) is None else {"package": by.to_json()}),
            },
        )

    @classmethod
    def load(cls, folder: Path) -> StoredPolicy:
        """Read what :meth:`save` wrote.

        Raises:
            ArtefactError: missing, truncated, altered, of an unknown kind, or not a policy.
        """
        path = folder / POLICY
        if not path.exists() and (folder / "router.safetensors").exists():
            raise MissingArtefactError(
                f"{folder} has the router of an earlier version of dimec; fit again: {_MADE_BY}"
            )
        stored = read_json(path, _MADE_BY)
        try:
            if stored["format"] != _FORMAT:
                raise CorruptArtefactError(
                    f"{path} has the format {shown(str(stored['format']), 20)}, this version reads "
                    f"{_FORMAT}; make it again: {_MADE_BY}"
                )
            kind, name, settings = str(stored["kind"]), str(stored["name"]), stored["settings"]
            if not isinstance(settings, dict):
                raise TypeError(f"expected settings by name, got {settings!r}")
            make = _kind_in(path, kind, stored.get("package"))
            arrays: Arrays = {}
            if stored["arrays"]:
                arrays, metadata = load_arrays(folder / ARRAYS, _KIND, _MADE_BY)
                if metadata != {"kind": kind, "name": name} or sorted(arrays) != stored["arrays"]:
                    raise ValueError(f"{ARRAYS} belongs to another policy")
            return cls(make(name, settings, arrays), dict(stored["fitted_on"]))
        except (KeyError, TypeError, ValueError, OverflowError, ConfigError, DataError) as error:
            raise CorruptArtefactError(
                f"{path} holds no policy ({shown(f'{type(error).__name__}: {error}', 160)}); make "
                f"it again: {_MADE_BY}"
            ) from None


def _kind_in(path: Path, kind: str, package: Any) -> Make:
    """:func:`kind_of` for a file, which fitting again does not repair.

    Args:
        path: of the file.
        kind: that it names.
        package: what it says of the package that brought the kind, if anything.
    """
    name, version = package_told(package)
    try:
        make = kind_of(kind)
    except ConfigError as error:
        needs = f"it was made with the package {name} {version}: {error}" if name else f"{error}"
        raise CorruptArtefactError(f"{path} cannot be read: {needs}") from None
    by = package_of(kind)
    if name and by is not None and (by.package, by.version) != (name, version):
        warn(f"{path} was made with the package {name} {version}, and {by.told} is installed")
    return make


def package_told(package: Any) -> tuple[str, str]:
    """Name and version that a stored policy gives for its package; both empty for dimec's own.

    Example:
        >>> package_told({"name": "escalating", "version": "1.0"}), package_told(None)
        (('escalating', '1.0'), ('', ''))
    """
    if not isinstance(package, Mapping):
        return "", ""
    return shown(str(package.get("name", "")), 60), shown(str(package.get("version", "")), 40)


def kind_of(name: str) -> Make:
    """How policies of a registered kind are made.

    Raises:
        ConfigError: there is none; says which there are. Or the package that has an entry point of
            that name cannot be loaded.
    """
    if name not in _KINDS and name in _HOMES:
        import_module(_HOMES[name])
    if name not in _KINDS:
        load_plugin(name)
    if name not in _KINDS:
        load_plugins()
    if name not in _KINDS:
        raise ConfigError(
            f"no kind of policies is named {shown(name, 40)!r}; there are "
            f"{', '.join(dict.fromkeys([*_HOMES, *_KINDS]))}; one of another package needs that "
            "package installed"
        )
    return _KINDS[name]
