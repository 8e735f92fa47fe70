"""Which systems can be fitted for serving, by what settings, and the fit of one of them.

A system can be served where its policy can be written as steps (``replay_only`` is empty) and is of
a registered kind, so that it can be stored. Some can be served with a setting that is not their
authors' own only, such as SplitEE-S with ``only_seen``: then the setting is named.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, get_type_hints

from dimec.base.errors import ConfigError, option, quoted, shown
from dimec.policies.base import Policy
from dimec.policies.kinds import is_kind
from dimec.policies.registry import FitInputs, Fitted, System, find_system, systems

_PLAIN = (bool, int, float, str)
_EXPECTED = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}


def servable() -> dict[str, dict[str, Any]]:
    """Every system that can be fitted and served, with the settings that this takes, mostly none.

    A package that cannot be loaded is left out, with a warning.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, one in systems().items():
        with suppress(ConfigError):  # one that cannot be made even with its own settings
            if not one.needs and (wanted := _what_it_takes(one)) is not None:
                found[name] = wanted
    return found


def fit_servable(name: str, inputs: FitInputs, settings: Mapping[str, Any]) -> Fitted:
    """Fit a system so that its policy can be stored and served.

    Args:
        name: of a registered system.
        inputs: what it is fitted to.
        settings: of its own, which are not to be chosen; as values, or as they are typed.

    Raises:
        ConfigError: no such system, or one that cannot be served, not for these tiers, or not with
            these settings; says what can be.
    """
    one = _named(name)
    pinned = _checked(one, settings)
    inputs = replace(inputs, pinned=pinned)
    if (trial := _trial(one, pinned)) is not None:
        _refuse_unserved(one, trial)  # before the work
    try:
        fitted = one.fit(inputs)
    except ConfigError as error:
        raise ConfigError(f"{name} cannot be fitted here: {error}; {_others()}") from None
    _refuse_unserved(one, fitted.policy)
    return fitted


def options_of(one: System) -> dict[str, type]:
    """The settings of a system that can be set, and of what type each is: bool, int, float or str.

    They are those of its constructor and those of its grid.

    Example:
        >>> from dimec.policies import system
        >>> options_of(system("pabee"))
        {'patience': <class 'int'>}
    """
    made = one.make.__init__ if inspect.isclass(one.make) else one.make
    hints: dict[str, Any] = {}
    with suppress(NameError, TypeError):  # names that only a type checker knows: the grid tells
        hints = get_type_hints(made)
    found = {key: hint for key, hint in hints.items() if hint in _PLAIN and key != "return"}
    for key, values in one.grid.items():
        found.setdefault(key, type(values[0]))
    return found


def _named(name: str) -> System:
    if (one := find_system(name)) is None:
        raise ConfigError(f"no system is named {shown(name, 40)!r}; {_others()}")
    if one.needs:
        raise ConfigError(
            f"{name} needs a training of its own ({one.needs}), and its graphs are served by no "
            f"tier; {_others()}"
        )
    return one


def _others() -> str:
    """What to take instead."""
    names = [f"{name}{told}" for name, told in served_names().items()]
    return f"{option('policy')} takes {', '.join(names)}"


def served_names() -> dict[str, str]:
    """``dimec`` and the systems that can be served, each with the settings that this takes."""
    taken = {name: _told(wanted) for name, wanted in servable().items()}
    return {"dimec": "", **{name: told and f" (with {told})" for name, told in taken.items()}}


def _told(settings: Mapping[str, Any]) -> str:
    """``only_seen=true``."""
    return ", ".join(f"{key}={str(value).lower()}" for key, value in settings.items())


def _refuse_unserved(one: System, policy: Policy) -> None:
    """Refuse a policy that exists on recorded traces only, or cannot be stored.

    Raises:
        ConfigError: says why.
    """
    if policy.replay_only:
        wanted = _what_it_takes(one)
        instead = f"set it with {option('settings')} {_told(wanted)}" if wanted else _others()
        raise ConfigError(
            f"{one.name} can be replayed and not served: {policy.replay_only}; {instead}"
        )
    if not is_kind(getattr(policy, "kind", "")):
        raise ConfigError(
            f"{one.name} is of no registered kind of policies and cannot be stored; its package "
            "registers one with dimec.policies.kinds.register_kind"
        )


def _what_it_takes(one: System) -> dict[str, Any] | None:
    """The settings by which a system can be served, mostly none; None where nothing helps."""
    flags = [key for key, kind in options_of(one).items() if kind is bool]
    for wanted in ({}, *({key: True} for key in flags)):
        policy = _trial(one, wanted)
        # What only a fit can make is taken at its word until it is fitted.
        if policy is None or (not policy.replay_only and is_kind(getattr(policy, "kind", ""))):
            return wanted
    return None


def _trial(one: System, pinned: Mapping[str, Any]) -> Policy | None:
    """A policy of a system's first settings; None where a fit has to find what makes one.

    Raises:
        ConfigError: there is none with such settings.
    """
    first = one.settings(pinned)[0]
    try:
        inspect.signature(one.make).bind(**first)
    except TypeError:
        return None
    try:
        return one.make(**first)
    except (TypeError, ValueError) as error:
        told = f" with {_told(first)}" if first else ""
        raise ConfigError(f"{one.name} cannot be made{told}: {shown(str(error), 120)}") from None


def _checked(one: System, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as values of their types.

    Raises:
        ConfigError: an unknown setting, or a value of another type.
    """
    known = options_of(one)
    for key in settings:
        if key not in known:
            told = f"it has {', '.join(known)}" if known else "it has none that can be set"
            raise ConfigError(f"{one.name} has no setting {shown(key, 40)!r}; {told}")
    return {key: _value(one, key, known[key], value) for key, value in settings.items()}


def _value(one: System, key: str, kind: type, given: Any) -> Any:
    if isinstance(given, str) and kind is not str:
        read = _read(kind, given.strip())
    else:
        read = float(given) if kind is float and type(given) is int else given
    if type(read) is not kind:
        raise ConfigError(
            f"{one.name}: {key} is {_EXPECTED.get(kind, kind.__name__)}, got "
            f"{quoted(str(given), 60)}"
        )
    return read


def _read(kind: type, text: str) -> Any:
    """What was typed, as a bool, an int or a float; None where it is none."""
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower())
    with suppress(ValueError):
        return kind(text)
    return None
