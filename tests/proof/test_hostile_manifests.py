"""Manifests of strangers: refused in one line, or borne out by the graphs."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import DimecError
from dimec.bundle.folders import TierBundle
from dimec.bundle.manifest import MANIFEST
from dimec.mobile.core import Core
from dimec.protocol import InferRequest
from dimec.serving.checks import check_request
from dimec.serving.model import TierModel
from support.fuzzing import extreme_manifests
from support.offline import Offline
from support.tampering import (
    Cli,
    assert_one_line,
    assert_printable,
    change,
    predict,
    serve,
)

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
        assert refused == {"vocabulary", "max_tokens", "padding", "width"} | {
            *("labels", "inputs", "pairs", "provenance", "segments", "tier layer", "tier name"),
            *("tier layer_price", "tier send_price", "tier visit_price", "tier version"),
            "tier source",
        }
        assert {field for field, _ in served} >= {"vocabulary", "max_tokens", "tier layer_price"}

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
        assert {field for field, _ in opened} >= {"max_tokens", "tier layer_price"}

    @pytest.mark.parametrize("price", [1e308, 10**400, float("inf"), float("nan"), 1e13])
    def test_no_price_makes_json_that_is_none(self, bundle: Path, cli: Cli, price: float) -> None:
        first, edge, last = json.loads((bundle / "mobile" / MANIFEST).read_text())["tiers"]
        for tiers in (
            [{**first, "layer_price": price}, edge, last],
            [first, edge, {**last, "visit_price": price}],
        ):
            change(bundle / "mobile", tiers=tiers)
            assert "_price" in cli(*predict(bundle / "mobile"), "--json").complaint()
        first["layer_price"] = last["visit_price"] = 1e12
        change(bundle / "mobile", tiers=[first, edge, last])
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
