"""Graphs, routers and tokenizers of strangers, signed: each is refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import DimecError
from dimec.base.storage import save_arrays
from dimec.bundle.folders import TierBundle
from dimec.policies.kinds import StoredPolicy
from dimec.policies.literature.deferral import DeferralPolicy
from dimec.policies.literature.exit_models import Models
from dimec.policies.literature.exit_thresholds import ThresholdsPolicy
from dimec.routing import CentroidRouter
from support.stored import fitted_on, store_router
from support.tampering import (
    Cli,
    change,
    predict,
    serve,
    sign,
    started,
)


class TestGraphsThatAreOthers:
    """Sound ONNX, but not what the manifest says."""

    def swap(self, bundle: Path, tier: str, name: str, other: Path) -> None:
        shutil.copy(other, bundle / tier / name)
        sign(bundle / tier)

    def test_a_server_refuses_the_graph_of_another_part(self, bundle: Path) -> None:
        for other in ("embed.onnx", "layers-1.onnx"):
            self.swap(bundle, "edge", "model.onnx", bundle / "mobile" / other)
            assert "model.onnx" in started(*serve(bundle / "edge")).complaint()

    def test_a_mobile_refuses_the_graph_of_another_part(self, bundle: Path, cli: Cli) -> None:
        mobile = bundle / "mobile"
        kept = {name: (mobile / name).read_bytes() for name in ("embed.onnx", "layers-1.onnx")}
        for name, other in (("embed.onnx", "layers-1.onnx"), ("layers-1.onnx", "embed.onnx")):
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
        folder = bundle / "mobile"
        router = CentroidRouter().fit(np.eye(3), np.arange(3))
        store_router(router, folder, fitted_on(folder))
        sign(folder)
        line = cli(*predict(bundle / "mobile")).complaint()
        assert "cannot decide on embeddings of 32 values" in line
        assert "must have the shape (N, 3)" in line

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
        path = bundle / "mobile" / "policy.safetensors"
        arrays = {"sums": np.asarray(sums), "counts": np.asarray(counts)}
        save_arrays(path, "policy", arrays, {"kind": "centroid", "name": "dimec"})
        sign(bundle / "mobile")
        line = cli(*predict(bundle / "mobile")).complaint()
        assert "policy.json" in line
        assert len(line) < 400

    def test_a_policy_of_another_kind_whose_parts_are_none(self, bundle: Path, cli: Cli) -> None:
        """It goes wrong behind an exit, not at its first step."""
        folder = bundle / "mobile"
        exits = TierBundle.open(folder).manifest.exits
        way = tuple(enumerate(exits))
        models = [Models(np.zeros((2, 3)), np.zeros(2)) for _ in exits[:-1]]
        margins = np.full(len(models), -1.0)
        for policy in (
            ThresholdsPolicy("exit-cascade", way, np.full((len(way) - 1, 1), 2.0)),
            DeferralPolicy(way, models, margins),
        ):
            StoredPolicy(policy, fitted_on(folder)).save(folder)
            sign(folder)
            line = cli(*predict(folder)).complaint()
            assert f"the policy {policy.name} cannot go on behind 1 exits of 2 classes" in line
            assert len(line) < 400

    @pytest.mark.parametrize(
        "changes",
        [
            {"settings": {"adaptive": 1}},
            {"settings": {}},
            {"settings": [1]},
            {"fitted_on": [1]},
            {"kind": "no such kind"},
            {"kind": "tier"},
            {"name": "another"},
            {"arrays": []},
            {"format": 0},
        ],
        ids=range(9),
    )
    def test_a_router_whose_record_is_none(
        self, bundle: Path, cli: Cli, changes: dict[str, Any]
    ) -> None:
        path = bundle / "mobile" / "policy.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
        sign(bundle / "mobile")
        assert "policy.json" in cli(*predict(bundle / "mobile")).complaint()

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
        assert "exit0.safetensors" in cli(*predict(bundle / "mobile")).complaint()
        (bundle / "mobile" / "exit0.safetensors").unlink()
        sign(bundle / "mobile")
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
