"""Bundles from strangers: whatever they hold, ``serve`` and ``predict`` say one line and stop.

A careful attacker signs: the manifest's sizes and hashes fit the hostile files. So the hashes are
no defence here, only the checks behind them are.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.bundle import MANIFEST, TierBundle, file_records
from dimec.errors import DimecError
from dimec.mobile.core import Core
from dimec.protocol import InferRequest
from dimec.routing import CentroidRouter
from dimec.serving.checks import check_request
from dimec.serving.model import TierModel
from dimec.storage import save_arrays
from fuzzing import extreme_manifests
from proof.offline import Offline
from tiny import Said, command, environment

Cli = Callable[..., Said]


@pytest.fixture
def bundle(proof_bundle: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(proof_bundle, tmp_path / "bundle"))


def change(folder: Path, **fields: Any) -> None:
    """Change fields of a manifest."""
    path = folder / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def sign(folder: Path) -> None:
    """Make the manifest's records fit the files as they are."""
    records = {name: record.model_dump() for name, record in file_records(folder).items()}
    change(folder, files=records)


def rename_file(folder: Path, old: str, new: str) -> None:
    """Let the manifest call a file by another name."""
    files = json.loads((folder / MANIFEST).read_text())["files"]
    files[new] = files.pop(old)
    change(folder, files=files)


def started(*words: str | Path) -> Said:
    """A command of its own, which must end by itself: a server that starts would not."""
    done = subprocess.run(
        command(*words),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env=environment(),
    )
    return Said(done.returncode, done.stdout, done.stderr)


def predict(folder: Path) -> list[str | Path]:
    return ["predict", folder, "a text", "--state", folder.parent / "state.sqlite"]


def serve(folder: Path) -> list[str | Path]:
    return ["serve", folder, "--port", "0", "--stop-with-stdin"]


def climb(folder: Path, name: str) -> None:
    """A file outside, named by a path, its hash right."""
    shutil.copy(folder / name, folder.parent.parent / name)
    rename_file(folder, name, f"../../{name}")


def absolute(folder: Path, name: str) -> None:
    rename_file(folder, name, str((folder / name).resolve()))


def backslash(folder: Path, name: str) -> None:
    rename_file(folder, name, f"..\\{name}")


def link(folder: Path, name: str) -> None:
    """A link to the very file that the manifest wants."""
    outside = folder.parent / f"outside-{name}"
    (folder / name).rename(outside)
    (folder / name).symlink_to(outside)


def device(folder: Path, name: str) -> None:
    """Nothing that ends."""
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")


def pipe(folder: Path, name: str) -> None:
    """Opening it would wait for ever."""
    (folder / name).unlink()
    os.mkfifo(folder / name)


def a_folder(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()


def missing(folder: Path, name: str) -> None:
    (folder / name).unlink()


def altered(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(bytes(content))


def truncated_and_signed(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    sign(folder)


def empty_and_signed(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")
    sign(folder)


def noise_and_signed(folder: Path, name: str) -> None:
    (folder / name).write_bytes(np.random.default_rng(0).bytes(20_000))
    sign(folder)


TAMPERINGS = (
    climb,
    absolute,
    backslash,
    link,
    device,
    pipe,
    a_folder,
    missing,
    altered,
    truncated_and_signed,
    empty_and_signed,
    noise_and_signed,
)


class TestFilesOfABundle:
    @pytest.mark.parametrize("tamper", TAMPERINGS)
    def test_serve_says_one_line(self, bundle: Path, tamper: Callable[[Path, str], None]) -> None:
        tamper(bundle / "edge", "model.onnx")
        assert "model.onnx" in started(*serve(bundle / "edge")).complaint()

    @pytest.mark.parametrize("tamper", TAMPERINGS)
    @pytest.mark.parametrize(
        "name", ["embed.onnx", "layers.onnx", "tokenizer.json", "router.safetensors"]
    )
    def test_predict_says_one_line(
        self, bundle: Path, cli: Cli, tamper: Callable[[Path, str], None], name: str
    ) -> None:
        tamper(bundle / "mobile", name)
        assert name in cli(*predict(bundle / "mobile")).complaint()

    @pytest.mark.parametrize("tamper", [link, device, pipe, a_folder, missing])
    def test_a_manifest_is_a_plain_file_too(
        self, bundle: Path, cli: Cli, tamper: Callable[[Path, str], None]
    ) -> None:
        """Neither waited for nor read without end, whoever asks."""
        for folder in (bundle / "edge", bundle / "mobile", bundle):
            tamper(folder, MANIFEST)
        for words in (
            serve(bundle / "edge"),
            predict(bundle / "mobile"),
            ["inspect", bundle / "mobile"],
            ["inspect", bundle],
        ):
            said = started(*words).complaint() if words[0] == "serve" else cli(*words).complaint()
            assert MANIFEST in said or "no bundle" in said

    def test_the_command_itself_says_one_line(self, bundle: Path) -> None:
        """As a process, since a library may print on its own from below Python."""
        noise_and_signed(bundle / "mobile", "layers.onnx")
        assert "layers.onnx" in started(*predict(bundle / "mobile")).complaint()

    def test_nothing_outside_the_folder_is_read(self, bundle: Path) -> None:
        """Weights of a graph may lie in files beside it, and a path to them may climb."""
        import onnx

        (bundle.parent / "secret.bin").write_bytes(np.zeros(1000, np.float32).tobytes())
        path = bundle / "edge" / "model.onnx"
        model = onnx.load(path)
        weight = next(w for w in model.graph.initializer if len(w.raw_data) in range(64, 4000))
        size = len(weight.raw_data)
        weight.ClearField("raw_data")
        weight.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", "../../secret.bin"), ("offset", "0"), ("length", size)):
            weight.external_data.add(key=key, value=str(value))
        path.write_bytes(model.SerializeToString())
        sign(bundle / "edge")
        assert "model.onnx" in started(*serve(bundle / "edge")).complaint()

    def test_weights_that_the_manifest_does_not_name(self, bundle: Path, cli: Cli) -> None:
        """They lie beside the graph, and no hash vouches for them."""
        for tier, name in (("edge", "model.onnx"), ("mobile", "layers.onnx")):
            files = json.loads((bundle / tier / MANIFEST).read_text())["files"]
            assert files.pop(f"{name}.data")
            change(bundle / tier, files=files)
        assert "model.onnx.data" in started(*serve(bundle / "edge")).complaint()
        assert "layers.onnx.data" in cli(*predict(bundle / "mobile")).complaint()

    def test_what_else_lies_in_the_folder_is_nobodys_business(self, bundle: Path, cli: Cli) -> None:
        (bundle / "mobile" / ".DS_Store").write_bytes(b"x")
        (bundle / "mobile" / "notes").mkdir()
        assert cli(*predict(bundle / "mobile")).code == 0


class TestGraphsThatAreOthers:
    """Sound ONNX, but not what the manifest says."""

    def swap(self, bundle: Path, tier: str, name: str, other: Path) -> None:
        shutil.copy(other, bundle / tier / name)
        sign(bundle / tier)

    def test_a_server_refuses_the_graph_of_another_part(self, bundle: Path) -> None:
        for other in ("embed.onnx", "layers.onnx"):
            self.swap(bundle, "edge", "model.onnx", bundle / "mobile" / other)
            assert "model.onnx" in started(*serve(bundle / "edge")).complaint()

    def test_a_mobile_refuses_the_graph_of_another_part(self, bundle: Path, cli: Cli) -> None:
        mobile = bundle / "mobile"
        kept = {name: (mobile / name).read_bytes() for name in ("embed.onnx", "layers.onnx")}
        for name, other in (("embed.onnx", "layers.onnx"), ("layers.onnx", "embed.onnx")):
            (mobile / name).write_bytes(kept[other])
            sign(mobile)
            assert f"graphs in {mobile}" in cli(*predict(mobile)).complaint()
            (mobile / name).write_bytes(kept[name])

    @pytest.mark.parametrize("labels", [["only"], ["a", "b", "c"]])
    def test_labels_that_do_not_fit_the_graph(
        self, bundle: Path, cli: Cli, labels: list[str]
    ) -> None:
        change(bundle / "edge", labels=labels)
        assert "labels" in started(*serve(bundle / "edge")).complaint()
        change(bundle / "mobile", labels=labels)
        assert "labels" in cli(*predict(bundle / "mobile")).complaint()

    def test_a_router_of_another_width(self, bundle: Path, cli: Cli) -> None:
        path = bundle / "mobile" / "router.safetensors"
        router = CentroidRouter().fit(np.eye(3), np.arange(3))
        router.metadata = CentroidRouter.load(path).metadata
        router.save(path)
        sign(bundle / "mobile")
        assert "router.safetensors" in cli(*predict(bundle / "mobile")).complaint()

    @pytest.mark.parametrize(
        ("sums", "counts"),
        [
            ([[np.nan] * 32, [0.0] * 32, [1.0] * 32], [1, 1, 1]),
            ([[np.inf] * 32, [0.0] * 32, [1.0] * 32], [1, 1, 1]),
            ([[1e300] * 32, [0.0] * 32, [1.0] * 32], [1, 1, 1]),
            (np.ones((3, 32)), [1, -1, 1]),
            (np.ones((3, 32)), [2**63 - 1, 1, 1]),
            (np.ones((3, 32)), [0, 0, 0]),
            (np.ones((3, 32)), [1, 1]),
            (np.ones((3, 32)), [[1, 1, 1]]),
            (np.ones((2, 32)), [1, 1, 1]),
            (np.ones(32), [1, 1, 1]),
            (np.ones((3, 0)), [1, 1, 1]),
            (np.ones((3, 32), np.float16), [1, 1, 1]),
            (np.ones((3, 32), np.int64), [1, 1, 1]),
            (np.ones((3, 32)), [1.0, 1.0, 1.0]),
        ],
        ids=range(14),
    )
    def test_a_router_whose_parts_are_none(
        self, bundle: Path, cli: Cli, sums: Any, counts: Any
    ) -> None:
        path = bundle / "mobile" / "router.safetensors"
        arrays = {"sums": np.asarray(sums), "counts": np.asarray(counts)}
        metadata = {"adaptive": False, "fitted_on": CentroidRouter.load(path).metadata}
        save_arrays(path, "centroid router", arrays, metadata)
        sign(bundle / "mobile")
        line = cli(*predict(bundle / "mobile")).complaint()
        assert "router.safetensors" in line
        assert len(line) < 400

    @pytest.mark.parametrize("metadata", [{"adaptive": True}, {"adaptive": 1, "fitted_on": [1]}])
    def test_a_router_whose_record_is_none(
        self, bundle: Path, cli: Cli, metadata: dict[str, Any]
    ) -> None:
        path = bundle / "mobile" / "router.safetensors"
        arrays = {"sums": np.ones((3, 32)), "counts": np.ones(3, np.int64)}
        save_arrays(path, "centroid router", arrays, metadata)
        sign(bundle / "mobile")
        assert "router.safetensors" in cli(*predict(bundle / "mobile")).complaint()

    def test_a_tokenizer_with_more_words_than_the_graph(self, bundle: Path, cli: Cli) -> None:
        """Its ids lie beyond the embedding table, whether the manifest admits it or not."""
        path = bundle / "mobile" / "tokenizer.json"
        tokenizer = json.loads(path.read_text())
        words = tokenizer["model"]["vocab"]
        for word in words:
            words[word] += 0 if word.startswith("[") else 10_000
        path.write_text(json.dumps(tokenizer))
        sign(bundle / "mobile")
        assert "tokenizer.json" in cli(*predict(bundle / "mobile")).complaint()
        change(bundle / "mobile", vocabulary=20_000)
        assert "graphs" in cli(*predict(bundle / "mobile")).complaint()


def rules(**changes: Any) -> Callable[[dict[str, Any]], None]:
    """Other parts of a tokenizer."""
    return lambda tokenizer: tokenizer.update(changes)


def of_model(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda tokenizer: tokenizer["model"].update(changes)


def replacing(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def begins_with(id_: int) -> dict[str, Any]:
    """A post-processor that puts a token in front."""
    token = {"id": "[CLS]", "ids": [id_], "tokens": ["[CLS]"]}
    pieces = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}]
    pieces += [{"Sequence": {"id": part, "type_id": 0}} for part in "AB"]
    return {
        "type": "TemplateProcessing",
        "single": pieces[:2],
        "pair": pieces,
        "special_tokens": {"[CLS]": token},
    }


_DOUBLED = replacing({"String": "a"}, "aa")
HOSTILE_RULES: dict[str, Callable[[dict[str, Any]], None]] = {
    "doubles forty times": rules(normalizer={"type": "Sequence", "normalizers": [_DOUBLED] * 40}),
    "doubles within": rules(
        normalizer={
            "type": "Sequence",
            "normalizers": [{"type": "Sequence", "normalizers": [_DOUBLED] * 20}] * 2,
        }
    ),
    "bytes of bytes": rules(
        normalizer={"type": "Sequence", "normalizers": [{"type": "ByteLevel"}] * 30}
    ),
    "bytes of bytes of words": rules(
        pre_tokenizer={
            "type": "Sequence",
            "pretokenizers": [{"type": "ByteLevel", "add_prefix_space": False}] * 30,
        }
    ),
    "a thousand steps": rules(
        normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}] * 1000}
    ),
    "between all letters": rules(normalizer=replacing({"String": ""}, "x" * 1000)),
    "for each letter": rules(normalizer=replacing({"Regex": "."}, "x" * 1000)),
    "in front": rules(normalizer={"type": "Prepend", "prepend": "x" * 100_000}),
    "an expression that backtracks": rules(normalizer=replacing({"Regex": "(a+)+b"}, "")),
    "an expression that is none": rules(normalizer=replacing({"Regex": "("}, "")),
    "words of no length": rules(pre_tokenizer={"type": "FixedLength", "length": 0}),
    "a table that is none": rules(
        normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    ),
    "a table of nothing": rules(normalizer={"type": "Precompiled", "precompiled_charsmap": ""}),
    "a token beyond the table": rules(post_processor=begins_with(2**31)),
    "half a model": of_model(vocab=None),
    "a model of another kind": rules(
        model={"type": "Unigram", "unk_id": None, "vocab": [["a", 0.0]], "byte_fallback": False}
    ),
}


class TestTokenizers:
    """Rules that loop, abort, or make a text as long as the memory."""

    @pytest.mark.parametrize("what", HOSTILE_RULES)
    def test_hostile_rules(self, bundle: Path, cli: Cli, what: str) -> None:
        path = bundle / "mobile" / "tokenizer.json"
        tokenizer = json.loads(path.read_text())
        HOSTILE_RULES[what](tokenizer)
        path.write_text(json.dumps(tokenizer))
        sign(bundle / "mobile")
        line = cli(*predict(bundle / "mobile")).complaint()
        assert "tokenizer.json" in line
        assert len(line) < 400

    @pytest.mark.parametrize("limit", [1, 2])
    def test_no_room_for_what_it_adds(self, bundle: Path, cli: Cli, limit: int) -> None:
        """tokenizers then does not cut at all."""
        change(bundle / "mobile", max_tokens=limit)
        said = cli(*predict(bundle / "mobile"))
        assert said.code == 0 or "tokenizer.json" in said.complaint()

    def test_a_text_that_its_rules_fail_on(self, bundle: Path) -> None:
        """Not met when it was tried: the error of one text, and the mobile goes on."""
        import dimec

        path = bundle / "mobile" / "tokenizer.json"
        tokenizer = json.loads(path.read_text())
        tokenizer["normalizer"] = replacing({"Regex": "(q+)+z"}, "")
        path.write_text(json.dumps(tokenizer))
        sign(bundle / "mobile")
        with dimec.Mobile.open(bundle, state=":memory:") as mobile:
            with pytest.raises(DimecError, match="fails on this text"):
                mobile.predict("q" * 60)
            assert mobile.predict("a text").label


# Nobody is there: the addresses only make the mobile look up the versions to ask for.
SERVERS = ("--edge", "http://127.0.0.1:9", "--cloud", "http://127.0.0.1:9")
WRONG: tuple[Any, ...] = (None, -1, 1e308, "", "../x", [], {}, [[]], {"": {}}, 2**70)


class TestManifests:
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"null",
            b"[]",
            b"[" * 100_000,
            b'{"kind": "dimec tier"}',
            b"\xff\xfe",
            b'{"a": ' * 50_000,
            b"1" * 100_000,
        ],
        ids=range(9),
    )
    def test_a_manifest_that_is_none(self, bundle: Path, cli: Cli, content: bytes) -> None:
        for tier, words in (("edge", serve), ("mobile", predict)):
            (bundle / tier / MANIFEST).write_bytes(content)
            assert MANIFEST in cli(*words(bundle / tier)).complaint()

    def test_mutations_of_a_manifest(self, bundle: Path, cli: Cli, offline: Offline) -> None:
        """150 of them by seed: an answer, or one line that names the manifest or a file of it."""
        path = bundle / "mobile" / MANIFEST
        original = path.read_bytes()
        rng = random.Random(0)
        codes = {0: 0, 2: 0}
        for number in range(150):
            path.write_bytes(mutated(original, rng))
            said = cli(*predict(bundle / "mobile"), "--json")
            codes[said.code] += 1
            if said.code:
                said.complaint()
            else:
                answer = json.loads(said.out)
                assert len(answer["probabilities"]) == len(offline.labels), number
        assert codes[0] > 0  # such as another date among its provenance
        assert codes[2] > 75

    def test_values_of_the_wrong_kind_everywhere(self, bundle: Path, cli: Cli) -> None:
        path = bundle / "mobile" / MANIFEST
        manifest = json.loads(path.read_text())
        accepted = set()
        for key, value in manifest.items():
            for wrong in WRONG:
                path.write_text(json.dumps({**manifest, key: wrong}))
                said = cli(*predict(bundle / "mobile"), *SERVERS)
                if said.code and wrong != value:
                    said.complaint()
                else:
                    accepted.add(key)
        # Prices have defaults, and what provenance says is for people.
        assert accepted <= {"costs", "provenance"}


class TestExtremes:
    """A manifest that a graph does not bear out is found out at the start, not by a request."""

    def test_a_server_answers_what_it_lets_through(self, bundle: Path) -> None:
        path = bundle / "edge" / MANIFEST
        refused, served = set(), set()
        for field, value, manifest in extreme_manifests(json.loads(path.read_text())):
            path.write_text(json.dumps(manifest))
            try:
                model = TierModel(TierBundle.open(bundle / "edge"), 1)
            except DimecError as error:
                assert_one_line(error)
                refused.add(field)
                continue
            served.add((field, str(value)))
            manifest_ = model.manifest
            for rows, tokens in ((1, manifest_.max_tokens), (3, 2)):
                shape = rows, min(tokens, manifest_.max_tokens)
                inputs: dict[str, Any] = {n: np.ones(shape, np.int64) for n in manifest_.inputs}
                inputs["input_ids"][:] = manifest_.vocabulary - 1
                sound = check_request(InferRequest(inputs), manifest_, 8).inputs
                assert model(sound, True).shape == (rows, len(manifest_.labels))
        assert refused == {"vocabulary", "max_tokens", "padding", "width", "exit", "exits"} | {
            *("labels", "inputs", "pairs", "costs", "provenance")
        }
        assert {field for field, _ in served} >= {"vocabulary", "max_tokens", "costs"}

    def test_a_mobile_answers_what_it_opens_with(self, bundle: Path) -> None:
        path = bundle / "mobile" / MANIFEST
        texts = ("", "a moving film " * 200, "\x00\x1b\u2028 \U0001f926" * 50)
        opened = set()
        for field, value, manifest in extreme_manifests(json.loads(path.read_text())):
            path.write_text(json.dumps(manifest))
            try:
                core = Core(TierBundle.open(bundle / "mobile"))
            except DimecError as error:
                assert_one_line(error)
                continue
            opened.add((field, str(value)))
            for text in texts:
                given = (text, text) if core.pairs else text
                probabilities = core.classify(core.embed(core.tokenise(given)))
                assert probabilities.shape == (len(core.labels),)
                assert np.isfinite(probabilities).all()
        assert {field for field, _ in opened} >= {"max_tokens", "costs"}

    @pytest.mark.parametrize("price", [1e308, 10**400, float("inf"), float("nan"), 1e13])
    def test_no_price_makes_json_that_is_none(self, bundle: Path, cli: Cli, price: float) -> None:
        for name in ("mobile_layer", "cloud_charge"):
            change(bundle / "mobile", costs={name: price})
            assert "cost" in cli(*predict(bundle / "mobile"), "--json").complaint()
        change(bundle / "mobile", costs={"mobile_layer": 1e12, "cloud_charge": 1e12})
        said = cli(*predict(bundle / "mobile"), "--json")
        assert json.loads(said.out, parse_constant=pytest.fail)["cost"] > 0

    def test_labels_reach_the_terminal_as_text(self, bundle: Path, cli: Cli) -> None:
        labels = ["\x1b]0;title\x07\x1b[2J", "\x9b31m\u202e\u2028\x7f"]
        for tier in ("mobile", "edge", "cloud"):
            change(bundle / tier, labels=labels, provenance={"task": "\x1b[2J"})
        mobile = bundle / "mobile"
        for words in (predict(mobile), [*predict(mobile), "--json"]):
            for more in ((), ("--json",)):
                said = cli("inspect", mobile, *more)
                assert said.code == 0, said.err
                assert_printable(said.out)
            said = cli(*words)
            assert said.code == 0, said.err
            assert_printable(said.out)
        assert json.loads(said.out)["label"] in labels

    def test_nor_does_a_manifest_by_its_error(self, bundle: Path, cli: Cli) -> None:
        path = bundle / "mobile" / MANIFEST
        for manifest in (
            {"\x1b[2J" * 1000: 1},
            {**json.loads(path.read_text()), "files": {"\x1b[2J" * 1000: {"sha256": "x"}}},
        ):
            path.write_text(json.dumps(manifest))
            line = cli(*predict(bundle / "mobile")).complaint()
            assert_printable(line)
            assert len(line) < 500


def assert_printable(text: str) -> None:
    assert all(line.isprintable() for line in text.split("\n")), text


def assert_one_line(error: DimecError) -> None:
    assert_printable(str(error))
    assert "\n" not in str(error)
    assert len(str(error)) < 500, str(error)


def mutated(original: bytes, rng: random.Random) -> bytes:
    """A manifest with bytes flipped, cut out, doubled, or a value exchanged for another."""
    content = bytearray(original)
    kind = rng.randrange(5)
    start = rng.randrange(len(content))
    end = min(len(content), start + rng.randint(1, 40))
    if kind == 0:
        for _ in range(rng.randint(1, 3)):
            content[rng.randrange(len(content))] = rng.randrange(256)
    elif kind == 1:
        del content[start:end]
    elif kind == 2:
        content[start:start] = content[start:end]
    elif kind == 3:
        del content[start:]
    else:
        value = json.loads(original)
        keys = rng.sample(sorted(value), 2)
        value[keys[0]] = value[keys[1]]
        return json.dumps(value).encode()
    return bytes(content)


def test_an_error_of_a_bundle_is_one_that_the_user_can_act_on(bundle: Path) -> None:
    """The library raises within its own tree, whatever the command line makes of it."""
    import dimec

    noise_and_signed(bundle / "mobile", "embed.onnx")
    with pytest.raises(DimecError):
        dimec.Mobile.open(bundle, state=":memory:")
