"""The benchmarks of the tiers run on a tiny run, and measure what they say."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.bundles import Scene, with_route
from benchmarks.encoders import exits_of
from benchmarks.harness import Measured, in_fresh_process
from benchmarks.run import main
from benchmarks.serving import messages

from benchmarks import bundles, network, segments, tiers
from dimec.base.storage import save_arrays
from dimec.mobile import Mobile
from dimec.protocol import BINARY_HEADER, decode_request
from dimec.training import MultiExitClassifier
from support.browser import launch_options
from support.tiers import texts as reviews
from support.traced import trace_once

__all__ = ["launch_options"]

SIZES = {"texts": 6, "few": 2, "layers": 3, "width": 32}
NAMES = ("decision", "looking", "protocol", "memory")
SEED = 0


@pytest.fixture(scope="module")
def scene(finished_run: Path, one_trace: None) -> Iterator[Scene]:
    """Bundles in both precisions, and texts; the one that the benchmarks find when they ask."""
    with pytest.MonkeyPatch.context() as patch:
        # Nothing is measured while a scene is made, and here all that it imports is there.
        patch.setattr(bundles, "in_fresh_process", lambda call, **words: Measured(call(**words), 0))
        found = bundles.scene(str(finished_run), SEED)
    yield found
    bundles.scene.cache_clear()
    bundles._KEPT.pop().cleanup()


@pytest.fixture(scope="module")
def report(
    tmp_path_factory: pytest.TempPathFactory, finished_run: Path, scene: Scene
) -> dict[str, Any]:
    """The JSON of one start of those benchmarks that need neither a compiler nor Triton."""
    out = tmp_path_factory.mktemp("bench") / "results.json"
    read: dict[str, Any] = {}
    # Of what takes processes of its own each time, once is enough.
    for names, repeats in ((NAMES[:-1], 2), (NAMES[-1:], 1)):
        options = [f"--{name}={value}" for name, value in (SIZES | {"repeats": repeats}).items()]
        options += [f"--seed={SEED}", "--run", str(finished_run), "--out", str(out)]
        assert main([*names, *options]) == 0
        assert bundles.scene(str(finished_run), SEED) is scene, "the tiers were exported twice"
        assert str(finished_run) not in out.read_text("utf-8")
        read |= json.loads(out.read_text("utf-8"))["benchmarks"]
    return read


def figures(report: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    return {figure["name"]: figure for figure in report[name]["figures"]}


def test_every_figure_is_above_zero_and_in_its_range(report: dict[str, Any]) -> None:
    assert list(report) == list(NAMES)
    for name in NAMES:
        assert report[name]["sizes"]["run"]
        for figure in report[name]["figures"]:
            assert figure["low"] <= figure["value"] <= figure["high"], figure
            assert figure["high"] > 0 or "above the base" in figure["name"], figure


def test_a_decision_is_timed_for_both_encoders(report: dict[str, Any]) -> None:
    found = figures(report, "decision")
    larger = f"{SIZES['layers']} x {SIZES['width']}"
    encoders = {name.partition(": ")[0] for name in found}
    assert len(encoders) == 2
    assert larger in encoders
    for encoder in encoders:
        # Medians of parts that are timed apart: which is longer is the machine's affair.
        assert {f"{encoder}: {part}, p50" for part in ("tokenise", "embed", "route")} <= set(found)
        whole = found[f"{encoder}: decision, p50"]
        assert found[f"{encoder}: decision, p99"]["high"] >= whole["low"]
    goals = [figure["goal"] for figure in found.values() if figure["goal"] is not None]
    assert goals == [0.03, 0.01, 0.03, 0.01] * 2


def test_a_look_is_held_against_a_layer(report: dict[str, Any]) -> None:
    found = figures(report, "looking")
    encoders = {name.partition(": ")[0] for name in found}
    assert len(encoders) == 2
    for encoder in encoders:
        layer, check = found[f"{encoder}: a layer"], found[f"{encoder}: next step"]
        share = found[f"{encoder}: check / a layer"]
        assert check["low"] / layer["high"] <= share["value"] <= check["high"] / layer["low"]
        assert share["goal"] == 0.01
        assert found[f"{encoder}: embed in numpy"]["value"] > 0
        assert found[f"{encoder}: an empty call"]["value"] > 0
        assert found[f"{encoder}: embed / m-layer inference"]["value"] > 0
        assert found[f"{encoder}: decision / m-layer inference"]["value"] > 0


def test_the_mobiles_memory_is_held_against_base_and_graphs(report: dict[str, Any]) -> None:
    found = figures(report, "memory")
    base = found["base: resident"]["value"]
    for precision in ("fp32", "int8"):
        graphs = found[f"{precision}: graphs on disk"]["value"]
        goal = found[f"{precision}: resident after answers"]["goal"]
        assert goal == pytest.approx(base + 1.3 * graphs, rel=1e-4)
        assert found[f"{precision}: whole bundle on disk"]["value"] > graphs


def test_messages_and_client_are_timed(report: dict[str, Any]) -> None:
    found = figures(report, "protocol")
    for name in ("encode a request", "decode a request", "encode a response", "decode a response"):
        assert name in found
    assert "edge, int8: TierClient, p50" in found


def test_the_mobile_in_a_browser_is_measured_beside_pythons(
    launch_options: dict[str, Any], finished_run: Path, scene: Scene, tmp_path: Path
) -> None:
    out = tmp_path / "browser.json"
    options = ["--texts=4", "--repeats=1", f"--seed={SEED}", "--run", str(finished_run)]
    assert main(["browser", *options, "--out", str(out)]) == 0
    found = figures(json.loads(out.read_text("utf-8"))["benchmarks"], "browser")
    for precision in ("fp32", "int8"):
        page, bundle = (
            found[f"{precision}: {name}"]["value"]
            for name in ("page, gzipped", "of this, the bundle")
        )
        assert 0 < bundle < page
        for name in ("cold start", "second start", "a text", "a text, Python's mobile"):
            assert found[f"{precision}: {name}"]["value"] > 0
    assert found["int8: page, gzipped"]["goal"] == 20e6


def test_a_scene_says_where_it_comes_from(scene: Scene) -> None:
    assert scene.source["exits"] == [1, 2, 4]
    assert scene.source["texts"] == len(json.loads((scene.folder / "texts.json").read_text()))
    assert f"exits {(1, 2, 4)}" in scene.note
    for precision in ("fp32", "int8"):
        manifest = json.loads(
            (Path(scene.bundle(precision)) / "edge" / "manifest.json").read_text()
        )
        assert manifest["precision"] == precision


@pytest.mark.parametrize(("tier", "name"), [(0, "mobile"), (1, "edge"), (2, "cloud")])
def test_a_forced_router_sends_everything_to_one_tier(
    scene: Scene, tmp_path: Path, tier: int, name: str
) -> None:
    forced = with_route(scene.bundle("fp32"), tier, tmp_path / "mobile")
    with Mobile.open(forced, state=":memory:") as mobile:
        assert {mobile.decide(text).tier_name for text in reviews(30)} == {name}


def test_all_variants_of_a_tier_take_every_text(scene: Scene) -> None:
    measured = in_fresh_process(
        tiers.measure,
        model=scene.model,
        folder=str(scene.folder),
        tier="mobile",
        layers=1,
        threads=1,
        texts=3,
        few=1,
        repeats=2,
        rivals=[tiers.EAGER],
    ).value
    assert measured.keys() == {"fp32", "int8", tiers.EAGER}
    assert all(len(passes) == 2 and min(passes) > 0 for passes in measured.values())


def test_segments_and_one_graph_take_every_text(scene: Scene, tmp_path: Path) -> None:
    model = MultiExitClassifier.from_pretrained(scene.model, attn_implementation="eager").eval()
    whole = trace_once(model, ("input_ids", "attention_mask"), 32)
    for exits in ((1, 2), (2,)):
        segments.write_graphs(whole, exits, "int8", tmp_path)
    hidden = np.random.default_rng(0).standard_normal((3, 1, 5, 32)).astype(np.float32)
    texts = {str(number): states for number, states in enumerate(hidden)}
    save_arrays(tmp_path / segments.HIDDEN, "hidden states", texts, {})
    settings: dict[str, Any] = {"folder": str(tmp_path), "few": 1, "repeats": 2}
    for other in (segments.ROW, segments.FIRST):
        variants = (segments.WHOLE, other)
        times = in_fresh_process(
            segments.measure, exits=(1, 2), variants=variants, **settings
        ).value
        assert tuple(times) == variants
        assert all(len(passes) == 2 and min(passes) > 0 for passes in times.values())


def test_a_link_delays_what_leaves_the_mobile_and_counts_its_bytes(scene: Scene) -> None:
    link = {"rtt": 30, "up": 10_000, "down": 10_000}
    found = in_fresh_process(
        network.measure,
        bundle=scene.bundle("fp32"),
        link=link,
        cloud={"rtt": 20},
        texts=4,
        repeats=1,
    ).value
    assert list(found) == list(network.POLICIES)
    edge, cloud, mobile = (found[f"all-{name}"][0] for name in ("edge", "cloud", "mobile"))
    assert edge["p50"] >= 0.030
    assert cloud["p50"] >= 0.050
    assert (mobile["up"], mobile["down"]) == (0, 0)
    assert min(edge["up"], edge["down"], cloud["up"], cloud["down"]) > 100
    for name in ("edge", "cloud", "mobile"):
        assert found[f"all-{name}"][0]["shares"][name] == 1


def test_every_link_has_rates_and_a_source() -> None:
    settings = tomllib.loads(network.LINKS.read_text("utf-8"))
    assert [link["name"] for link in settings["link"]] == ["3G", "4G", "5G", "Wi-Fi"]
    for link in (*settings["link"], settings["cloud"]):
        assert link["rtt"] > 0
        assert link["source"]
    assert all(min(link["up"], link["down"]) > 0 for link in settings["link"])


def test_the_load_is_what_the_mobile_sends(scene: Scene) -> None:
    for path, headers, body in messages(scene.bundle("int8"), scene.bundle("fp32"), 3):
        request = decode_request(body, headers[BINARY_HEADER])
        assert path.startswith("/v2/models/edge/versions/")
        assert request.inputs["input_ids"].shape == request.inputs["attention_mask"].shape
        assert np.all(request.inputs["attention_mask"] == 1)


def test_exits_are_a_third_a_half_and_all() -> None:
    assert [exits_of(layers) for layers in (1, 6, 12)] == [(1, 1, 1), (2, 3, 6), (4, 6, 12)]
