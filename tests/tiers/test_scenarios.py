"""Milliseconds, millijoules and money: worked by hand, in loops, and by what must hold."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError, DataError
from dimec.evaluation.replay import replay
from dimec.policies.literature.bert import BertPolicy
from dimec.tiers.scenario_file import Scenarios
from dimec.tiers.scenarios import (
    ModelShape,
    Scenario,
    ScenarioCost,
    scenario_table,
    summarise,
)
from dimec.tiers.usage import Usage
from support.builders import deployment_of, make_trace
from support.scenario_files import contents, plain, scenarios, toml
from support.usages import PARTS, named, usage_from, usages

# F(10) = 2·10·(4·100² + 2·100·300) + 4·10²·100 = 2.04 M operations a layer
SHAPE = ModelShape(100, 300)
TEN = np.array([10])


def one(**parts: float) -> Usage:
    return usage_from(1, **parts)


def price(usage: Usage, scenario: Scenario | None = None) -> tuple[float, float, float]:
    """Milliseconds, millijoules and USD of the one answer to a text of ten tokens."""
    cost = (scenario or plain()).price(usage, TEN, SHAPE)
    return float(cost.milliseconds[0]), float(cost.millijoules[0]), float(cost.money[0])


def test_layers_on_the_phone_cost_its_time_and_power_and_no_money() -> None:
    # 3 layers of 2.04 Mop at 1 Mop a millisecond, at 2 W
    assert price(one(mobile_layers=3)) == pytest.approx((6.12, 12.24, 0))


def test_layers_in_the_cloud_cost_its_time_and_price_while_the_radio_waits() -> None:
    # 50 layers at 100 Mop a millisecond: 1.02 ms, at 1 W and 0.004 USD a second
    assert price(one(cloud_layers=50)) == pytest.approx((1.02, 1.02, 1.02e-3 * 0.004))


def test_layers_at_the_edge_cost_its_time_and_its_share_of_price_and_power() -> None:
    # 50 layers at 10 Mop a millisecond: 10.2 ms, at 1 W and 3 USD an hour
    assert price(one(edge_layers=50)) == pytest.approx((10.2, 10.2, 10.2e-3 * 3 / 3600))


def test_a_request_to_the_edge_takes_the_round_trip_its_headers_and_the_data() -> None:
    # 50 ms, 1000 bytes at 1 a µs, 500 at 2 a µs; 1 W, 0.008 Mbit at 500 mJ, 0.004 at 250 mJ
    expected = (51.25, 51.25 + 4 + 1, 1500 * 2e-9)
    assert price(one(edge_offloads=1)) == pytest.approx(expected)


def test_a_request_to_the_cloud_travels_further() -> None:
    expected = (81.25, 81.25 + 5, 1500 * 2e-9)
    assert price(one(cloud_offloads=1)) == pytest.approx(expected)


@pytest.mark.parametrize("where", ["edge", "cloud"])
def test_payload_takes_time_radio_and_data(where: str) -> None:
    # 4000 bytes at 1 a µs, 1 W, 0.032 Mbit at 500 mJ
    assert price(usage_from(1, **{f"{where}_bytes": 4000.0})) == pytest.approx((4, 4 + 16, 8e-6))


def test_a_radio_that_sleeps_is_woken_at_a_price() -> None:
    usage = one(edge_offloads=0.5, cloud_offloads=0.25)
    awake, alone = price(usage), price(usage, plain(lone_share=0.5))
    assert alone == pytest.approx((awake[0], awake[1] + 0.75 * 0.5 * 600, awake[2]))


def test_gamma_is_no_part_of_it() -> None:
    assert price(one(cloud_charges=1)) == (0, 0, 0)


def by_hand(usage: Usage, lengths: list[int], shape: ModelShape, s: Scenario) -> list[list[float]]:
    """The formulas of the module, for one sample after the other."""
    rows = []
    w, i, link, head = shape.width, shape.intermediate, s.link, s.overhead
    for k, t in enumerate(lengths):
        u = {name: float(values[k]) for name, values in named(usage).items()}
        work = 2 * t * (4 * w**2 + 2 * w * i) + 4 * t**2 * w
        phone = u["mobile_layers"] * work / s.phone.flops_per_second.value
        remote = dollars = way = joules = 0.0
        for place, machine, extra in (
            ("edge", s.edge, 0.0),
            ("cloud", s.cloud, s.cloud.extra_round_trip_ms.value),
        ):
            busy = u[f"{place}_layers"] * work / machine.flops_per_second.value
            sent = u[f"{place}_offloads"]
            up = (u[f"{place}_bytes"] + head.up_bytes.value * sent) * 8 / 1e6
            down = head.down_bytes.value * sent * 8 / 1e6
            remote += busy
            way += sent * (link.round_trip_ms.value + extra) / 1000
            way += up / link.up_mbit_per_second.value + down / link.down_mbit_per_second.value
            dollars += busy * machine.usd_per_second
            dollars += link.usd_per_gigabyte.value * (up + down) / 8 / 1000
            joules += (link.send_slope.value * up + link.receive_slope.value * down) / 1000
            joules += s.lone_share * sent * link.wake_millijoules.value / 1000
        joules += s.phone.watts.value * phone + link.base_milliwatts.value / 1000 * (way + remote)
        rows.append([1000 * (phone + way + remote), 1000 * joules, dollars])
    return rows


some_usages = usages(st.floats(0, 1e4), 4)
lengths = st.lists(st.integers(1, 512), min_size=4, max_size=4)


@given(some_usages, lengths, scenarios(), st.integers(1, 1024), st.integers(1, 4096))
def test_prices_agree_with_a_loop_over_the_samples(
    usage: Usage, tokens: list[int], scenario: Scenario, width: int, intermediate: int
) -> None:
    shape = ModelShape(width, intermediate)
    cost = scenario.price(usage, np.array(tokens), shape)
    got = np.stack([cost.milliseconds, cost.millijoules, cost.money], axis=1)
    np.testing.assert_allclose(got, by_hand(usage, tokens, shape, scenario), rtol=1e-9)


@given(some_usages, some_usages, lengths, scenarios(), st.floats(0, 1))
def test_prices_are_linear_in_the_usage(
    a: Usage, b: Usage, tokens: list[int], scenario: Scenario, share: float
) -> None:
    mixed = Usage(
        **{
            part.name: share * getattr(a, part.name) + (1 - share) * getattr(b, part.name)
            for part in fields(Usage)
        }
    )
    parts = [scenario.price(usage, np.array(tokens), SHAPE) for usage in (a, b, mixed)]
    for name in ("milliseconds", "millijoules", "money"):
        one_, other, both = (getattr(part, name) for part in parts)
        np.testing.assert_allclose(both, share * one_ + (1 - share) * other, rtol=1e-9, atol=1e-12)


@given(
    some_usages,
    lengths,
    scenarios(),
    st.sampled_from(list(PARTS)),
    st.floats(0, 1e5),
)
def test_to_use_more_of_anything_is_never_cheaper(
    usage: Usage, tokens: list[int], scenario: Scenario, part: str, more: float
) -> None:
    parts = named(usage)
    larger = usage_from(4, **{**parts, part: parts[part] + more})
    before = scenario.price(usage, np.array(tokens), SHAPE)
    after = scenario.price(larger, np.array(tokens), SHAPE)
    for name in ("milliseconds", "millijoules", "money"):
        assert (getattr(after, name) >= getattr(before, name)).all()


def test_lengths_must_be_those_of_the_answers() -> None:
    with pytest.raises(DataError, match=r"lengths of the shape \(1,\), got \(2,\)"):
        plain().price(one(), np.array([1, 2]), SHAPE)


# --- the file ---------------------------------------------------------------------------------


def test_an_edited_file_changes_the_result(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(toml(links__line__round_trip_ms=500.0), "utf-8")
    mine = Scenarios.load(path).scenario("plain")
    assert price(one(edge_offloads=1), mine)[0] == pytest.approx(501.25)


def test_an_edited_copy_of_the_packaged_file_changes_the_result(tmp_path: Path) -> None:
    text = files("dimec.tiers").joinpath("scenarios.toml").read_text("utf-8")
    was = "[links.4g.round_trip_ms]\nvalue = 70\n"
    assert was in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(was, was.replace("70", "170")), "utf-8")
    edited, packaged = Scenarios.load(path), Scenarios.load()
    usage = one(cloud_offloads=1)
    for name in packaged.names:
        later = price(usage, edited.scenario(name))[0] - price(usage, packaged.scenario(name))[0]
        assert later == pytest.approx(100 if "4g" in name else 0)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("links.line.round_trip_ms.value", -1.0, r"round_trip_ms.value: .*greater.*\(got -1.0\)"),
        ("links.line.up_mbit_per_second.value", 0, "up_mbit_per_second.value: .*greater than 0"),
        ("links.line.send_slope.source", "", "send_slope.source: "),
        ("clouds.server.utilisation.value", 1.5, "utilisation.value: .*less than or equal to 1"),
        ("phones.phone.watts.value", float("nan"), "watts.value: .*finite"),
        ("phones.phone.watts.value", "two", r"watts.value: .*number.*\(got 'two'\)"),
        ("phones.phone.watt", {"value": 1, "source": "x"}, "phones.phone.watt: extra"),
        ("scenarios.plain.lone_share", 2, "lone_share: .*less than or equal to 1"),
        ("scenarios.plain.link", "6g", r"scenarios.plain.link: there is no \[links.6g\].* line"),
        ("scenarios.plain.cloud", "x", r"scenarios.plain.cloud: there is no \[clouds.x\].* server"),
        ("scenarios", {}, "scenarios: "),
    ],
)
def test_a_wrong_setting_is_named(key: str, value: object, words: str, tmp_path: Path) -> None:
    values = contents()
    *way, last = key.split(".")
    place = values
    for part in way:
        place = place[part]
    place[last] = value
    path = tmp_path / "mine.toml"
    path.write_text(tomli_w.dumps(values), "utf-8")
    with pytest.raises(ConfigError, match=words) as caught:
        Scenarios.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_figure_is_named(tmp_path: Path) -> None:
    values = contents()
    del values["links"]["line"]["base_milliwatts"]
    path = tmp_path / "mine.toml"
    path.write_text(tomli_w.dumps(values), "utf-8")
    with pytest.raises(ConfigError, match=r"links.line.base_milliwatts: field required$"):
        Scenarios.load(path)


def test_a_file_that_is_not_toml_or_not_there_is_said(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    with pytest.raises(ConfigError, match=r"cannot read the scenarios .*mine\.toml"):
        Scenarios.load(path)
    with pytest.raises(ConfigError, match=r"scenarios /dev/zero: it is no regular file"):
        Scenarios.load(Path("/dev/zero"))
    path.write_text("[links", "utf-8")
    with pytest.raises(ConfigError, match=r"mine\.toml is not valid TOML"):
        Scenarios.load(path)
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"cannot read the scenarios"):
        Scenarios.load(path)
    for value in ("[" * 5000, "9" * 5000):
        path.write_text(f"links = {value}", "utf-8")
        with pytest.raises(ConfigError, match=r"mine\.toml is not valid TOML") as caught:
            Scenarios.load(path)
        assert "\n" not in str(caught.value)


def test_an_unknown_scenario_is_met_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match="'phone-6g'; there are phone-3g, phone-4g"):
        Scenarios.load().scenario("phone-6g")


def test_the_packaged_rates_follow_from_what_their_sources_measured() -> None:
    base, large = ModelShape.of_width(768), ModelShape.of_width(1024)
    everything = Scenarios.load()
    rates = [
        (everything.phones["phone"].flops_per_second, 12 * base.layer_flops(128) / 342e-3),
        (everything.edges["xavier-nx"].flops_per_second, 24 * large.layer_flops(384) / 49.76e-3),
        (everything.clouds["t4"].flops_per_second, 12 * base.layer_flops(128) / 1.95e-3),
    ]
    for rate, expected in rates:
        assert rate.value == pytest.approx(float(expected), rel=1e-3)
    lte, nr = everything.links["4g"], everything.links["5g"]
    assert nr.base_milliwatts.value == pytest.approx(2.5 * lte.base_milliwatts.value)
    assert nr.wake_millijoules.value == pytest.approx(2.5 * lte.wake_millijoules.value)
    assert nr.receive_slope.value == pytest.approx(nr.send_slope.value / 2.2)


def test_the_packaged_links_are_those_of_the_benchmarks() -> None:
    path = Path(__file__).parents[2] / "benchmarks" / "links.toml"
    known = tomllib.loads(path.read_text("utf-8"))
    everything = Scenarios.load()
    names = {"3g": "3G", "4g": "4G", "5g": "5G", "wifi": "Wi-Fi"}
    assert everything.links.keys() == names.keys()
    for name, link in everything.links.items():
        (entry,) = [one_ for one_ in known["link"] if one_["name"] == names[name]]
        assert link.round_trip_ms.value == entry["rtt"]
        assert 1000 * link.up_mbit_per_second.value == pytest.approx(entry["up"])
        assert 1000 * link.down_mbit_per_second.value == pytest.approx(entry["down"])
    assert everything.clouds["t4"].extra_round_trip_ms.value == known["cloud"]["rtt"]


# --- the ledger -------------------------------------------------------------------------------


def test_a_summary_is_the_means_and_money_for_a_thousand() -> None:
    cost = ScenarioCost(np.array([1.0, 3.0]), np.array([10.0, 0.0]), np.array([1e-6, 5e-6]))
    expected = {"milliseconds": 2, "millijoules": 5, "usd_per_1000": 3e-3}
    assert summarise(cost) == pytest.approx(expected)


def test_there_is_no_summary_of_nothing() -> None:
    with pytest.raises(DataError, match="no mean"):
        summarise(ScenarioCost(np.zeros(0), np.zeros(0), np.zeros(0)))


def test_the_table_has_a_row_for_every_policy_in_every_scenario() -> None:
    trace = make_trace(5)
    replays = [replay(BertPolicy(place), trace, deployment_of(trace)) for place in BOTH]
    everything = Scenarios.load().all()
    rows = scenario_table(replays, trace.lengths, SHAPE, everything)
    names = [(row["policy"], row["scenario"]) for row in rows]
    assert names == [(r.policy, s.name) for r in replays for s in everything]
    cost = everything[1].price(replays[0].usage, trace.lengths, SHAPE)
    assert rows[1] == {"policy": "bert-cloud", "scenario": "phone-4g", **summarise(cost)}


BOTH = ("cloud", "mobile")


@dataclass
class Bare:
    """The least that a table needs of a replay."""

    policy: str
    usage: Usage


def test_a_lone_request_over_lte_takes_what_its_source_measured() -> None:
    """Huang et al.: 12.76 J for a lone packet on LTE, so the rest must be small beside it."""
    everything = Scenarios.load()
    lone, steady = everything.scenario("phone-4g-lone"), everything.scenario("phone-4g")
    text: npt.NDArray[np.int64] = np.array([26])
    sent = Bare("x", one(cloud_offloads=1, cloud_bytes=104, cloud_layers=6))
    rows = scenario_table([sent], text, ModelShape.of_width(384), [lone, steady])
    assert rows[0]["millijoules"] - rows[1]["millijoules"] == pytest.approx(12760)
    assert rows[1]["millijoules"] < 0.02 * 12760
