"""A bundle whose tiers have a model each: every one answers as its own, of its own words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from tokenizers import Tokenizer

from dimec.base.errors import (
    ConfigError,
    CorruptArtefactError,
    MismatchError,
    MissingArtefactError,
)
from dimec.bundle.exit0 import EXIT0, Exit0
from dimec.bundle.folders import TierBundle, file_records, verify_bundle
from dimec.bundle.footprint import measure_footprint
from dimec.bundle.graphs import Graph, run_segments
from dimec.bundle.manifest import MANIFEST, TierManifest, tier_version
from dimec.policies.routed import RouterPolicy
from dimec.routing import SingleTierRouter
from dimec.runs.run import Run
from dimec.training.export import writing
from dimec.training.export.plan import Export
from dimec.training.model import MultiExitClassifier
from support.golden import check_bundle
from support.own_tiers import OWN, fitted_own, own_deployment
from support.tiny import Said
from support.traced import trace_once

pytestmark = pytest.mark.usefixtures("one_trace")


@pytest.fixture(scope="module")
def run(own_bundle: Path) -> Run:
    """The run that was exported; not to be changed."""
    return Run(own_bundle.parent / "run")


@pytest.fixture(scope="module")
def tiers(own_bundle: Path) -> dict[str, TierBundle]:
    return verify_bundle(own_bundle)[1]


@pytest.fixture
def copy(own_run: Path, tmp_path: Path) -> Run:
    """A copy of the run, fitted, that a test may damage."""
    return fitted_own(own_run, tmp_path / "run")


class TestTheManifests:
    def test_the_whole_tells_of_all_models(self, own_bundle: Path, run: Run) -> None:
        manifest, training = verify_bundle(own_bundle)[0], run.training()
        assert manifest.deployment.tiers == own_deployment().tiers
        told = manifest.provenance
        assert told["model"] == training["model"] == run.stored_policy().fitted_on["model"]
        models = {name: one.training()["model"] for name, one in run.tier_runs().items()}
        assert told["models"] == models
        assert (told["exits"], told["sources"]) == (
            [1, 1, 2, 3],
            ["phone", "edge", "edge", "cloud"],
        )
        assert [manifest.model_of(name) for name in OWN] == [*models.values()]
        backbones = [one.training()["backbone"] for one in run.tier_runs().values()]
        assert [manifest.backbone_of(name) for name in OWN] == backbones
        assert manifest.versions == {
            name: tier_version(models[name], layer, "fp32") for name, layer in OWN.items()
        }

    def test_each_tells_of_its_own_model(self, tiers: dict[str, TierBundle], run: Run) -> None:
        for name, one in run.tier_runs().items():
            manifest = tiers[name].manifest
            model = MultiExitClassifier.from_pretrained(one.model_path)
            words = model.encoder.get_input_embeddings()
            assert (manifest.vocabulary, manifest.width) == words.weight.shape
            assert manifest.labels == model.label_names == ("negative", "positive")
            assert (manifest.max_tokens, manifest.exit) == (32, OWN[name])
        small, _, large = (tiers[name].manifest for name in OWN)
        assert small.vocabulary != large.vocabulary
        assert small.width != large.width

    def test_a_tier_with_the_words_of_the_first_takes_tokens_and_another_texts(
        self, tiers: dict[str, TierBundle]
    ) -> None:
        takes = {name: tier.manifest.takes for name, tier in tiers.items()}
        assert takes == {"phone": "tokens", "edge": "tokens", "cloud": "text"}
        server = {"model.onnx", "model.onnx.data"}
        assert set(tiers["edge"].manifest.files) == server
        assert set(tiers["cloud"].manifest.files) == {*server, "tokenizer.json"}
        assert {"tokenizer.json", EXIT0, "policy.json"} <= set(tiers["phone"].manifest.files)


def _answers(tier: TierBundle, text: str, words: Path) -> list[np.ndarray[Any, Any]]:
    """What a tier's graphs say of a text, tokenised by a file, at each of its exits."""
    encoding = Tokenizer.from_file(str(words)).encode(text)
    ids, mask = np.array([encoding.ids]), np.array([encoding.attention_mask])
    first, *segments = (Graph(tier.file(name)) for name in tier.manifest.graphs)
    if not segments:
        return [first(input_ids=ids, attention_mask=mask)[0][0]]
    hidden, pooled = first(input_ids=ids, attention_mask=mask)
    exit0 = Exit0.load(tier.file(EXIT0))
    said = [one[0] for one in run_segments(segments, hidden, mask)]
    return [exit0.one(ids[0], pooled[0]), *said]


class TestEveryTier:
    def test_answers_as_the_joined_trace(self, tiers: dict[str, TierBundle], run: Run) -> None:
        """Each by its own words, from what is in the bundle alone."""
        trace, words = run.trace("test"), {}
        for name in OWN:
            owner = "cloud" if name == "cloud" else "phone"
            words[name] = tiers[owner].file("tokenizer.json")
        exits = {"phone": (0, 1), "edge": (2,), "cloud": (3,)}
        for row, text in enumerate(run.splits().test.texts):
            for name, layers in exits.items():
                columns = trace.columns(layers, (name,) * len(layers))
                got = _answers(tiers[name], text, words[name])
                expected = trace.probabilities[row, columns]
                np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)

    def test_was_compared_with_its_own_model(self, own_bundle: Path) -> None:
        parity: Any = verify_bundle(own_bundle)[0].provenance["parity"]
        assert list(parity) == list(OWN)
        for name, found in parity.items():
            assert 0 < found["difference"] < 1e-5
            assert found["agreement"] == 1
            assert found["routes"] == (1 if name == "phone" else None)
        assert [one["exit"] for one in parity["phone"]["exits"]] == [0, 1]

    def test_is_measured_by_itself(self, tiers: dict[str, TierBundle]) -> None:
        found = measure_footprint(tiers["cloud"].path)
        assert found.memory_bytes > found.base_bytes > 0
        assert found.start_seconds > 0


def test_the_same_run_is_the_same_bundle(own_bundle: Path, run: Run, tmp_path: Path) -> None:
    bundle = shutil.copytree(own_bundle, tmp_path / "bundle")
    assert run.export(bundle).reused
    with pytest.raises(ConfigError, match="holds another bundle"):
        run.export(bundle, int8=("cloud",))


def test_precision_length_and_words_are_a_tiers_own(
    own_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two tiers of the three; the second reads less of a text, so it takes texts."""
    # The graph of longer texts does as well for shorter ones, and may have been traced already.
    monkeypatch.setattr(
        writing, "trace_graph", lambda model, inputs, _: trace_once(model, inputs, 32)
    )
    policy = RouterPolicy("there", SingleTierRouter(1))
    run = fitted_own(own_run, tmp_path / "run", policy, "phone", "edge")
    config = run.tier_runs()["edge"].config_path
    config.write_text(config.read_text().replace("max_tokens = 32", "max_tokens = 16"))
    report = run.export(tmp_path / "bundle", int8=("edge",), force=True)
    assert [tier.precision for tier in report.tiers] == ["fp32", "int8"]
    first, second = (tier.parity for tier in report.tiers)
    assert first.difference < 1e-5 < second.difference < 0.1
    manifest, tiers = verify_bundle(tmp_path / "bundle")
    assert manifest.names == ("phone", "edge")
    assert [tier.manifest.max_tokens for tier in tiers.values()] == [32, 16]
    assert [tier.manifest.takes for tier in tiers.values()] == ["tokens", "text"]
    words = Tokenizer.from_file(str(tiers["edge"].file("tokenizer.json")))
    assert len(words.encode("the film is dull, " * 20).ids) == 16
    models = run.training()["models"]
    assert manifest.versions["edge"] == tier_version(models["edge"], 2, "int8")


def test_every_tier_in_int8_answers_as_its_own_model_but_for_rounding(
    own_run: Path, tiers: dict[str, TierBundle], tmp_path: Path, cli: Callable[..., Said]
) -> None:
    run, out = fitted_own(own_run, tmp_path / "run"), tmp_path / "bundle"
    # Forced, since the rows are too few to show that it agrees.
    assert (said := cli("export", run.path, out, "--int8", "all", "--force")).code == 0
    manifest, small = verify_bundle(out)
    models, parity = run.training()["models"], cast(Any, manifest.provenance["parity"])
    trace, texts, off = run.trace("test"), run.splits().test.texts, dict.fromkeys(OWN, 0.0)
    for name, layer in OWN.items():
        assert f"{name} in int8: " in said.out
        assert manifest.versions[name] == tier_version(models[name], layer, "int8")
        one, whole = small[name].manifest, tiers[name].manifest
        assert (one.precision, one.takes) == ("int8", whole.takes)
        files = one.files.items(), whole.files.items()
        sizes = [sum(of.bytes for file, of in some if ".onnx" in file) for some in files]
        assert sizes[0] < 0.6 * sizes[1]
        words = small["cloud" if name == "cloud" else "phone"].file("tokenizer.json")
        for row, text in enumerate(texts):
            got = _answers(small[name], text, words)[-1]
            exact = trace.probabilities[row, trace.column(layer, name)]
            off[name] = max(off[name], float(np.abs(got - exact).max()))
        # The rows of the comparison hold these.
        assert 1e-5 < off[name] <= parity[name]["difference"] + 1e-6 < 0.1
    check_bundle(out)


class TestADamagedRun:
    def refused(self, run: Run, words: str, kind: type[Exception] = CorruptArtefactError) -> None:
        with pytest.raises(kind, match=words) as caught:
            Export.of(run, (), None)
        assert "\n" not in str(caught.value)
        assert f"dimec train --out {run.path} --overwrite" in str(caught.value)

    @pytest.mark.parametrize("tier", OWN)
    def test_a_tier_s_folder_is_missing(self, copy: Run, tier: str) -> None:
        shutil.rmtree(copy.tiers_path / tier)
        self.refused(copy, rf"the model in .*tiers.{tier}.model is missing or altered")

    @pytest.mark.parametrize("tier", OWN)
    def test_a_tier_s_model_is_altered(self, copy: Run, tier: str) -> None:
        weights = copy.tiers_path / tier / "model" / "model.safetensors"
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
        self.refused(copy, rf"the model in .*tiers.{tier}.model is missing or altered")

    def test_tiers_are_exchanged(self, copy: Run) -> None:
        for name, other in (("phone", "old"), ("edge", "phone"), ("old", "edge")):
            (copy.tiers_path / name).rename(copy.tiers_path / other)
        self.refused(copy, "the model in .*phone.model is missing or altered")

    @pytest.mark.parametrize("how", ["missing", "of another model"])
    def test_a_tier_s_record_is(self, copy: Run, how: str) -> None:
        record = copy.tier_runs()["edge"].training_path
        if how == "missing":
            record.unlink()
        else:
            _change(record, model="0" * 64)
        self.refused(copy, r"edge.training\.json is missing, or of another model")

    @pytest.mark.parametrize("models", [None, {}, {"phone": "0" * 64}, 3])
    def test_the_models_are_not_told(self, copy: Run, models: Any) -> None:
        _change(copy.training_path, models=models)
        self.refused(copy, "does not name the models of the tiers phone, edge, cloud")

    def test_a_model_is_not_the_one_that_the_digest_vouches_for(self, copy: Run) -> None:
        models = copy.training()["models"]
        _change(copy.training_path, models={**models, "edge": "0" * 64})
        self.refused(copy, "does not name the models of the tiers phone, edge, cloud")

    def test_rows_to_compare_on_are_another_model_s(self, copy: Run, tmp_path: Path) -> None:
        runs = copy.tier_runs()
        shutil.copyfile(runs["cloud"].parity_path, runs["phone"].parity_path)
        with pytest.raises(MismatchError, match=r"phone.parity\.safetensors belongs") as caught:
            copy.export(tmp_path / "bundle")
        told = f"another model than that of the tier phone of {copy.path}; remove it, and make it"
        assert told in str(caught.value)
        again = f"dimec train --out {copy.path} --config {copy.config_path}"
        assert str(caught.value).endswith(again)
        assert [path.name for path in tmp_path.iterdir()] == ["run"]


def _change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


class TestTiersThatDoNotGoTogether:
    def test_a_policy_for_a_model_that_the_run_does_not_have(self, copy: Run) -> None:
        stored = json.loads(copy.policy_path.read_text())
        stored["fitted_on"]["tiers"][1]["source"] = "gateway"
        copy.policy_path.write_text(json.dumps(stored))
        words = "for a tier of the model 'gateway', and the run has those of phone, edge, cloud"
        with pytest.raises(ConfigError, match=words):
            Export.of(copy, (), None)

    def test_a_policy_that_begins_where_nothing_is_embedded(
        self, own_run: Path, tmp_path: Path
    ) -> None:
        policy = RouterPolicy("there", SingleTierRouter(1))
        run = fitted_own(own_run, tmp_path / "run", policy, "edge", "cloud")
        words = "begins at the tier edge, and decides on the embeddings of the model of phone"
        with pytest.raises(ConfigError, match=words):
            Export.of(run, (), None)

    def test_a_look_that_the_first_tier_s_model_does_not_have(self, copy: Run) -> None:
        with pytest.raises(ConfigError, match="the phone can stop at the exits 1 of this run"):
            Export.of(copy, (), (2,))

    def test_classes_in_another_order(
        self, copy: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = MultiExitClassifier.label_names

        def turned(model: MultiExitClassifier) -> tuple[str, ...]:
            known: tuple[str, ...] = names.fget(model)  # type: ignore[attr-defined]
            return known[::-1] if model.config.encoder.hidden_size == 48 else known

        monkeypatch.setattr(MultiExitClassifier, "label_names", property(turned))
        words = (
            "the tier cloud has the classes positive, negative, in this order, expected those of "
            "the tier phone: negative, positive"
        )
        with pytest.raises(ConfigError, match=words):
            copy.export(tmp_path / "bundle")
        assert [path.name for path in tmp_path.iterdir()] == ["run"]


class TestABundleThatDoesNotGoTogether:
    @pytest.fixture
    def bundle(self, own_bundle: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(own_bundle, tmp_path / "bundle"))

    def _rewrite(self, folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
        """Change a tier's manifest, and what the whole bundle's says of it."""
        value = json.loads((folder / MANIFEST).read_text())
        change(value)
        (folder / MANIFEST).write_text(json.dumps(value))
        whole = json.loads((folder.parent / MANIFEST).read_text())
        record = file_records(folder, manifest=True)[MANIFEST]
        whole["files"][f"{folder.name}/{MANIFEST}"] = record.model_dump()
        (folder.parent / MANIFEST).write_text(json.dumps(whole))

    def test_a_tier_of_texts_whose_manifest_names_no_tokenizer(self, bundle: Path) -> None:
        cloud = bundle / "cloud"
        self._rewrite(cloud, lambda value: value["files"].pop("tokenizer.json"))
        words = r"a tier that takes texts needs a tokenizer\.json\); make the bundle again"
        for opened in (lambda: TierBundle.open(cloud), lambda: verify_bundle(bundle)):
            with pytest.raises(CorruptArtefactError, match=words) as caught:
                opened()
            assert "\n" not in str(caught.value)

    def test_a_tier_of_texts_that_lost_its_tokenizer(self, bundle: Path) -> None:
        (bundle / "cloud" / "tokenizer.json").unlink()
        with pytest.raises(MissingArtefactError, match=r"tokenizer\.json does not exist; make it"):
            TierBundle.open(bundle / "cloud")

    @pytest.mark.parametrize(
        "fields", [{"max_tokens": 31}, {"padding": 1}, {"inputs": ["input_ids"]}]
    )
    def test_a_tier_of_token_ids_that_are_made_for_another(
        self, bundle: Path, fields: dict[str, Any]
    ) -> None:
        self._rewrite(bundle / "edge", lambda value: value.update(fields))
        with pytest.raises(CorruptArtefactError, match="edge is to take the token ids of"):
            verify_bundle(bundle)
        self._rewrite(bundle / "cloud", lambda value: value.update(fields))
        assert isinstance(TierBundle.open(bundle / "cloud").manifest, TierManifest)

    @pytest.mark.parametrize("fields", [{"labels": ["positive", "negative"]}, {"pairs": True}])
    def test_a_tier_that_means_other_classes_or_inputs(
        self, bundle: Path, fields: dict[str, Any]
    ) -> None:
        self._rewrite(bundle / "cloud", lambda value: value.update(fields))
        with pytest.raises(CorruptArtefactError, match="cloud is of another export"):
            verify_bundle(bundle)
