from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from dimec.base.errors import ConfigError
from dimec.training import MultiExitClassifier, joint_loss
from dimec.training.encoders import hooked_layers, layer_count, layer_list, token_limit
from dimec.training.model import pool
from support.encoders import KINDS, PADS, POSITIONS, UNBOUNDED, WIDTH, WORDS, save_encoder

LAYERS, CLASSES = 4, 3
NAMES = ("negative", "neutral", "positive")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A saved random encoder of each architecture."""
    return {kind: save_encoder(tmp_path_factory.mktemp(kind), kind, LAYERS) for kind in KINDS}


def _model(folder: Path, **options: Any) -> MultiExitClassifier:
    torch.manual_seed(1)
    options = {"exits": (1, 2, 4), **options}
    model = MultiExitClassifier.from_backbone(folder, labels=NAMES, **options)
    model.eval()
    return model


def _inputs(name: str, lengths: tuple[int, ...] = (9, 5, 7), seed: int = 0) -> dict[str, Tensor]:
    """A padded batch of random words; the first ids are special in every tokenizer."""
    rng = torch.Generator().manual_seed(seed)
    width = max(lengths)
    ids = torch.randint(5, WORDS, (len(lengths), width), generator=rng)
    mask = (torch.arange(width)[None] < torch.tensor(lengths)[:, None]).long()
    return {"input_ids": torch.where(mask > 0, ids, PADS.get(name, 0)), "attention_mask": mask}


def _words(model: MultiExitClassifier, ids: Tensor) -> Tensor:
    """(B, T, D): what the encoder's embeddings make of token ids."""
    encoder: Any = model.encoder
    table: Any = encoder.embeddings if hasattr(encoder, "embeddings") else encoder.shared
    words: Tensor = table(ids)
    return words


@pytest.fixture(params=KINDS)
def architecture(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@torch.inference_mode()
def _layer_outputs(model: MultiExitClassifier, inputs: dict[str, Tensor]) -> list[Tensor]:
    """What each layer of the encoder gives out, seen by hooks and not by the model's own word."""
    seen: list[Tensor] = []

    def look(_module: nn.Module, _args: Any, output: Any) -> None:
        seen.append(output[0] if isinstance(output, tuple) else output)

    encoder: Any = model.encoder
    shared = encoder.config.model_type == "albert"
    layers = encoder.encoder.albert_layer_groups if shared else layer_list(encoder)
    hooks = [layer.register_forward_hook(look) for layer in layers]
    model(**inputs)
    for hook in hooks:
        hook.remove()
    # Where a norm stands behind the last layer, it is part of what the last exit reads.
    norm = getattr(encoder, "final_norm", None)
    norm = norm or getattr(getattr(encoder, "encoder", None), "final_layer_norm", None)
    return seen if norm is None else [*seen[:-1], norm(seen[-1])]


class TestEveryArchitecture:
    @torch.inference_mode()
    def test_logits_and_embeddings_have_their_shapes(
        self, folders: dict[str, Path], architecture: str
    ) -> None:
        output = _model(folders[architecture])(**_inputs(architecture))
        assert output.logits.shape == (3, 3, CLASSES)
        assert output.embedding.shape == (3, WIDTH)

    @torch.inference_mode()
    def test_an_exit_reads_the_output_of_its_own_layer(
        self, folders: dict[str, Path], architecture: str
    ) -> None:
        model, inputs = _model(folders[architecture], exits="all"), _inputs(architecture)
        logits = model(**inputs).logits
        outputs = _layer_outputs(model, inputs)
        assert len(outputs) == LAYERS
        assert logits.shape == (3, LAYERS, CLASSES)
        for layer, hidden in enumerate(outputs, start=1):
            for row, length in enumerate(inputs["attention_mask"].sum(dim=1).tolist()):
                mean = hidden[row, :length].mean(dim=0)
                expected = model.heads[str(layer)](mean)
                torch.testing.assert_close(logits[row, layer - 1], expected)

    @torch.inference_mode()
    def test_a_truncated_model_gives_the_logits_of_its_exits_bit_for_bit(
        self, folders: dict[str, Path], architecture: str
    ) -> None:
        model, inputs = _model(folders[architecture]), _inputs(architecture)
        whole = model(**inputs)
        for place, layer in enumerate(model.exits):
            small = model.truncate(layer)
            assert layer_count(small.encoder) == layer
            output = small(**inputs)
            assert torch.equal(output.logits, whole.logits[:, : place + 1])
            assert torch.equal(output.embedding, whole.embedding)

    @torch.inference_mode()
    def test_a_saved_model_comes_back_the_same(
        self, folders: dict[str, Path], architecture: str, tmp_path: Path
    ) -> None:
        model, inputs = _model(folders[architecture]), _inputs(architecture)
        model.save_pretrained(tmp_path)
        again = MultiExitClassifier.from_pretrained(tmp_path).eval()
        assert again.exits == (1, 2, 4)
        assert again.label_names == NAMES
        assert list(again.config.tiers) == [1, 2, 4]
        whole, other = model(**inputs), again(**inputs)
        assert torch.equal(other.logits, whole.logits)
        assert torch.equal(other.embedding, whole.embedding)

    @torch.inference_mode()
    def test_a_truncated_model_survives_saving(
        self, folders: dict[str, Path], architecture: str, tmp_path: Path
    ) -> None:
        model, inputs = _model(folders[architecture]), _inputs(architecture)
        model.truncate(2).save_pretrained(tmp_path)
        again = MultiExitClassifier.from_pretrained(tmp_path).eval()
        assert torch.equal(again(**inputs).logits, model(**inputs).logits[:, :2])

    @torch.inference_mode()
    def test_the_embedding_is_the_mean_of_what_the_first_layer_gets(
        self, folders: dict[str, Path], architecture: str
    ) -> None:
        model, inputs = _model(folders[architecture]), _inputs(architecture)
        embedding = model(**inputs).embedding
        # ELECTRA and ALBERT widen their narrow embeddings before the first layer, and the exits are
        # as wide.
        encoder: Any = model.encoder
        widen: Any = getattr(encoder, "embeddings_project", None) or getattr(
            getattr(encoder, "encoder", None), "embedding_hidden_mapping_in", nn.Identity()
        )
        for row, length in enumerate(inputs["attention_mask"].sum(dim=1).tolist()):
            words = _words(model, inputs["input_ids"][row : row + 1, :length])
            torch.testing.assert_close(embedding[row], widen(words)[0].mean(dim=0))

    @torch.inference_mode()
    def test_padding_changes_neither_logits_nor_embedding(
        self, folders: dict[str, Path], architecture: str
    ) -> None:
        model, inputs = _model(folders[architecture]), _inputs(architecture)
        together = model(**inputs)
        for row, length in enumerate(inputs["attention_mask"].sum(dim=1).tolist()):
            alone = model(**{k: v[row : row + 1, :length] for k, v in inputs.items()})
            torch.testing.assert_close(alone.logits[0], together.logits[row])
            torch.testing.assert_close(alone.embedding[0], together.embedding[row])

    def test_every_parameter_gets_a_gradient(
        self, folders: dict[str, Path], architecture: str
    ) -> None:
        """A parameter without one would stop training on several processes."""
        model = _model(folders[architecture]).train()
        model.freeze_all_but(model.exits, encoder=True)
        logits = model(**_inputs(architecture)).logits
        joint_loss(logits, torch.tensor([0, 1, 2])).sum().backward()  # type: ignore[no-untyped-call]
        learning = {name for name, value in model.named_parameters() if value.requires_grad}
        moved = {name for name, value in model.named_parameters() if value.grad is not None}
        assert learning == moved
        fixed = {name for name, _ in model.named_parameters()} - learning
        assert all("embed_positions" in name for name in fixed)  # RoFormer's table of sines

    @torch.inference_mode()
    def test_the_longest_text_that_it_says_it_takes_goes_through_and_no_longer_one(
        self, folders: dict[str, Path], architecture: str
    ) -> None:
        model = _model(folders[architecture])
        limit = token_limit(model.encoder, 100)
        assert model(**_inputs(architecture, (limit,))).logits.isfinite().all()
        if architecture in UNBOUNDED:
            assert limit == 100
        else:
            assert limit == POSITIONS - (2 if architecture in PADS else 0)
            assert token_limit(model.encoder, 9) == 9
            with pytest.raises((IndexError, RuntimeError)):
                model(**_inputs(architecture, (limit + 1,)))


class TestExits:
    @torch.inference_mode()
    def test_tiers_may_share_a_layer(self, folders: dict[str, Path]) -> None:
        same_edge = _model(folders["bert"], exits=(2, 2, 4))
        assert same_edge.exits == (2, 4)
        assert list(same_edge.config.tiers) == [2, 2, 4]
        same_cloud = _model(folders["bert"], exits=(1, 4, 4))
        assert same_cloud.exits == (1, 4)
        only = _model(folders["bert"], exits=(4,))
        assert list(only.config.tiers) == [4, 4, 4]
        assert only(**_inputs("bert")).logits.shape == (3, 1, CLASSES)

    @pytest.mark.parametrize(
        ("exits", "word"),
        [
            ((2, 1, 4), "shallow to deep"),
            ((1, 2, 9), "layers 1 to 4"),
            ((0, 2, 4), "layers 1 to 4"),
            ((1, 2, 3), "last layer, 4"),
            ((), "shallow to deep"),
        ],
    )
    def test_exits_that_do_not_fit_are_refused(
        self, folders: dict[str, Path], exits: tuple[int, ...], word: str
    ) -> None:
        with pytest.raises(ConfigError, match=word):
            _model(folders["bert"], exits=exits)

    def test_cutting_where_there_is_no_exit_is_refused(self, folders: dict[str, Path]) -> None:
        with pytest.raises(ConfigError, match=r"layer 3 has none.*\[1, 2, 4\]"):
            _model(folders["bert"]).truncate(3)

    @torch.inference_mode()
    def test_a_truncated_model_shares_no_weight(self, folders: dict[str, Path]) -> None:
        model, inputs = _model(folders["bert"]), _inputs("bert")
        before = model(**inputs).logits
        for parameter in model.truncate(2).parameters():
            parameter.zero_()
        assert torch.equal(model(**inputs).logits, before)
        assert list(model.truncate(2).config.tiers) == [1, 2, 2]
        assert list(model.config.tiers) == [1, 2, 4]

    def test_dropout_stands_before_the_exits_in_training_only(
        self, folders: dict[str, Path]
    ) -> None:
        model, inputs = _model(folders["bert"], head_dropout=0.9), _inputs("bert")
        model.encoder.eval()
        with torch.inference_mode():
            assert torch.equal(model(**inputs).logits, model(**inputs).logits)
            model.dropout.train()
            assert not torch.equal(model(**inputs).logits, model(**inputs).logits)


class TestPooling:
    def test_each_way_of_pooling_on_numbers(self) -> None:
        hidden = torch.tensor([[[1.0, -8.0], [3.0, -2.0], [90.0, 90.0]]])
        mask = torch.tensor([[1, 1, 0]])
        assert pool(hidden, mask, "cls").tolist() == [[1.0, -8.0]]
        assert pool(hidden, mask, "mean").tolist() == [[2.0, -5.0]]
        assert pool(hidden, mask, "max").tolist() == [[3.0, -2.0]]

    @torch.inference_mode()
    def test_head_and_embedding_pooling_are_taken_from_the_configuration(
        self, folders: dict[str, Path]
    ) -> None:
        inputs = _inputs("bert")
        model = _model(folders["bert"], head_pooling="cls", embedding_pooling="max")
        output, hidden = model(**inputs), _layer_outputs(model, inputs)
        torch.testing.assert_close(output.logits[:, 0], model.heads["1"](hidden[0][:, 0]))
        words = _words(model, inputs["input_ids"])
        assert torch.equal(output.embedding[1], words[1, :5].amax(dim=0))


class TestJointLoss:
    def test_it_is_the_sum_of_the_exits_cross_entropies(self) -> None:
        """Equation 3 by hand: two samples, three exits, two classes."""
        odds = torch.tensor([[3.0, 1.0, 1 / 3], [1.0, 9.0, 1.0]])  # of class 1
        logits = torch.stack([torch.zeros_like(odds), odds.log()], dim=-1)
        loss = joint_loss(logits, torch.tensor([1, 0]))
        first = -math.log(3 / 4) - math.log(1 / 2) - math.log(1 / 4)
        second = -math.log(1 / 2) - math.log(1 / 10) - math.log(1 / 2)
        torch.testing.assert_close(loss, torch.tensor([first, second]))

    def test_it_agrees_with_a_sum_over_the_exits(self) -> None:
        rng = torch.Generator().manual_seed(0)
        logits = torch.randn(5, 3, 4, generator=rng)
        labels = torch.tensor([0, 3, 1, 1, 2])
        by_exit = [
            nn.functional.cross_entropy(logits[:, x], labels, reduction="none") for x in range(3)
        ]
        torch.testing.assert_close(joint_loss(logits, labels), torch.stack(by_exit).sum(dim=0))
        weighted = 0.5 * by_exit[0] + 0.0 * by_exit[1] + 2.0 * by_exit[2]
        torch.testing.assert_close(joint_loss(logits, labels, (0.5, 0.0, 2.0)), weighted)


def _save_other(folder: Path, kind: str) -> None:
    """A tiny encoder of a class that is not among the tested."""
    encoder = getattr(transformers, kind)
    shape = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
    sizes = {"num_hidden_layers": 2, "max_position_embeddings": 40, "vocab_size": 50}
    narrow = {"embedding_size": 16, "q_groups": 1, "k_groups": 1, "v_groups": 1}
    groups = narrow if kind == "SqueezeBertModel" else {}
    encoder(encoder.config_class(**shape, **sizes, **groups)).save_pretrained(folder)


@pytest.mark.parametrize("kind", ["SqueezeBertModel", "LayoutLMModel"])
def test_an_encoder_that_calls_its_pooler_unasked(tmp_path: Path, kind: str) -> None:
    _save_other(tmp_path, kind)
    model = MultiExitClassifier.from_backbone(tmp_path, labels=NAMES)
    assert token_limit(model.encoder, 9) == 9
    assert not any("pooler" in name for name in model.state_dict())


class TestEncodersThatAreRefused:
    def test_one_with_two_lists_of_layers(self, tmp_path: Path) -> None:
        from transformers import BartConfig, BartModel

        shape = {"d_model": 16, "vocab_size": 50, "max_position_embeddings": 40}
        heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
        sizes = {"encoder_layers": 2, "decoder_layers": 2}
        width = {"encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
        BartModel(BartConfig(**shape, **heads, **sizes, **width)).save_pretrained(tmp_path)
        with pytest.raises(ConfigError, match="has 2 lists of 2 layers"):
            MultiExitClassifier.from_backbone(tmp_path, labels=NAMES)

    def test_a_folder_without_one(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"cannot load the backbone: .* no config\.json"):
            MultiExitClassifier.from_backbone(tmp_path, labels=NAMES)

    @pytest.mark.parametrize("kind", ["CanineModel", "IBertModel"])
    def test_one_without_a_plain_table_of_words(self, tmp_path: Path, kind: str) -> None:
        """CANINE hashes characters, I-BERT's table rounds what it looks up."""
        _save_other(tmp_path, kind)
        model = MultiExitClassifier.from_backbone(tmp_path, labels=NAMES)
        with pytest.raises(ConfigError, match=f"{kind} has no table with a row for every token"):
            token_limit(model.encoder, 9)

    def test_one_that_cannot_be_run(self, folders: dict[str, Path]) -> None:
        """Whatever it raises."""
        encoder = _model(folders["bert"]).encoder
        encoder.encoder = None
        with pytest.raises(ConfigError, match=r"the encoder BertModel cannot be run \(.*NoneType"):
            token_limit(encoder, 9)

    def test_one_that_calls_its_layers_past_their_hooks(
        self, tmp_path: Path, folders: dict[str, Path]
    ) -> None:
        """SqueezeBERT: neither a clock nor a bottleneck would be reached."""
        _save_other(tmp_path, "SqueezeBertModel")
        model = MultiExitClassifier.from_backbone(tmp_path, labels=NAMES)
        with pytest.raises(ConfigError, match="SqueezeBertModel calls its layers past"):
            hooked_layers(model.encoder)
        encoder = _model(folders["bert"]).encoder
        assert hooked_layers(encoder) is layer_list(encoder)

    def test_an_albert_of_several_groups(self, tmp_path: Path) -> None:
        """Cutting it would give its layers other weights."""
        save_encoder(tmp_path, "albert", 4, num_hidden_groups=2)
        with pytest.raises(ConfigError, match="share one set of weights, got 2 groups of 1"):
            MultiExitClassifier.from_backbone(tmp_path, labels=NAMES)

    def test_shared_layers_where_each_is_wanted_by_itself(self, folders: dict[str, Path]) -> None:
        with pytest.raises(ConfigError, match="can be trained and exported, but"):
            layer_list(_model(folders["albert"]).encoder)
