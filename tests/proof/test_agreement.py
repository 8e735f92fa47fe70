"""Offline and online agree: what the trace promises is what three processes over sockets do.

The same 1,000 texts in the order of the test trace, once through a mobile in this process and once
through ``dimec predict`` as a process, with edge and cloud as processes of their own; against
``dimec evaluate`` on the trace that torch recorded. For the paper's router, and for a policy that
looks at the answer of each tier and goes on where it is not sure.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dimec
from dimec.evaluation.ledger import Ledger
from dimec.policies.base import Outcome
from dimec.policies.kinds import StoredPolicy
from dimec.policies.literature.dimee import MaxSoftmaxTiersPolicy
from dimec.runs.run import Run
from dimec.serving.local import LocalTiers
from dimec.tiers.names import TIER_NAMES
from dimec.traces.trace import Trace
from support.tiny import dimec as command_line
from support.tiny import reviews

# A route may differ where two centres are so equally far that float32 decides. None does.
MARGIN = 1e-5


@dataclass(frozen=True, eq=False)
class Offline:
    """What the run's trace and ledger say, in the trace's order."""

    texts: list[str]
    truth: list[str]
    routes: Mapping[str, list[str]]
    labels: Mapping[str, list[str]]
    probabilities: Mapping[str, np.ndarray[Any, np.dtype[np.float32]]]
    ledger: Ledger


@pytest.fixture(scope="module")
def trace(proof_run: Path) -> Offline:
    """The test trace, replayed with the fixed and the adaptive router."""
    run = Run(proof_run)
    trace, router = run.trace("test"), run.router()
    rows = reviews(1500)
    numbers = [int(guid.removeprefix("row-")) for guid in trace.guids]
    columns = trace.columns(trace.tiers)
    routes, labels, probabilities = {}, {}, {}
    for policy, adaptive in (("dimec-fixed", False), ("dimec-adaptive", True)):
        tiers = router.copy(adaptive).route(trace.embeddings)
        at_tier = trace.probabilities[np.arange(len(trace)), np.array(columns)[tiers]]
        routes[policy] = [TIER_NAMES[tier] for tier in tiers]
        labels[policy] = [trace.label_names[code] for code in at_tier.argmax(axis=1)]
        probabilities[policy] = at_tier
    return Offline(
        texts=[rows[number][0] for number in numbers],
        truth=[trace.label_names[code] for code in trace.labels],
        routes=routes,
        labels=labels,
        probabilities=probabilities,
        ledger=Ledger.load(run.report_path),
    )


@pytest.fixture(scope="module")
def urls(proof_bundle: Path) -> Iterator[dict[str, str]]:
    """Edge and cloud as two processes."""
    with LocalTiers(proof_bundle) as tiers:
        yield tiers.urls


def in_this_process(
    bundle: Path, urls: Mapping[str, str], texts: Sequence[str], adaptive: bool | None, folder: Path
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Answers through the library, and the mobile's own ledger."""
    with dimec.Mobile.open(
        bundle,
        edge=urls["edge"],
        cloud=urls["cloud"],
        state=folder / "state.sqlite",
        adaptive=adaptive,
        timeout=30,
    ) as mobile:
        answers = [prediction.to_dict() for prediction in mobile.predict_many(texts)]
        return answers, asdict(mobile.ledger())


def as_a_process(
    bundle: Path, urls: Mapping[str, str], texts: Sequence[str], adaptive: bool | None, folder: Path
) -> tuple[list[dict[str, Any]], None]:
    """Answers through the command line."""
    source, target = folder / "texts.txt", folder / "answers.jsonl"
    source.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    words: list[str | Path] = ["predict", bundle / "mobile", "--input", source, "--output", target]
    words += ["--edge", urls["edge"], "--cloud", urls["cloud"], "--timeout", "30"]
    words += ["--state", folder / "state.sqlite", *(["--adaptive"] if adaptive else [])]
    said = command_line(*words)
    assert said.code == 0, said.err
    assert "Traceback" not in said.err
    return [json.loads(line) for line in target.read_text("utf-8").splitlines()], None


@pytest.mark.parametrize("policy", ["dimec-fixed", "dimec-adaptive"])
@pytest.mark.parametrize("way", [in_this_process, as_a_process], ids=["library", "process"])
def test_a_thousand_texts_go_where_the_trace_says_and_cost_what_the_ledger_says(
    trace: Offline,
    proof_bundle: Path,
    urls: dict[str, str],
    tmp_path: Path,
    policy: str,
    way: Any,
) -> None:
    adaptive = policy == "dimec-adaptive"
    answers, summary = way(proof_bundle, urls, trace.texts, adaptive, tmp_path)
    assert len(answers) == len(trace.texts) == 1000
    assert not [answer for answer in answers if answer["fallback_reason"]]
    assert len({answer["id"] for answer in answers}) == 1000

    # Routes: not one differs, and not one is so close that it could.
    assert min(answer["margin"] for answer in answers) > MARGIN
    assert [answer["route"] for answer in answers] == trace.routes[policy]
    assert [answer["answered_by"] for answer in answers] == trace.routes[policy]
    assert set(trace.routes[policy]) == set(TIER_NAMES)  # else little is proven

    # Answers: the same labels, and the same probabilities up to the arithmetic of two runtimes.
    assert [answer["label"] for answer in answers] == trace.labels[policy]
    online = np.array([list(answer["probabilities"].values()) for answer in answers])
    assert np.abs(online - trace.probabilities[policy]).max() < 1e-4

    # The ledger, from the answers themselves.
    row = trace.ledger.row(policy)
    right = [answer["label"] == truth for answer, truth in zip(answers, trace.truth, strict=True)]
    assert np.mean(right) == row.accuracy
    cost = np.mean([answer["cost"] for answer in answers])
    assert cost == pytest.approx(row.cost, abs=1e-9)
    everything_in_the_cloud = trace.ledger.row("all-cloud").cost
    assert 1 - cost / everything_in_the_cloud == pytest.approx(row.reduction, abs=1e-9)
    served = Counter(answer["answered_by"] for answer in answers)
    for tier in TIER_NAMES:
        assert served[tier] / 1000 == pytest.approx(getattr(row, f"share_{tier}"), abs=1e-12)

    # And from the ledger that the mobile itself draws up.
    if summary is not None:
        assert summary["answers"] == 1000
        assert summary["mean_cost"] == pytest.approx(row.cost, abs=1e-9)
        assert summary["reduction"] == pytest.approx(row.reduction, abs=1e-9)
        assert summary["routes"] == summary["answered"] == dict(served)


# Between the confidences of the three exits, so that each tier answers a good part.
THRESHOLD = 0.7


@dataclass(frozen=True, eq=False)
class Escalation:
    """A policy that looks again, its bundle, and what its replay says."""

    bundle: Path
    outcome: Outcome
    trace: Trace

    def paths(self) -> list[list[dict[str, Any]]]:
        """Of each sample, as predictions tell it: every tier runs the text from its first layer."""
        legs = self.outcome.legs
        return [
            [
                {
                    "tier": TIER_NAMES[leg.tier],
                    "start": int(leg.start[i]),
                    "stop": int(leg.stop[i]),
                    "payload": "text" if leg.tier else None,
                }
                for leg in legs
                if leg.taken[i]
            ]
            for i in range(len(self.trace))
        ]


@pytest.fixture(scope="module")
def escalation(proof_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Escalation:
    """The run with early exit over its tiers in place of the router: the servers are the same."""
    folder = tmp_path_factory.mktemp("escalation")
    run = Run(shutil.copytree(proof_run, folder / "run"))
    trace, policy = run.trace("test"), MaxSoftmaxTiersPolicy(THRESHOLD)
    StoredPolicy(policy, run.stored_policy().fitted_on).save(run.path)
    run.export(folder / "bundle")
    return Escalation(folder / "bundle", policy.replay(trace, run.deployment()), trace)


@pytest.mark.parametrize("way", [in_this_process, as_a_process], ids=["library", "process"])
def test_a_thousand_texts_go_on_where_an_exit_is_not_sure_as_in_the_replay(
    trace: Offline, escalation: Escalation, urls: dict[str, str], tmp_path: Path, way: Any
) -> None:
    answers, summary = way(escalation.bundle, urls, trace.texts, None, tmp_path)
    assert len(answers) == len(trace.texts) == 1000
    assert not [answer for answer in answers if answer["fallback_reason"]]

    # Not one confidence is so near the threshold that the arithmetic of a runtime decides.
    outcome, recorded = escalation.outcome, escalation.trace
    assert np.abs(recorded.confidences - THRESHOLD).min() > MARGIN

    # Paths, answers and costs are those of the replay, the costs to the last digit.
    assert [list(answer["path"]) for answer in answers] == escalation.paths()
    columns = outcome.answers.argmax(axis=1)
    assert [answer["answered_by"] for answer in answers] == [
        TIER_NAMES[tier] for tier in outcome.tiers.argmax(axis=1)
    ]
    assert {answer["answered_by"] for answer in answers} == set(TIER_NAMES)
    expected = recorded.probabilities[np.arange(1000), columns]
    online = np.array([list(answer["probabilities"].values()) for answer in answers])
    assert np.abs(online - expected).max() < 1e-4
    labels = [recorded.label_names[code] for code in expected.argmax(axis=1)]
    assert [answer["label"] for answer in answers] == labels
    assert [answer["cost"] for answer in answers] == outcome.cost.tolist()
    assert {answer["route"] for answer in answers} == {"mobile"}
    assert {str(answer["margin"]) for answer in answers} == {"None"}
    if summary is not None:
        assert summary["routes"] == {"mobile": 1000, "edge": 0, "cloud": 0}
        assert summary["answered"] == dict(Counter(answer["answered_by"] for answer in answers))
        assert summary["mean_cost"] == pytest.approx(outcome.cost.mean(), rel=1e-12)
