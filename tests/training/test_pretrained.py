"""Every weight comes from its file, or the encoder is refused with the names of the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from dimec.base.errors import ConfigError
from dimec.base.progress import NoProgress
from dimec.training.pretrained import load_encoder
from support.encoders import make_config, make_encoder, save_encoder


class Notes(NoProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def _rename(folder: Path, new: Callable[[str], str]) -> None:
    path = folder / "model.safetensors"
    weights = {new(name): value for name, value in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})


def _configure(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _refusal(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_encoder(str(folder))
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 300 + len(str(folder))
    return message


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "t5", "modernbert"])
@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.module.", "auto_model."])
def test_a_wrappers_prefix_is_taken_off_and_said(tmp_path: Path, kind: str, prefix: str) -> None:
    save_encoder(tmp_path, kind)
    _rename(tmp_path, lambda name: prefix + name)
    notes = Notes()
    loaded = load_encoder(str(tmp_path), notes)
    expected = make_encoder(kind).state_dict()
    got = loaded.state_dict()
    assert all(torch.equal(got[name], value) for name, value in expected.items())
    assert len(notes.lines) == 1
    assert repr(prefix) in notes.lines[0]


def test_a_prefix_before_the_encoders_own_name(tmp_path: Path) -> None:
    save_encoder(tmp_path, "bert")
    _rename(tmp_path, lambda name: f"module.bert.{name}")
    loaded = load_encoder(str(tmp_path)).state_dict()
    expected = make_encoder("bert").state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in expected.items())


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        ("bert", "BertForSequenceClassification"),
        ("bert", "BertForMaskedLM"),
        ("bert", "BertForPreTraining"),
        ("roberta", "RobertaForMaskedLM"),
        ("distilbert", "DistilBertForSequenceClassification"),
        ("electra", "ElectraForPreTraining"),
        ("mpnet", "MPNetForMaskedLM"),
        ("deberta-v2", "DebertaV2ForMaskedLM"),
        ("modernbert", "ModernBertForMaskedLM"),
        ("albert", "AlbertForMaskedLM"),
        ("t5", "T5ForConditionalGeneration"),
    ],
)
def test_heads_and_poolers_may_be_missing_or_too_many(tmp_path: Path, kind: str, head: str) -> None:
    torch.manual_seed(2)
    whole = getattr(hf, head)(make_config(kind))
    whole.save_pretrained(tmp_path)
    notes = Notes()
    loaded = load_encoder(str(tmp_path), notes)
    assert notes.lines == []
    body = whole.state_dict()
    base = f"{whole.base_model_prefix}."
    for name, value in loaded.state_dict().items():
        if "pooler" not in name:
            assert torch.equal(value, body.get(base + name, body.get(name))), name


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "electra", "deberta-v2", "t5"])
@pytest.mark.parametrize(("layers", "words"), [(5, "missing"), (2, "too many")])
def test_another_number_of_layers_than_the_configuration_says(
    tmp_path: Path, kind: str, layers: int, words: str
) -> None:
    save_encoder(tmp_path, kind, 3)
    name = {"distilbert": "n_layers", "t5": "num_layers"}.get(kind, "num_hidden_layers")
    _configure(tmp_path, **{name: layers})
    message = _refusal(tmp_path)
    assert words in message
    assert " more)" in message  # a few are named, the others are counted


def test_weights_of_another_shape(tmp_path: Path) -> None:
    save_encoder(tmp_path, "bert")
    _configure(tmp_path, vocab_size=70)
    message = _refusal(tmp_path)
    assert "1 of another shape (embeddings.word_embeddings.weight (60, 16)→(70, 16))" in message


def test_an_unknown_prefix_and_a_single_missing_weight(tmp_path: Path) -> None:
    save_encoder(tmp_path / "prefix", "bert")
    _rename(tmp_path / "prefix", lambda name: f"student.{name}")
    message = _refusal(tmp_path / "prefix")
    assert "missing (embeddings.LayerNorm.bias" in message
    assert message.endswith("give weights without the student. before their names")
    save_encoder(tmp_path / "one", "bert")
    _rename(tmp_path / "one", lambda n: n.replace("layer.1.output.dense.bias", "lost"))
    message = _refusal(tmp_path / "one")
    assert "1 missing" in message
    assert "encoder.layer.1.output.dense.bias" in message


class _Trap:
    """What a pickle may do when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_pickled_weights_are_read_as_tensors_and_never_run(tmp_path: Path) -> None:
    plain = save_encoder(tmp_path / "plain", "bert")
    torch.save(load_file(plain / "model.safetensors"), plain / "pytorch_model.bin")
    (plain / "model.safetensors").unlink()
    expected = make_encoder("bert").state_dict()
    got = load_encoder(str(plain)).state_dict()
    assert all(torch.equal(got[name], value) for name, value in expected.items())

    trap = save_encoder(tmp_path / "trap", "bert")
    torch.save({"a": _Trap(tmp_path / "mark")}, trap / "pytorch_model.bin")
    (trap / "model.safetensors").unlink()
    assert "never run: save them as model.safetensors" in _refusal(trap)
    (trap / "pytorch_model.bin").write_bytes(b"\x80\x02}q\x00.")
    _refusal(trap)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "nonsense"},
        {"num_hidden_layers": "three"},
        {"num_hidden_layers": -1},
        {"num_attention_heads": 3},
        {"hidden_size": 32},
        {"hidden_act": "no-such"},
    ],
    ids=str,
)
def test_a_configuration_that_makes_no_sense_is_one_line(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    save_encoder(tmp_path, "bert")
    _configure(tmp_path, **changes)
    _refusal(tmp_path)
