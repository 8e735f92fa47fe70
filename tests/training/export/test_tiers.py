"""One tiny run as bundles of one, two and four tiers, by the names of the tiers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from dimec.base.errors import ConfigError
from dimec.bundle.folders import TierBundle, verify_bundle
from dimec.bundle.graphs import Graph
from dimec.bundle.manifest import GOLDEN, MANIFEST
from dimec.bundle.triton import write_triton_repository
from dimec.policies.kinds import StoredPolicy
from dimec.policies.literature.dimee import MaxSoftmaxTiersPolicy
from dimec.policies.routed import RouterPolicy
from dimec.routing import SingleTierRouter
from dimec.runs.run import Run
from dimec.runs.workspace import fitted_deployment
from dimec.serving.local import LocalTiers
from dimec.tiers.deployment import Deployment
from support.named import FOUR, TWO, named_run
from support.stored import fitted_on
from support.tiny import Said, contents

pytestmark = pytest.mark.usefixtures("one_trace")


@pytest.fixture(params=["two", "four"])
def exported(
    request: pytest.FixtureRequest, two_tier_bundle: Path, named_bundle: Path
) -> tuple[Path, Mapping[str, int]]:
    """A bundle, and its tiers: name → layer."""
    return (two_tier_bundle, TWO) if request.param == "two" else (named_bundle, FOUR)


def test_the_manifests_have_the_tiers_of_the_fit(exported: tuple[Path, Mapping[str, int]]) -> None:
    bundle, layers = exported
    manifest, tiers = verify_bundle(bundle)
    assert manifest.deployment.tiers == (
        Deployment.paper(tuple(layers.values()), names=tuple(layers)).tiers
    )
    assert {path.name for path in bundle.iterdir()} == {MANIFEST, GOLDEN, *layers}
    first, *others = layers
    for name, tier in tiers.items():
        assert (tier.manifest.tier, tier.manifest.exit) == (name, layers[name])
        assert tier.manifest.tiers == manifest.tiers
        assert tier.manifest.is_first == (name == first)
    assert tiers[first].manifest.segments[-1] == layers[first]
    assert {"policy.json", "policy.safetensors", "tokenizer.json"} <= set(
        tiers[first].manifest.files
    )
    for name in others:
        assert set(tiers[name].manifest.files) == {"model.onnx", "model.onnx.data"}
    assert fitted_on(bundle / first)["tiers"] == manifest.deployment.to_json()


def test_every_tier_answers_as_the_model_and_the_first_routes_as_it_was_fitted(
    exported: tuple[Path, Mapping[str, int]],
) -> None:
    bundle, layers = exported
    parity = verify_bundle(bundle)[0].provenance["parity"]
    assert isinstance(parity, dict)
    assert list(parity) == list(layers)
    for name, found in parity.items():
        assert isinstance(found, dict)
        assert 0 < float(str(found["difference"])) < 1e-5
        assert found["routes"] == (1.0 if name == next(iter(layers)) else None)


def test_tiers_of_the_same_layer_are_one_function_under_two_names(named_bundle: Path) -> None:
    versions = verify_bundle(named_bundle)[0].versions
    assert versions["gateway"] == versions["box"]
    assert len({versions["phone"], versions["box"], versions["dc"]}) == 3


def test_tritons_repository_has_a_model_for_every_tier_but_the_first(
    exported: tuple[Path, Mapping[str, int]], tmp_path: Path
) -> None:
    bundle, layers = exported
    out = write_triton_repository(bundle, tmp_path / "models")
    assert sorted(path.name for path in out.iterdir()) == sorted([*layers][1:])
    for name in [*layers][1:]:
        config = (out / name / "config.pbtxt").read_text()
        version = TierBundle.open(bundle / name).manifest.version
        assert config.startswith(f'name: "{name}"\n')
        assert (out / name / version / "model.onnx").read_bytes() == (
            bundle / name / "model.onnx"
        ).read_bytes()


def test_a_repository_of_other_tiers_is_one_to_replace(
    two_tier_bundle: Path, named_bundle: Path, tmp_path: Path
) -> None:
    out = write_triton_repository(named_bundle, tmp_path / "models")
    write_triton_repository(two_tier_bundle, out, overwrite=True)
    assert [path.name for path in out.iterdir()] == ["cloud"]


def test_servers_are_started_by_name_and_answer_as_their_graphs(named_bundle: Path) -> None:
    from dimec.client.endpoint import Endpoint
    from dimec.client.tier_client import TierClient

    ids = np.array([[2, 7, 9, 3]])
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    with LocalTiers(named_bundle) as tiers:
        assert list(tiers.urls) == list(tiers.pids) == ["gateway", "box", "dc"]
        for name, url in tiers.urls.items():
            bundle = TierBundle.open(named_bundle / name)
            expected = Graph(bundle.file("model.onnx"))(**inputs)[0]
            endpoint = Endpoint(name, url, bundle.manifest.version, 2, timeout=30)
            with TierClient(endpoint) as client:
                found = client.infer(inputs, id="a").probabilities
            np.testing.assert_allclose(found, expected, atol=1e-6)
        assert tiers.stop() == {"gateway": 0, "box": 0, "dc": 0}


def test_the_command_line_says_whom_to_serve_and_shows_the_tiers(
    cli: Callable[..., Said], named_bundle: Path
) -> None:
    said = cli("serve", named_bundle).complaint()
    folders = [str(named_bundle / name) for name in ("gateway", "box", "dc")]
    assert said.endswith(f"serve one tier of it: {' or '.join(folders)}")
    said = cli("serve", named_bundle / "phone").complaint()
    assert "of the phone tier" in said
    assert "serve the folder gateway/ or box/ or dc/ beside it" in said
    shown = cli("inspect", named_bundle).out
    for name, layer in FOUR.items():
        first, *_ = (line for line in shown.splitlines() if line.startswith(f"{name} "))
        assert first.split()[1] == str(layer)
    assert "an answer in λ: phone 1.5, gateway 4.5, box 4.5, dc 6" in shown
    assert "policy: dimec (kind centroid)" in shown


@pytest.fixture(scope="module")
def alone(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of one tier, all of whose layers run on the device; its run is beside it."""
    folder = tmp_path_factory.mktemp("alone")
    policy = RouterPolicy("here", SingleTierRouter(0))
    named_run(finished_run, folder / "run", {"phone": 4}, policy).export(folder / "bundle")
    return folder / "bundle"


class TestADeviceAlone:
    def test_is_all_that_the_bundle_has(self, alone: Path) -> None:
        manifest, tiers = verify_bundle(alone)
        assert manifest.names == ("phone",)
        assert tiers["phone"].manifest.segments == (1, 2, 4)
        assert {path.name for path in alone.iterdir()} == {MANIFEST, GOLDEN, "phone"}

    def test_has_nothing_to_serve(
        self, alone: Path, tmp_path: Path, cli: Callable[..., Said]
    ) -> None:
        with LocalTiers(alone) as tiers:
            assert (tiers.urls, tiers.pids) == ({}, {})
        with pytest.raises(ConfigError, match="one tier, phone, the device itself"):
            write_triton_repository(alone, tmp_path / "models")
        assert "has none to serve" in cli("serve", alone).complaint()
        said = cli(
            "export", alone.parent / "run", tmp_path / "new", "--triton", tmp_path / "models"
        )
        assert "there is no model to serve" in said.complaint()
        assert not list(tmp_path.iterdir())


class TestPrecisionByName:
    def test_all_of_them(
        self, cli: Callable[..., Said], two_tier_bundle: Path, tmp_path: Path
    ) -> None:
        run = two_tier_bundle.parent / "run"
        words = ("export", run, tmp_path / "bundle", "--force", "--json", "--int8")
        said = cli(*words, "all")
        assert said.code == 0, said
        told = {tier["tier"]: tier["precision"] for tier in json.loads(said.out)["tiers"]}
        assert told == {"mobile": "int8", "cloud": "int8"}
        assert json.loads(cli(*words, "mobile,cloud").out)["reused"] is True
        assert "holds another bundle" in cli(*words, "cloud").complaint()

    def test_a_name_of_no_tier_is_refused(
        self, cli: Callable[..., Said], named_bundle: Path, tmp_path: Path
    ) -> None:
        run = named_bundle.parent / "run"
        said = cli("export", run, tmp_path / "bundle", "--int8", "phone,edge").complaint()
        assert "expected the tiers phone, gateway, box, dc for --int8, got 'edge'" in said


class TestOtherPolicies:
    def test_one_that_escalates_is_exported_as_it_was_stored(
        self, finished_run: Path, tmp_path: Path
    ) -> None:
        run = named_run(finished_run, tmp_path / "run", FOUR, MaxSoftmaxTiersPolicy(0.9))
        report = run.export(tmp_path / "bundle")
        record = json.loads((tmp_path / "bundle" / "phone" / "policy.json").read_text())
        assert (record["kind"], record["settings"]) == ("max-softmax-tiers", {"threshold": 0.9})
        assert not (tmp_path / "bundle" / "phone" / "policy.safetensors").exists()
        assert report.tiers[0].parity.routes == 1
        assert fitted_deployment(run.stored_policy()).names == tuple(FOUR)

    def test_one_that_can_only_be_replayed_is_refused_at_once(
        self, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = named_run(finished_run, tmp_path / "run", TWO)
        before = contents(run.path)
        monkeypatch.setattr(RouterPolicy, "replay_only", "it looks at the right answers")
        with pytest.raises(ConfigError, match=r"dimec can be replayed, and not .*: it looks"):
            run.export(tmp_path / "bundle")
        assert contents(run.path) == before
        assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_tiers_of_several_models_are_refused(finished_run: Path, tmp_path: Path) -> None:
    """One run has one model; that the layers exist in it does not make them the fitted ones."""
    run = named_run(finished_run, tmp_path / "run", TWO)
    stored = run.stored_policy()
    tiers = [
        dict(tier, source=name) for tier, name in zip(stored.fitted_on["tiers"], "ab", strict=True)
    ]
    StoredPolicy(stored.policy, {**stored.fitted_on, "tiers": tiers}).save(run.path)
    with pytest.raises(ConfigError, match=r"the one model of a run .* of several: a, b"):
        run.export(tmp_path / "bundle")


def test_a_fit_for_other_tiers_is_another_bundle(
    named_bundle: Path, finished_run: Path, tmp_path: Path
) -> None:
    bundle = shutil.copytree(named_bundle, tmp_path / "bundle")
    run = named_run(finished_run, tmp_path / "run", {"phone": 1, "gateway": 2, "dc": 4})
    with pytest.raises(ConfigError, match="holds another bundle"):
        run.export(bundle)
    assert Run(named_bundle.parent / "run").export(bundle).reused
