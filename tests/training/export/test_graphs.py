"""One trace, cut into graphs that answer as the model does at shapes that it never saw."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from dimec.base.errors import ConfigError, MissingExtraError
from dimec.bundle.graphs import HIDDEN, MASK, Graph, run_segments
from dimec.training import MultiExitClassifier
from dimec.training.export.cuts import (
    POOLED,
    cut_embeddings,
    cut_segments,
    cut_tier,
    save_graph,
    save_graphs,
)
from dimec.training.export.graphs import trace_graph
from dimec.training.export.quantise import quantise_graph
from support.encoders import KINDS, PADS, WORDS, save_encoder

LABELS = ("negative", "neutral", "positive")
MAX_TOKENS = 30
SINGLE = ("input_ids", MASK)
ANSWERS = ("mobile", "edge", "cloud", "one", "two")
# With inner layers of such a width that their weights are stored beside the graph.
WIDE = {kind: {"intermediate_size": 256} for kind in ("albert", "bert")}
# Pooling is no part of an encoder: one of them shows what the others have no need to.
POOLING: dict[str, dict[str, Any]] = {
    "roformer": {"head_pooling": "max", "embedding_pooling": "cls"}
}
SHAPES = [(1, 1), (1, 2), (2, 1), (1, MAX_TOKENS), (5, 7), (64, MAX_TOKENS)]


class Exported:
    """A model, and the graphs that were made of it."""

    def __init__(
        self,
        folder: Path,
        kind: str,
        inputs: tuple[str, ...] = SINGLE,
        options: dict[str, Any] | None = None,
        change: Callable[[MultiExitClassifier], None] = lambda model: None,
        **heads: Any,
    ) -> None:
        self.kind = kind
        save_encoder(folder / "encoder", kind, **(options or {}))
        torch.manual_seed(1)
        self.model = MultiExitClassifier.from_backbone(
            folder / "encoder", labels=LABELS, exits=(1, 2), tiers=(1, 1, 2), **heads
        ).eval()
        with torch.no_grad():
            for head in self.model.heads.values():
                head.weight.mul_(20)  # so that the classes differ in probability
            change(self.model)
        self.model.save_pretrained(folder / "model")
        traced = MultiExitClassifier.from_pretrained(
            folder / "model", attn_implementation="eager"
        ).eval()
        whole = trace_graph(traced, inputs, MAX_TOKENS)
        one, two = cut_segments(whole, (1, 2)).values()
        parts = {
            "embed": cut_embeddings(whole, inputs),
            "layers": cut_segments(whole, (1,))[1],
            "edge": cut_tier(whole, inputs, 1),
            "cloud": cut_tier(whole, inputs, 2),
            "one": one,
            "two": two,
        }
        self.folder = folder
        self.graphs: dict[str, Graph] = {}
        for suffix in ("", "-int8"):
            for graph in parts.values() if suffix else ():
                quantise_graph(graph)
            paths = {name: folder / f"{name}{suffix}.onnx" for name in parts}
            for name in ("embed", "layers", "edge", "cloud"):
                save_graph(parts[name], paths[name])
            segments = {paths[name]: parts[name] for name in ("one", "two")}
            save_graphs(segments, folder / f"segments{suffix}.data")
            for name, path in paths.items():
                self.graphs[name + suffix] = Graph(path)

    def batch(self, rows: int, tokens: int, seed: int = 0) -> dict[str, Tensor]:
        """Random words; the first row is the longest, the others have padding."""
        rng = torch.Generator().manual_seed(seed)
        lengths = torch.randint(1, tokens + 1, (rows,), generator=rng)
        lengths[0] = tokens
        ids = torch.randint(5, WORDS, (rows, tokens), generator=rng)
        mask = (torch.arange(tokens)[None] < lengths[:, None]).long()
        return {
            "input_ids": torch.where(mask > 0, ids, PADS.get(self.kind, 0)),
            MASK: mask,
            "token_type_ids": (torch.arange(tokens)[None] >= lengths[:, None] // 2).long() * mask,
        }

    def run(self, part: str, inputs: dict[str, Tensor]) -> tuple[np.ndarray[Any, Any], ...]:
        return self.graphs[part](**{name: values.numpy() for name, values in inputs.items()})

    def answers(self, inputs: dict[str, Tensor], suffix: str = "") -> dict[str, Any]:
        """What the tiers' graphs make of a batch."""
        hidden, pooled = self.run("embed" + suffix, inputs)
        mask = inputs[MASK].numpy()
        segments = [self.graphs[name + suffix] for name in ("one", "two")]
        return {
            HIDDEN: hidden,
            POOLED: pooled,
            "mobile": self.graphs["layers" + suffix](hidden=hidden, attention_mask=mask)[0],
            **dict(zip(("one", "two"), run_segments(segments, hidden, mask), strict=True)),
            "edge": self.run("edge" + suffix, inputs)[0],
            "cloud": self.run("cloud" + suffix, inputs)[0],
        }

    @torch.inference_mode()
    def expected(self, inputs: dict[str, Tensor]) -> dict[str, Any]:
        """What the model makes of it."""
        output = self.model(**inputs)
        hidden = self.model.encoder(**inputs, output_hidden_states=True).hidden_states[0]
        first, last = torch.softmax(output.logits, -1).unbind(dim=1)
        return {
            HIDDEN: hidden.numpy(),
            POOLED: output.embedding.numpy(),
            "mobile": first.numpy(),
            "edge": first.numpy(),
            "cloud": last.numpy(),
            "one": first.numpy(),
            "two": last.numpy(),
        }


def single(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: inputs[name] for name in SINGLE}


def assert_equal(got: dict[str, Any], expected: dict[str, Any], mask: Tensor) -> None:
    real = mask.numpy().astype(bool)
    for name, values in expected.items():
        ours, theirs = got[name], values
        if name == HIDDEN:  # what stands behind a text's end is nobody's business
            ours, theirs = ours[real], theirs[real]
        np.testing.assert_allclose(ours, theirs, atol=2e-6, err_msg=name)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    made: dict[str, Exported] = {}

    def get(kind: str) -> Exported:
        if kind not in made:
            made[kind] = Exported(
                tmp_path_factory.mktemp(kind),
                kind,
                options=WIDE.get(kind),
                **POOLING.get(kind, {}),
            )
        return made[kind]

    return get


@pytest.mark.parametrize("kind", KINDS)
class TestEveryArchitecture:
    def test_the_tiers_answer_as_the_model_does_at_any_shape(
        self, exported: Callable[[str], Exported], kind: str
    ) -> None:
        made = exported(kind)
        for rows, tokens in SHAPES:
            inputs = single(made.batch(rows, tokens, seed=tokens))
            assert_equal(made.answers(inputs), made.expected(inputs), inputs[MASK])

    def test_the_tiers_are_the_truncated_models(
        self, exported: Callable[[str], Exported], kind: str
    ) -> None:
        made = exported(kind)
        inputs = single(made.batch(4, 9))
        with torch.inference_mode():
            small = torch.softmax(made.model.truncate(1)(**inputs).logits[:, -1], -1).numpy()
        np.testing.assert_allclose(made.answers(inputs)["edge"], small, atol=2e-6)

    def test_eight_bits_come_close_and_do_not_depend_on_the_batch(
        self, exported: Callable[[str], Exported], kind: str
    ) -> None:
        made = exported(kind)
        inputs = single(made.batch(32, 20, seed=3))
        expected, together = made.expected(inputs), made.answers(inputs, "-int8")
        for name in (POOLED, *ANSWERS):
            spread = np.ptp(expected[name], axis=0).max()
            assert np.abs(together[name] - expected[name]).max() < 0.1 * spread, name
        for row in range(4):
            length = int(inputs[MASK][row].sum())
            alone = made.answers({k: v[row : row + 1, :length] for k, v in inputs.items()}, "-int8")
            for name in (POOLED, *ANSWERS):
                np.testing.assert_allclose(alone[name][0], together[name][row], atol=2e-3)

    def test_inputs_have_names_and_free_sizes(
        self, exported: Callable[[str], Exported], kind: str
    ) -> None:
        graph = onnx.load(exported(kind).folder / "edge.onnx", load_external_data=False).graph
        sizes = {
            value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
            for value in (*graph.input, *graph.output)
        }
        free = ["batch", "tokens"]
        assert sizes == {"input_ids": free, MASK: free, "probabilities": ["batch", 3]}


class TestTheGraphs:
    def test_the_embeddings_are_a_handful_of_operators(
        self, exported: Callable[[str], Exported]
    ) -> None:
        """Routing waits for them; a look-up of positions or types would be time lost."""
        path = exported("bert").folder / "embed.onnx"
        operators = [node.op_type for node in onnx.load(path, load_external_data=False).graph.node]
        assert len(operators) <= 11
        assert operators.count("Slice") == 1
        assert operators.count("Gather") == 1

    def test_large_tensors_lie_beside_the_graph(self, exported: Callable[[str], Exported]) -> None:
        folder = exported("bert").folder
        graph = onnx.load(folder / "cloud.onnx", load_external_data=False).graph
        beside = [t for t in graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
        assert beside == [] or (folder / "cloud.onnx.data").stat().st_size > 0
        assert all(len(t.raw_data) < 4096 for t in graph.initializer)

    @pytest.mark.parametrize(("kind", "times"), [("albert", 1), ("bert", 2)])
    def test_a_weight_that_layers_share_is_stored_once(
        self, exported: Callable[[str], Exported], kind: str, times: int
    ) -> None:
        """ALBERT runs one layer again and again; BERT has two of them."""
        made = exported(kind)
        alone, both = (made.folder / f"{name}.data" for name in ("layers.onnx", "segments"))
        assert both.stat().st_size == times * alone.stat().st_size > 0
        inputs = single(made.batch(3, 7))
        assert_equal(made.answers(inputs), made.expected(inputs), inputs[MASK])

    def test_each_segment_says_which_layers_it_runs(
        self, exported: Callable[[str], Exported]
    ) -> None:
        graphs = exported("bert").graphs
        assert [graphs[name].segment for name in ("one", "two", "layers", "edge")] == [
            *("1-1", "2-2", "1-1", None)
        ]
        assert graphs["one"].outputs == ("probabilities", "hidden_out")
        assert graphs["two"].inputs == (HIDDEN, MASK)
        assert graphs["two"].outputs == ("probabilities",)

    def test_types_as_an_input_other_poolings_and_tokens_of_zeros_in_eight_bits(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """With ReLU and a bias far below zero, the inner layer gives nothing but zeros."""
        from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, eager_mask

        def silence(model: MultiExitClassifier) -> None:
            for name, values in model.encoder.named_parameters():
                if name.endswith("intermediate.dense.bias"):
                    values.fill_(-1000)

        made = Exported(
            tmp_path,
            "bert",
            (*SINGLE, "token_type_ids"),
            options={"hidden_act": "relu"},
            change=silence,
            head_pooling="cls",
            embedding_pooling="max",
        )
        # Nothing is left changed, and nothing is said but what saving the model says.
        assert ALL_MASK_ATTENTION_FUNCTIONS["eager"] is eager_mask
        said = capfd.readouterr()
        lines = [line for line in (said.out + said.err).splitlines() if line.strip()]
        assert not [line for line in lines if "shards" not in line], lines
        assert made.graphs["edge"].inputs == (*SINGLE, "token_type_ids")
        assert made.graphs["layers"].inputs == (HIDDEN, MASK)
        for rows, tokens in [(1, 1), (7, 11)]:
            inputs = made.batch(rows, tokens)
            expected, got = made.expected(inputs), made.answers(inputs)
            assert_equal(got, expected, inputs[MASK])
            coarse = made.answers(inputs, "-int8")
            for name in ("mobile", "edge", "cloud"):
                np.testing.assert_allclose(coarse[name], expected[name], atol=0.05)
        other = made.answers({**inputs, "token_type_ids": torch.zeros_like(inputs["input_ids"])})
        assert np.abs(got["cloud"] - other["cloud"]).max() > 1e-3


class TestWhatCannotBeExported:
    def test_an_encoder_that_torch_cannot_trace_is_one_line(self, tmp_path: Path) -> None:
        save_encoder(tmp_path, "bert")
        model = MultiExitClassifier.from_backbone(tmp_path, labels=LABELS, exits=(1, 2)).eval()
        forward = model.encoder.forward

        def moody(**inputs: Any) -> Any:
            if int(inputs["input_ids"].sum()) % 2:
                raise RuntimeError("an odd sum")
            return forward(**inputs)

        model.encoder.forward = moody
        with pytest.raises(
            ConfigError, match="torch cannot export the encoder BertModel"
        ) as caught:
            trace_graph(model, SINGLE, MAX_TOKENS)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("package", ["onnx", "onnxscript"])
    def test_a_missing_package_is_named(
        self, monkeypatch: pytest.MonkeyPatch, package: str
    ) -> None:
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingExtraError, match=rf"'{package}'.*dimec\[export\]"):
            trace_graph(None, SINGLE, MAX_TOKENS)  # type: ignore[arg-type]  # not reached
