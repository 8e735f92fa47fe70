"""Twenty thousand inputs through dying servers and a rotten network, and not one answer is wrong.

Three real processes, a chaos proxy in front of each server, eight workers. Whatever happens, every
input is answered once, and the answer is what the tier that gave it says about that text when it is
asked directly, without a network.
"""

from __future__ import annotations

import asyncio
import functools
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import dimec
from chaos_driver import ChaosProxy
from dimec.bundle.folders import file_records
from dimec.bundle.manifest import MANIFEST
from dimec.client.breaker import CircuitBreaker
from dimec.client.endpoint import REASONS
from dimec.tiers.names import TIER_NAMES
from support.offline import CLOSE, Offline, Replay, unseen_texts
from support.processes import Server
from support.state_file import check_state

INPUTS = 20_000
WORKERS = 8
CALM = dict.fromkeys(("corrupt", "truncate", "drop", "stall", "delay", "jitter", "blackhole"), 0)
ROTTEN = {"corrupt": 0.08, "truncate": 0.03, "drop": 0.03, "delay": 1, "jitter": 1}


@dataclass
class World:
    """The servers, the proxies in front of them, and what came."""

    edge: Server
    cloud: Server
    impostor: Server
    near: ChaosProxy
    far: ChaosProxy
    log: list[str] = field(default_factory=list)

    def both(self, **settings: object) -> None:
        """Change both proxies."""
        self.near.change(**settings)
        self.far.change(**settings)

    def redirect(self, server: Server) -> None:
        """Another server stands where the cloud was."""
        self.far.change(to=f"127.0.0.1:{server.port}")
        self.far.cut()

    def weather(self) -> dict[int, tuple[str, Callable[[], object]]]:
        """What happens once so many inputs are answered."""
        return {
            500: ("both links corrupt, truncate and drop", lambda: self.both(**ROTTEN)),
            5000: ("calm", lambda: self.both(**CALM)),
            5500: ("the edge is killed", self.edge.kill),
            7500: ("the edge is back on its port", self.edge.start),
            8500: ("the cloud takes connections and never answers", self.cloud.freeze),
            9500: ("the cloud goes on", self.cloud.thaw),
            10500: (
                "another model stands where the cloud was",
                lambda: self.redirect(self.impostor),
            ),
            11500: ("the cloud is back", lambda: self.redirect(self.cloud)),
            12500: ("nobody listens at the edge's address", self.refuse),
            13500: ("somebody does again", lambda: self.near.change(listening=True)),
            14000: ("the link to the cloud swallows everything", self.swallow),
            15000: ("calm", lambda: self.both(**CALM)),
            15500: ("answers come late by turns", lambda: self.both(stall=0.02, stall_ms=400)),
            17000: ("all at once", lambda: self.both(**ROTTEN, stall=0.01)),
            18000: ("the edge is killed amid all that", self.edge.kill),
            18500: ("and is back", self.edge.start),
            19500: ("calm", lambda: self.both(**CALM)),
        }

    def refuse(self) -> None:
        self.near.change(listening=False)
        self.near.cut()

    def swallow(self) -> None:
        self.far.change(blackhole=1)
        self.far.cut()


@pytest.fixture
def impostor_bundle(proof_bundle: Path, tmp_path: Path) -> Path:
    """A cloud of another version, which answers as the edge does."""
    folder = Path(shutil.copytree(proof_bundle / "cloud", tmp_path / "impostor"))
    shutil.copy(proof_bundle / "edge" / "model.onnx", folder / "model.onnx")
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["tiers"][-1]["version"] = str(int(manifest["tiers"][-1]["version"]) + 1)
    manifest["files"] = {name: r.model_dump() for name, r in file_records(folder).items()}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breakers that leave a tier alone for half a second only: ten times as many probes."""
    breaker = functools.partial(CircuitBreaker, cooldown=0.5)
    monkeypatch.setattr("dimec.client.calling.CircuitBreaker", breaker)


@pytest.fixture
def world(proof_bundle: Path, impostor_bundle: Path, tmp_path: Path) -> Iterator[World]:
    with (
        Server(proof_bundle / "edge", tmp_path / "edge.log") as edge,
        Server(proof_bundle / "cloud", tmp_path / "cloud.log") as cloud,
        Server(impostor_bundle, tmp_path / "impostor.log") as impostor,
        ChaosProxy(edge.url, seed=1) as near,
        ChaosProxy(cloud.url, seed=2) as far,
    ):
        yield World(edge, cloud, impostor, near, far)


def check_answer(
    offline: Offline, truth: Replay, row: int, route: str, prediction: dimec.Prediction
) -> None:
    """The route is the router's, and the answer is the serving tier's own."""
    probabilities = [prediction.probabilities[label] for label in offline.labels]
    assert prediction.id == f"input-{row}"
    assert prediction.route == route
    assert prediction.answered_by in TIER_NAMES
    assert truth.disagreement(prediction.answered_by, row, probabilities) < CLOSE, prediction
    assert prediction.probability == max(probabilities)
    assert prediction.label == offline.labels[probabilities.index(max(probabilities))]
    own = offline.prices[prediction.answered_by]
    if prediction.fallback_reason is None:
        assert prediction.answered_by == route
        assert prediction.cost == pytest.approx(own)
        return
    # Each tier tried in vain names a known reason, and was paid for where the input was sent to it.
    assert prediction.answered_by != route
    tried = [part.partition(": ") for part in prediction.fallback_reason.split("; ")]
    assert tried[0][0] == route
    assert {reason for _, _, reason in tried} <= set(REASONS)
    offload = {"edge": 2.5, "cloud": 3.0}
    paid = {own}
    for tier, _, _ in tried:
        paid |= {price + offload[tier] for price in paid}
    assert min(abs(prediction.cost - price) for price in paid) < 1e-9


@pytest.mark.usefixtures("impatient")
def test_twenty_thousand_inputs(
    proof_bundle: Path, offline: Offline, world: World, tmp_path: Path
) -> None:
    texts = unseen_texts(INPUTS)
    truth = offline.replay(texts)
    routes = truth.routes(offline.router, adaptive=True)
    state = tmp_path / "state.sqlite"
    weather = world.weather()
    reasons: Counter[str] = Counter()
    served: Counter[str] = Counter()
    start = time.monotonic()
    with dimec.Mobile.open(
        proof_bundle,
        edge=world.near.url,
        cloud=world.far.url,
        state=state,
        adaptive=True,
        timeout=0.3,
    ) as mobile:
        ids = [f"input-{row}" for row in range(INPUTS)]
        answers = 0
        for row, prediction in enumerate(mobile.predict_many(texts, ids=ids, workers=WORKERS)):
            if row in weather:
                name, happen = weather[row]
                happen()
                print(f"{row:6} {time.monotonic() - start:5.1f} s  {name}")
            check_answer(offline, truth, row, routes[row], prediction)
            assert prediction.recorded
            served[prediction.answered_by] += 1
            for part in (prediction.fallback_reason or "").split("; "):
                reasons[part] += 1
            answers += 1
        summary = mobile.ledger()
    seconds = time.monotonic() - start
    near, far = world.near.stats(), world.far.stats()
    print(f"{seconds:.1f} s, served by {dict(served)}\n{reasons}\nnear {near}\nfar {far}")
    assert answers == INPUTS

    # The faults did happen, and each showed.
    assert near["corrupted"] > 20
    assert far["corrupted"] > 20
    for fault in ("truncated", "dropped", "stalled"):
        assert near[fault] + far[fault] > 20, fault
    assert far["blackholed"] > 0
    assert reasons["edge: unreachable"] > 0
    assert reasons["cloud: timeout"] > 0
    assert reasons["cloud: wrong version"] > 0
    assert reasons["cloud: circuit open"] > 0
    # And most answers came from where they were meant to.
    assert reasons[""] > INPUTS / 4

    # What was kept is what was answered.
    embeddings = {f"input-{row}": truth.embeddings[row] for row in range(INPUTS)}
    recorded = check_state(state, offline.router, embeddings, adaptive=True)
    assert len(recorded) == INPUTS
    assert Counter(answer["answered_by"] for answer in recorded) == served
    assert summary.answers == INPUTS
    assert summary.answered == dict(served)


@pytest.mark.usefixtures("impatient")
def test_the_asynchronous_twin(
    proof_bundle: Path, offline: Offline, world: World, tmp_path: Path
) -> None:
    texts = unseen_texts(2000)
    truth = offline.replay(texts)
    routes = truth.routes(offline.router, adaptive=True)
    state = tmp_path / "state.sqlite"
    world.both(**ROTTEN)
    weather: dict[int, Callable[[], object]] = {
        400: world.edge.kill,
        800: world.edge.start,
        1000: world.swallow,
        1400: lambda: world.far.change(blackhole=0),
    }

    async def answer() -> list[dimec.Prediction]:
        answers: list[dimec.Prediction] = []
        async with dimec.AsyncMobile.open(
            proof_bundle,
            edge=world.near.url,
            cloud=world.far.url,
            state=state,
            adaptive=True,
            timeout=0.3,
        ) as mobile:
            ids = [f"input-{row}" for row in range(len(texts))]
            async for prediction in mobile.predict_many(texts, ids=ids):
                if len(answers) in weather:
                    weather[len(answers)]()
                answers.append(prediction)
        return answers

    answers = asyncio.run(answer())
    assert len(answers) == len(texts)
    for row, prediction in enumerate(answers):
        check_answer(offline, truth, row, routes[row], prediction)
    assert {prediction.answered_by for prediction in answers} == set(TIER_NAMES)
    embeddings = {f"input-{row}": truth.embeddings[row] for row in range(len(texts))}
    assert len(check_state(state, offline.router, embeddings, adaptive=True)) == len(texts)
