"""The tests of a contract by name, and the default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dimec.base.errors import ConfigError
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
    """The test of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in TESTS:
        raise ConfigError(f"no test of a contract is called {name!r}; there are {', '.join(TESTS)}")
    return TESTS[name]
