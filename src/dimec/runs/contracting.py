"""Fit a policy under a contract: the cheapest of all that may be served that keeps it.

Three parts of the rows are apart: policies are fitted to the first, and the path among them is
learnt there; the contract is tested on the second, the calibration rows; the test split is left to
``dimec evaluate``. :doc:`docs/contract.md` says what is promised by that, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dimec.base.arrays import BoolArray, IntArray
from dimec.base.errors import ConfigError, ContractRefusedError, option
from dimec.base.progress import Progress
from dimec.contract import bounded
from dimec.contract.losses import Losses, Terms
from dimec.contract.path import Prospect, path, sure_of_drop, sure_of_mean
from dimec.contract.promise import Calibrated, Promise
from dimec.contract.registry import DEFAULT, WITHOUT_LABELS, contract_test, package_of_test
from dimec.contract.sequence import Shortfall, fixed_sequence
from dimec.policies.candidates import Candidate, Did, candidates_of, did, single_tiers
from dimec.policies.left_out import LeftOut
from dimec.policies.registry import FitInputs, system
from dimec.runs.calibration import Calibration
from dimec.runs.refusal import Refusal, told

# Of the reference's cost: what a policy saves at least to be tried at all, and by how much those of
# the path differ. Each that is tried may be the one that ends the path, and one that saves next to
# nothing is not worth that.
_APART = 0.02


@dataclass(frozen=True)
class Wanted:
    """What is wanted of a policy; exactly one of the first three is set.

    Attributes:
        max_accuracy_drop, max_disagreement: in points; see
            :class:`dimec.contract.promise.Promise`.
        max_cost: λ.
        confidence: in [0.5, 0.9999].
        bound: name of the test of :mod:`dimec.contract.registry`; None for the one that suits.
    """

    max_accuracy_drop: float | None = None
    max_disagreement: float | None = None
    max_cost: float | None = None
    confidence: float = 0.95
    bound: str | None = None

    def __post_init__(self) -> None:
        given = [name for name in _TERMS if getattr(self, name) is not None]
        if len(given) != 1:
            named = " or ".join(option(name) for name in _TERMS)
            raise ConfigError(f"a contract promises one thing: give {named}, one of them")
        if given == ["max_cost"]:
            Terms.of(1.0, self.confidence)  # the confidence is checked alike
            if not (self.max_cost or 0) > 0 or not np.isfinite(self.max_cost or 0):
                raise ConfigError(
                    f"{option('max_cost')} must be over 0, in units of lambda, got "
                    f"{self.max_cost:g}"
                )
        else:
            self.terms  # noqa: B018  # checked now, and not after the work
        if self.bound is not None:
            self._check_bound(self.bound)

    def _check_bound(self, bound: str) -> None:
        labels = contract_test(bound).labels
        if self.max_cost is not None:
            raise ConfigError(
                f"{option('bound')} is of a drop or of different answers, and {option('max_cost')} "
                "has a bound of its own; leave it out"
            )
        if self.max_disagreement is not None and labels:
            raise ConfigError(
                f"the bound {bound!r} is of a drop and needs labels; {option('max_disagreement')} "
                f"takes one that does without, such as {WITHOUT_LABELS}"
            )

    @property
    def terms(self) -> Terms:
        """Δ and α of a drop, or of different answers.

        Raises:
            ConfigError: one of them is outside its range.
        """
        name = "max_disagreement" if self.max_accuracy_drop is None else "max_accuracy_drop"
        return Terms.of(getattr(self, name), self.confidence, name)

    @property
    def alpha(self) -> float:
        """1 - confidence."""
        return 1 - self.confidence


_TERMS = ("max_accuracy_drop", "max_disagreement", "max_cost")


@dataclass(frozen=True, eq=False)
class Search:
    """What a search for the cheapest policy rests on.

    Attributes:
        inputs: the rows of the fit, and the tiers.
        calibration: rows that fit nothing.
        wanted: the contract.
        labelled: whether the drop can be tested, and not the share of different answers alone.
    """

    inputs: FitInputs
    calibration: Calibration
    wanted: Wanted
    labelled: bool

    @property
    def price(self) -> float:
        """Of an answer of the last tier."""
        return float(self.inputs.deployment.prices[-1])

    @property
    def ceiling(self) -> float:
        """The largest cost of an answer that there can be: of a path over every tier."""
        return float(sum(self.inputs.deployment.prices))

    def sure(self, candidate: Candidate, reference: Did) -> float:
        """How clearly it should keep the contract, as the rows of the fit tell."""
        rows, wanted = len(self.calibration), self.wanted
        if wanted.max_cost is not None:
            return sure_of_mean(candidate.did.cost, rows, wanted.max_cost)
        labels = self.inputs.validation.labels
        different: BoolArray = candidate.did.classes != reference.classes
        if not self.labelled:
            return sure_of_drop(float(different.mean()), 0.0, rows, wanted.terms.delta)
        losses = Losses.of_answers(candidate.did.classes, reference.classes, labels)
        size = len(losses)
        return sure_of_drop(losses.plus / size, losses.minus / size, rows, wanted.terms.delta)

    def wants(self, candidate: Candidate) -> float:
        """What is to be small: the cost, or, of a contract on the cost, the drop."""
        if self.wanted.max_cost is None:
            return float(candidate.did.cost.mean())
        return float(-(candidate.did.classes == self.inputs.validation.labels).mean())

    def losses(self, candidate: Candidate) -> Losses:
        """Of a policy, on the calibration rows."""
        there = self.there(candidate)
        labels = self.calibration.labels if self.labelled else None
        return Losses.of_answers(there.classes, self.reference(), labels)

    def there(self, candidate: Candidate) -> Did:
        """What a policy does on the calibration rows."""
        return did(candidate.policy, self.calibration.trace, self.inputs.deployment)

    def reference(self) -> IntArray:
        """(N,) what the last tier answers on the calibration rows."""
        trace, last = self.calibration.trace, self.inputs.deployment.tiers[-1]
        return trace.predictions[:, trace.column(last.layer, last.source)]


def gathered(
    names: Sequence[str], inputs: FitInputs, seed: int, progress: Progress
) -> list[Candidate]:
    """Every tier alone, and every policy of these systems that can be served here.

    Args:
        names: of systems; one that cannot be used here is left out, and the progress told why,
            unless it is the only one.
        inputs: what they are fitted to.
        seed: of the folds.
        progress: a step for each system.

    Raises:
        ConfigError: the only system cannot be used here.
    """
    found = single_tiers(inputs)
    progress.start("fitting every policy along its knob", len(names))
    left_out = LeftOut()
    for name in names:
        try:
            found += candidates_of(system(name), inputs, seed)
        except ConfigError as error:
            if len(names) == 1:
                raise
            left_out.add(name, error)
        progress.advance(1, name)
    progress.end()
    left_out.say(progress)
    return found


def way(search: Search, candidates: Sequence[Candidate]) -> list[Candidate]:
    """The path among them, from the surest to the cheapest.

    Of those that lose more than is allowed on the rows of the fit only the surest is kept, so that
    there is something to tell.
    """
    reference = next(
        one for one in candidates if one.policy.name == f"all-{search.inputs.deployment.names[-1]}"
    )
    cheaper = [
        one
        for one in candidates
        if search.wanted.max_cost is not None or one.did.cost.mean() <= (1 - _APART) * search.price
    ]
    prospects = [Prospect(search.sure(one, reference.did), search.wants(one)) for one in cheaper]
    apart = _APART * search.price if search.wanted.max_cost is None else 0.0
    order = path(prospects, apart)
    hopeful = [position for position in order if prospects[position].sure > 0]
    return [cheaper[position] for position in (hopeful or order[:1])]


@dataclass(frozen=True, eq=False)
class Tested:
    """What became of a path.

    Attributes:
        accepted: how many of its policies keep the contract.
        tried: how many were tested.
        shortfall: of the first that does not.
        test: the test's name.
    """

    accepted: int
    tried: int
    shortfall: Shortfall | None
    test: str


def test_way(search: Search, tried: Sequence[Candidate]) -> Tested:
    """Test a path on the calibration rows.

    Raises:
        DataError: too few rows for these terms, or labels are missing.
    """
    if search.wanted.max_cost is not None:
        return _test_cost(search, tried, search.wanted.max_cost)
    by_drop = search.labelled and search.wanted.max_accuracy_drop is not None
    test = search.wanted.bound or (DEFAULT if by_drop else WITHOUT_LABELS)
    if not by_drop and contract_test(test).labels:
        raise ConfigError(
            f"the bound {test!r} needs labels, and these calibration rows have none; take one that "
            f"does without ({option('bound', WITHOUT_LABELS)}), or label some"
        )
    verdict = fixed_sequence(map(search.losses, tried), search.wanted.terms, test)
    return Tested(verdict.accepted, len(verdict.p_values), verdict.shortfall, test)


def _test_cost(search: Search, tried: Sequence[Candidate], most: float) -> Tested:
    for number, one in enumerate(tried):
        share = search.there(one).cost / search.ceiling
        p = bounded.p_value(share, most / search.ceiling) if most < search.ceiling else 0.0
        if p > search.wanted.alpha:
            bound = search.ceiling * bounded.upper(share, search.wanted.alpha)
            near = Shortfall(search.ceiling * float(share.mean()), bound, p, None)
            return Tested(number, number + 1, near, "cost")
    return Tested(len(tried), len(tried), None, "cost")


def promise(search: Search, chosen: Candidate, tested: Tested) -> Promise:
    """What the policy that was chosen is accepted for."""
    wanted, alpha = search.wanted, search.wanted.alpha
    there, losses = search.there(chosen), search.losses(chosen)
    cost = float(there.cost.mean())
    cost_bound = search.ceiling * bounded.upper(there.cost / search.ceiling, alpha)
    bound = wanted.bound if wanted.bound and contract_test(wanted.bound).labels else DEFAULT
    drop = contract_test(bound).upper(losses, alpha) if search.labelled else None
    calibrated = Calibrated(
        rows=len(losses),
        labelled=search.labelled,
        drop=losses.mean if search.labelled else None,
        drop_bound=drop,
        different=losses.differing / len(losses),
        different_bound=contract_test(WITHOUT_LABELS).upper(losses, alpha),
        cost=cost,
        cost_bound=cost_bound,
        reduction=1 - cost / search.price if search.price else 0.0,
    )
    by = package_of_test(tested.test) if tested.test != "cost" else None
    return Promise(
        max_accuracy_drop=wanted.max_accuracy_drop,
        max_disagreement=wanted.max_disagreement,
        max_cost=wanted.max_cost,
        confidence=wanted.confidence,
        test=tested.test,
        calibration=calibrated,
        fitted_rows=len(search.inputs.validation),
        source=search.calibration.source,
        tried=tested.tried,
        accepted=tested.accepted,
        package="" if by is None else by.told,
    )


def cheapest(
    search: Search, candidates: Sequence[Candidate], say: Callable[[str], None]
) -> tuple[Candidate, Promise]:
    """The last policy of the path that keeps the contract, and what is promised of it.

    Raises:
        ContractRefusedError: not even the surest does.
        DataError: too few rows for these terms, or labels are missing.
    """
    tried = way(search, candidates)
    say(f"testing {len(tried)} of {len(candidates)} policies on {search.calibration.source}")
    tested = test_way(search, tried)
    if not tested.accepted:
        assert tested.shortfall is not None  # the first was refused
        raise ContractRefusedError(_refused(search, tried[0], tested))
    chosen = tried[tested.accepted - 1]
    return chosen, promise(search, chosen, tested)


def _refused(search: Search, nearest: Candidate, tested: Tested) -> str:
    assert tested.shortfall is not None
    wanted = search.wanted
    return told(
        Refusal(
            max_accuracy_drop=wanted.max_accuracy_drop,
            max_disagreement=wanted.max_disagreement,
            max_cost=wanted.max_cost,
            confidence=wanted.confidence,
            rows=len(search.calibration),
            by_labels=tested.test != "cost" and contract_test(tested.test).labels,
            nearest=nearest.told(),
            saved=1 - float(nearest.did.cost.mean()) / search.price if search.price else 0.0,
            shortfall=tested.shortfall,
        )
    )


def rows_to_label(search: Search, candidates: Sequence[Candidate]) -> Iterator[int]:
    """Positions of the calibration rows whose labels matter to the drop, in order.

    Those on which a policy of the path answers another class than the last tier; of all others the
    loss is 0, whatever is right.
    """
    labelled = Search(search.inputs, search.calibration, search.wanted, labelled=True)
    reference = search.reference()
    different = np.zeros(len(reference), bool)
    for one in way(labelled, candidates):
        different |= search.there(one).classes != reference
    yield from np.flatnonzero(different).tolist()
