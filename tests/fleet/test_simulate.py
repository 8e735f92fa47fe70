"""A whole fleet: without queues and failures it is the replay; and what is told of its parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import ConfigError
from dimec.base.progress import NoProgress
from dimec.evaluation.replay import replay
from dimec.fleet.accounts import cost_of, energy_of, right_of, summary
from dimec.fleet.deciding import Inputs, decide
from dimec.fleet.settings import FleetSettings, example
from dimec.fleet.simulate import Simulated, simulate
from dimec.fleet.worlds import open_scenarios, open_worlds, rows_of
from dimec.policies.drive import site_of, walked
from dimec.tiers.computing import ByOperations
from dimec.traces.collection import load_trace

TRACE = "mrpc/minilm-joint/0"
WIFI = {"shares": {"phone-wifi": 1.0}, "trip_spread": 0.0, "rate_spread": 0.0}


def settings_of(policy: str = "cascade", **fields: Any) -> FleetSettings:
    values: dict[str, Any] = {
        "mobiles": 20,
        "hours": 4.0,
        "populations": [{"name": "all", "trace": TRACE}],
        "policy": {"system": policy, "lam": 0.01},
        "links": {"trip_spread": 0.0, "rate_spread": 0.0},
    }
    return FleetSettings.model_validate({**values, **fields})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fleet")


def _alone(folder: Path, policy: str) -> Simulated:
    """A fleet whose inputs never meet: one text an hour and mobile, and a hundred servers."""
    tiers = {name: {"servers": 100} for name in ("edge", "cloud")}
    return simulate(settings_of(policy, texts={"per_hour": 1.0}, tiers=tiers), folder)


@pytest.mark.parametrize("policy", ["cascade", "max-softmax-tiers", "dimec-fixed-quantile"])
def test_without_queues_it_is_the_replay_in_a_scenario(folder: Path, policy: str) -> None:
    done = _alone(folder, policy)
    ground, rows = done.worlds[0].ground, done.stream.rows
    one = replay(done.worlds[0].policy, ground.trace, ground.deployment)
    priced = done.scenario.price_of(one.usage, ground.computing)
    latency = 1e3 * (done.fate.done - done.stream.times)
    np.testing.assert_allclose(latency, priced.milliseconds[rows], rtol=0, atol=1e-6)
    np.testing.assert_allclose(1e3 * energy_of(done), priced.millijoules[rows], atol=1e-5)
    np.testing.assert_allclose(cost_of(done), one.cost[rows], rtol=1e-12)
    assert right_of(done).tolist() == one.right[rows].tolist()


@pytest.mark.parametrize("policy", ["dimec-adaptive-quantile", "splitee", "ceebert"])
def test_what_learns_does_on_each_mobile_what_its_steps_do(folder: Path, policy: str) -> None:
    settings = settings_of(policy)
    scenarios, _ = open_scenarios(settings)
    assert scenarios[0] is not None
    worlds, _ = open_worlds(settings, scenarios[0], folder, NoProgress())
    world, rng = worlds[0], np.random.default_rng(0)
    assert world.policy.learns_online
    trace, deployment = world.ground.trace, world.ground.deployment
    inputs = Inputs(np.arange(90.0), rng.integers(0, 3, 90), rng.integers(0, len(trace), 90))
    courses = decide(world, inputs, 3, NoProgress())
    for mobile in range(3):
        steps = world.policy.steps(site_of(trace, deployment))
        for i in np.flatnonzero(inputs.mobiles == mobile):
            walk, _ = walked(steps, trace, deployment, int(inputs.rows[i]))
            visited = {visit.tier for visit in walk.visits}
            assert set(np.flatnonzero(courses.visits[i]).tolist()) == visited


def test_the_same_settings_give_the_same_result_and_another_seed_another(folder: Path) -> None:
    busy = settings_of(tiers={"edge": {"outages": {"hours_between": 1.0, "minutes": 20.0}}})
    first, again = (summary(simulate(busy, folder)) for _ in range(2))
    assert first == again
    other = summary(simulate(busy.model_copy(update={"seed": 1}), folder))
    assert other["inputs"] != first["inputs"]


def test_drift_moves_the_populations(folder: Path) -> None:
    drifting = settings_of(
        populations=[
            {"name": "short", "trace": TRACE, "rows": "short", "shares": [[0, 1], [4, 0]]},
            {"name": "long", "trace": TRACE, "rows": "long", "shares": [[0, 0], [4, 1]]},
        ],
        texts={"per_hour": 50.0},
    )
    done = simulate(drifting, folder)
    late = done.stream.times / (4 * 3600)
    # The share of the second grows from 0 to 1: its mean in the last quarter is 7/8.
    last = done.stream.population[late > 0.75].mean()
    assert abs(last - 7 / 8) < 4 * np.sqrt(7 / 64 / (late > 0.75).sum())
    trace = done.worlds[0].ground.trace
    assert set(done.stream.rows[done.stream.population == 0]) <= set(rows_of("short", trace))


def test_every_asking_is_accounted_for(folder: Path) -> None:
    tight = settings_of(
        "bert-cloud",
        mobiles=50,
        texts={"per_hour": 200.0, "rhythm": "bursty"},
        links={"shares": {"phone-4g": 0.9, "none": 0.1}, "timeout_seconds": 2.0},
        tiers={"cloud": {"queue": 2, "overhead_ms": 400.0}, "edge": {"overhead_ms": 5.0}},
    )
    done = simulate(tight, folder)
    told = summary(done)
    for one in told["tiers"].values():
        assert sum(one["outcomes"].values()) == one["askings"]
    assert told["tiers"]["cloud"]["outcomes"]["overloaded"] > 0
    assert told["tiers"]["cloud"]["utilisation"] > 0.5
    assert sum(told["answered_by"].values()) == pytest.approx(1)
    assert told["stood_in_for"] == pytest.approx(1 - told["answered_by"]["cloud"])
    assert (done.fate.done >= done.phone_done).all()
    assert told["tiers"]["cloud"]["queue_most"] <= 2


def test_money_is_that_of_servers_by_the_hour_and_of_data(folder: Path) -> None:
    tiers = {"edge": {"stations": 3, "servers": 2}, "cloud": {"servers": 5}}
    done = simulate(settings_of("bert-cloud", tiers=tiers, links=WIFI), folder)
    told, scenario = summary(done), done.scenario
    for name, machine, servers in (("edge", scenario.edge, 6), ("cloud", scenario.cloud, 5)):
        an_hour = machine.usd_per_second * machine.utilisation.value * 3600
        assert told["usd"][name] == pytest.approx(an_hour * servers * 4)
        assert told["tiers"][name]["servers_mean"] == pytest.approx(servers)
    usage = replay(done.worlds[0].policy, done.worlds[0].ground.trace, done.deployment).usage
    up, down = scenario.megabits(usage.sent.sum(axis=1), usage.bytes.sum(axis=1))
    data = scenario.link.usd_per_gigabyte.value * (up + down)[done.stream.rows].sum() / 8e3
    assert told["usd"]["data"] == pytest.approx(data)
    assert told["usd_per_1000"] == pytest.approx(1e3 * sum(told["usd"].values()) / told["inputs"])


def test_servers_over_time_are_those_that_scaling_made(folder: Path) -> None:
    scaling = {"least": 1, "most": 4, "period_seconds": 60.0, "start_seconds": 0.0}
    cloud = {"overhead_ms": 1500.0, "scaling": scaling}
    busy = settings_of("bert-cloud", mobiles=40, texts={"per_hour": 60.0}, tiers={"cloud": cloud})
    done = simulate(busy, folder)
    (station,) = done.stations[2]
    times, servers = station.log.times, station.log.servers
    assert max(servers) > 1
    hours = summary(done)["hours"]
    for hour, count in zip(hours["hour"], hours["servers_cloud"], strict=True):
        assert count == [n for t, n in zip(times, servers, strict=True) if t <= hour * 3600][-1]
    held = sum(
        (min(end, 4 * 3600) - begin) * count
        for begin, end, count in zip(times, [*times[1:], 4 * 3600], servers, strict=True)
    )
    assert summary(done)["usd"]["cloud"] == pytest.approx(
        held * done.scenario.cloud.usd_per_second * done.scenario.cloud.utilisation.value
    )


@pytest.mark.parametrize(
    ("policy", "other"),
    [
        ("cascade", "cola/minilm-mpnet-own/0"),  # a model each, and one model that is cut
        ("dimec-adaptive-quantile", "mrpc/minilm-joint/1"),
    ],
)
def test_a_fleet_of_several_worlds_is_each_of_them(folder: Path, policy: str, other: str) -> None:
    populations = [{"name": "one", "trace": TRACE}, {"name": "two", "trace": other}]
    done = simulate(settings_of(policy, populations=populations), folder)
    assert [world.name for world in done.worlds] == [TRACE, other]
    for number, world in enumerate(done.worlds):
        here, inputs = done.stream.of(number)
        alone = decide(world, inputs, 20, NoProgress())
        assert len(here) > 100
        assert done.courses.take(here).cost.tolist() == alone.cost.tolist()
        assert done.courses.take(here).right.tolist() == alone.right.tolist()
        assert (done.stream.population[here] == number).all()


def test_a_tier_that_batches_bears_more(folder: Path) -> None:
    cloud = {"overhead_ms": 1500.0, "queue": 20}
    fields: dict[str, Any] = {"mobiles": 40, "texts": {"per_hour": 90.0}}
    plain, batching = (
        summary(simulate(settings_of("bert-cloud", tiers={"cloud": one}, **fields), folder))
        for one in (cloud, {**cloud, "batch": 8, "row_share": 0.2})
    )
    for told in (plain, batching):
        one = told["tiers"]["cloud"]
        assert sum(one["outcomes"].values()) == one["askings"]
    assert plain["tiers"]["cloud"]["outcomes"]["overloaded"] > 0
    assert batching["tiers"]["cloud"]["outcomes"]["overloaded"] == 0
    assert 0.3 < batching["tiers"]["cloud"]["utilisation"] < 1


def test_what_no_layer_of_the_phone_sees_is_embedded_there(folder: Path) -> None:
    done = _alone(folder, "bert-cloud")
    computing = done.worlds[0].ground.computing
    assert isinstance(computing, ByOperations)
    assert computing.profile is not None
    rate = done.scenario.phone.flops_per_second.value
    embed = computing.profile.seconds("embed", computing.lengths, computing.shape, rate)
    np.testing.assert_allclose(done.courses.seconds[:, 0], embed[done.stream.rows], rtol=1e-12)
    assert embed.min() > 0


def test_links_that_were_measured(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "links.csv").write_text(
        "seconds,up_mbit,down_mbit,round_trip_ms\n0,10,10,1000\n60,0,0,0\n"
    )
    links = {**WIFI, "measured": str(tmp_path / "links.csv")}
    done = simulate(settings_of("bert-cloud", links=links), folder)
    asked = set(done.fate.askings.input.tolist())
    alone = [i for i in range(len(done.courses)) if i not in asked]
    assert 0.3 < len(alone) / len(done.courses) < 0.7
    away = done.fate.done - done.phone_done
    assert away[sorted(asked)].min() > 1.0  # the round trip alone is as long
    assert done.fate.detour[alone].all()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"tiers": {"fog": {}}}, "tiers.fog: there is no such tier behind the phone"),
        ({"policy": "random"}, "states what is expected of lots"),
        ({"links": {"shares": {"phone-6g": 1.0}}}, "no scenario is named 'phone-6g'"),
        (
            {"populations": [{"name": "x", "trace": TRACE, "rows": "class:no"}]},
            "no class is named 'no'",
        ),
    ],
)
def test_settings_that_do_not_fit_are_told(folder: Path, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        simulate(settings_of(**fields), folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mobiles = 0", "mobiles: input should be greater"),
        ("mobils = 3", "mobils: extra inputs"),
        ("mobiles = [", "is not valid TOML"),
        ('[[populations]]\nname = "x"', "expected trace = "),
        ('[[populations]]\nname = "x"\ntrace = "y"\nrows = "odd"', "rows must be all"),
    ],
)
def test_a_file_that_is_wrong_is_one_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        FleetSettings.parse(text.encode(), "fleet.toml")
    assert str(raised.value).startswith("fleet.toml")


def test_the_example_is_whole_and_names_real_traces() -> None:
    settings = FleetSettings.parse(example().encode(), "example")
    for one in settings.populations:
        assert len(load_trace(f"{one.trace}/test"))
