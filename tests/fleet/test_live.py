"""The simulation against three real processes: this one plays the phones, edge and cloud serve.

Texts come from the simulation's stream, in its order, to mobiles with a state each. All that does
not depend on a machine's speed is the same: who answers, what it says, what is visited and paid,
and what becomes of texts once the edge has been stopped.
"""

from __future__ import annotations

import re
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from dimec.base.progress import NoProgress
from dimec.bundle.folders import TierBundle, file_records, write_manifest
from dimec.fleet.accounts import cost_of, right_of
from dimec.fleet.courses import Ground
from dimec.fleet.network import Fate, run
from dimec.fleet.settings import FleetSettings
from dimec.fleet.simulate import Simulated, simulate_worlds
from dimec.fleet.stations import SERVED, Station
from dimec.fleet.worlds import Kind, World
from dimec.mobile import Mobile, Prediction
from dimec.policies.base import Policy
from dimec.policies.kinds import StoredPolicy
from dimec.policies.literature.dimee import MaxSoftmaxTiersPolicy
from dimec.policies.routed import RouterPolicy
from dimec.serving.local import LocalTiers
from dimec.tiers.computing import ByOperations
from dimec.tiers.latency import ModelShape
from dimec.tiers.scenario_file import Scenarios
from dimec.traces.trace import Trace
from support.builders import make_trace
from support.offline import Offline
from support.stored import stored_router
from support.tiers import balanced
from support.tiny import reviews

MOBILES, TEXTS = 3, 80
NEVER = float("inf")


@dataclass(frozen=True)
class Scene:
    """A bundle whose tiers all get traffic, its servers, and the trace of some texts by it."""

    bundle: Path
    servers: LocalTiers
    texts: list[str]
    trace: Trace


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Scene]:
    bundle = balanced(tiny_bundle, tmp_path_factory.mktemp("live") / "bundle")
    rows = reviews(TEXTS, seed=11)
    texts = [text for text, _ in rows]
    said = Offline(bundle).replay(texts)
    manifest = TierBundle.open(bundle / "mobile").manifest
    trace = make_trace(
        TEXTS,
        embeddings=said.embeddings,
        probabilities=np.stack(list(said.answers.values()), axis=1),
        labels=np.array([manifest.labels.index(label) for _, label in rows]),
        label_names=manifest.labels,
        exits=manifest.deployment.exits,
        tiers=manifest.deployment.exits,
    )
    with LocalTiers(bundle) as servers:
        yield Scene(bundle, servers, texts, trace)


def _simulated(scene: Scene, policy: Policy) -> Simulated:
    deployment = TierBundle.open(scene.bundle / "mobile").manifest.deployment
    shape = ModelShape.of_width(scene.trace.embeddings.shape[1])
    ground = Ground(
        scene.trace, deployment, ByOperations(scene.trace.lengths, shape), [1e9, 1e10, 1e11]
    )
    settings = FleetSettings.model_validate(
        {"mobiles": MOBILES, "hours": 4.0, "populations": [{"name": "all", "trace": "these"}]}
    )
    kind = Kind("all", 0, np.arange(TEXTS))
    scenarios = (Scenarios.load().scenario("phone-wifi"),)
    world = World("these", ground, policy)
    return simulate_worlds(settings, [world], [kind], scenarios, [1.0], NoProgress())


def _with_outage(done: Simulated, half: int) -> Simulated:
    """The same stream with an edge that is gone from one text on."""
    moment = float(done.stream.times[half])
    assert done.fate.done[:half].max() < moment  # none is under way
    stations = [[], [Station(1, outages=[(moment, NEVER)])], [Station(1)]]
    fate: Fate = run(done.demand, stations)
    return replace(done, fate=fate, stations=stations)


def _with_policy(scene: Scene, policy: Policy, folder: Path) -> Path:
    """The mobile's folder, with another policy."""
    path = Path(shutil.copytree(scene.bundle / "mobile", folder / "mobile"))
    manifest = TierBundle.open(path).manifest
    StoredPolicy(policy, {"model": manifest.provenance["model"]}).save(path)
    write_manifest(path, manifest.model_copy(update={"files": file_records(path)}))
    return path


def _answered(url: str) -> int:
    """Inferences that a server has answered, by its own count."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=20) as response:
        told = response.read().decode()
    found = re.search(r'^dimec_infer_seconds_count\{outcome="ok"\} (\S+)$', told, re.MULTILINE)
    return 0 if found is None else int(float(found.group(1)))


@dataclass
class Played:
    """Predictions in the stream's order, and what each server counted, the edge until its stop."""

    predictions: list[Prediction]
    counted: dict[str, int]


def _play(scene: Scene, mobile: Path, done: Simulated, half: int, folder: Path) -> Played:
    urls, predictions, stream = scene.servers.urls, [], done.stream
    before = {name: _answered(url) for name, url in urls.items()}
    with ExitStack() as stack:
        phones = [
            stack.enter_context(
                Mobile.open(mobile, state=folder / f"{m}.sqlite", timeout=30.0, tiers=urls)
            )
            for m in range(MOBILES)
        ]
        for i, (who, row) in enumerate(zip(stream.mobiles, stream.rows, strict=True)):
            if i == half:
                edge = _answered(urls["edge"])
                scene.servers.halt("edge")
            predictions.append(phones[who].predict(scene.texts[row]))
    counted = {"edge": edge - before["edge"], "cloud": _answered(urls["cloud"]) - before["cloud"]}
    return Played(predictions, counted)


def _policy(scene: Scene, name: str) -> Policy:
    if name == "router":
        router = stored_router(scene.bundle / "mobile")
        return RouterPolicy("dimec", router.copy(adaptive=True))
    threshold = float(np.quantile(scene.trace.confidences[:, :2], 0.5))
    return MaxSoftmaxTiersPolicy(threshold)


@pytest.mark.parametrize("name", ["router", "escalating"])
def test_it_is_what_three_processes_do(scene: Scene, name: str, tmp_path: Path) -> None:
    policy = _policy(scene, name)
    whole = _simulated(scene, policy)
    half = len(whole.stream.times) // 2
    done = _with_outage(whole, half)
    played = _play(scene, _with_policy(scene, policy, tmp_path), done, half, tmp_path)
    scene.servers.restart("edge")
    names, labels = done.deployment.names, scene.trace.label_names
    gold = scene.trace.labels[done.stream.rows]
    right, cost, asked = right_of(done), cost_of(done), done.fate.askings
    assert asked.outcome[asked.outcome != SERVED].size > 5
    assert len(set(done.fate.tier.tolist())) == 3
    for i, one in enumerate(played.predictions):
        assert one.answered_by == names[done.fate.tier[i]], i
        assert (one.label == labels[gold[i]]) == right[i], i
        assert one.cost == pytest.approx(cost[i], rel=1e-9), i
        here = asked.input == i
        served = {names[k] for k in asked.tier[here & (asked.outcome == SERVED)]}
        assert {stay.tier for stay in one.path} - {"mobile"} == served, i
        failed = {names[k] for k in asked.tier[here & (asked.outcome != SERVED)]}
        assert (one.fallback_reason is not None) == bool(failed), i
        assert set(one.tried) == failed, i
    for k, tier in enumerate(names[1:], start=1):
        served_there = (asked.tier == k) & (asked.outcome == SERVED)
        assert played.counted[tier] == served_there.sum()
