"""The tests of a contract by name, and the default.

Other packages bring theirs by an entry point of the group ``dimec.bounds``: a
:class:`ContractTest` of that name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from dimec.base.errors import ConfigError, shown
from dimec.base.plugins import Plugin, loaded, named, names
from dimec.contract import betting, clopper_pearson, disagreement, exact, hoeffding_bentkus
from dimec.contract.losses import Losses


@dataclass(frozen=True)
class ContractTest:
    """A test of "drop ≤ Δ" that a violated contract passes with probability α at most.

    Attributes:
        name: by which it is chosen and stored.
        title: for people.
        p_value: of losses (N rows) and Δ, a share in (0, 1): small where the contract holds.
        upper: of losses and α: the upper confidence bound of the drop, a share.
        labels: whether it needs labels where the answers differ.
    """

    name: str
    title: str
    p_value: Callable[[Losses, float], float]
    upper: Callable[[Losses, float], float]
    labels: bool = True


TESTS: dict[str, ContractTest] = {
    test.name: test
    for test in (
        ContractTest("exact", "exact unconditional", exact.p_value, exact.upper),
        ContractTest("betting", "betting", betting.p_value, betting.upper),
        ContractTest(
            "clopper-pearson",
            "pair of Clopper-Pearson bounds",
            clopper_pearson.p_value,
            clopper_pearson.upper,
        ),
        ContractTest(
            "hoeffding-bentkus",
            "Hoeffding-Bentkus",
            hoeffding_bentkus.p_value,
            hoeffding_bentkus.upper,
        ),
        ContractTest(
            "disagreement",
            "share of different answers",
            disagreement.p_value,
            disagreement.upper,
            labels=False,
        ),
    )
}

# The most powerful of them; its validity is enumerated in tests/contract, outcome by outcome.
DEFAULT = "exact"
WITHOUT_LABELS = "disagreement"


def contract_test(name: str) -> ContractTest:
    """The test of that name, dimec's own or of another package.

    Raises:
        ConfigError: there is none, or its package cannot be loaded.
    """
    if name in TESTS:
        return TESTS[name]
    if (plugin := named("bounds", name)) is not None:
        return _of_package(plugin)
    known = ", ".join((*TESTS, *names("bounds", TESTS)))
    raise ConfigError(
        f"no test of a contract is called {shown(name, 40)!r}; there are {known}; one of another "
        "package needs that package installed"
    )


def package_of_test(name: str) -> Plugin | None:
    """The package that brings a test; None for dimec's own."""
    return None if name in TESTS else named("bounds", name)


def _of_package(plugin: Plugin) -> ContractTest:
    """A package's test, of which every number is looked at: a promise rests on it.

    Raises:
        ConfigError: it cannot be loaded, or is no test of that name.
    """
    test = loaded(plugin)
    whose = f"the bound {plugin.name!r} ({plugin.value}) of the package {plugin.told}"
    if not isinstance(test, ContractTest) or test.name != plugin.name:
        raise ConfigError(
            f"{whose}: expected a dimec.contract.registry.ContractTest of that name, got "
            f"{shown(repr(test), 80)}"
        )

    def checked(what: str, value: float, low: float) -> float:
        if not low <= value <= 1:  # not a number fails too
            raise ConfigError(
                f"{whose} gives the {what} {value!r}; expected a number from {low:g} to 1; nothing "
                "is promised by it"
            )
        return float(value)

    def p_value(losses: Losses, delta: float) -> float:
        return checked("p-value", test.p_value(losses, delta), 0)

    def upper(losses: Losses, alpha: float) -> float:
        return checked("upper bound", test.upper(losses, alpha), -1)

    return replace(test, p_value=p_value, upper=upper)
