"""The parts that a phone runs, as torch exports them: what they say, and at what lengths."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dimec.base.errors import ConfigError
from dimec.training.export.phone.cutting import PhonePart, cut_graph, phone_parts
from dimec.training.model import MultiExitClassifier
from support.encoders import WORDS, save_encoder

EXITS, MOST = (1, 2), 30
LENGTHS = (2, 3, 9, MOST)
# Pooling is no part of an encoder; between them these have all kinds of it.
KINDS: dict[str, dict[str, Any]] = {
    "bert": {},
    "mpnet": {"head_pooling": "cls", "embedding_pooling": "max"},
    "roberta": {"head_pooling": "max"},
}


def _model(folder: Path, kind: str, **options: Any) -> tuple[MultiExitClassifier, Any]:
    """A model, and the same to be traced, which changes it."""
    save_encoder(folder / "encoder", kind)
    torch.manual_seed(1)
    model = MultiExitClassifier.from_backbone(
        folder / "encoder", labels=("a", "b", "c"), exits=EXITS, tiers=(1, 1, 2), **options
    ).eval()
    with torch.no_grad():
        for head in model.heads.values():
            head.weight.mul_(20)  # so that the classes differ in probability
    model.save_pretrained(folder / "model")
    traced = MultiExitClassifier.from_pretrained(folder / "model", attn_implementation="eager")
    return model, traced.eval()


def _said(parts: Sequence[PhonePart], given: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Pooled embedding and the probabilities at each exit, of parts one behind the other."""
    embed, *segments = (part.program.module() for part in parts)
    hidden, pooled = embed(*given)
    said = []
    for segment in segments:
        probabilities, *rest = segment(hidden)
        said.append(probabilities)
        hidden = rest[0] if rest else hidden
    return pooled, said


@pytest.mark.parametrize("kind", KINDS)
def test_parts_one_behind_the_other_say_what_the_model_says(tmp_path: Path, kind: str) -> None:
    model, traced = _model(tmp_path, kind, **KINDS[kind])
    parts = phone_parts(traced, ("input_ids",), EXITS, MOST)
    assert [(part.file, part.start, part.stop) for part in parts] == [
        ("embed.pte", 0, 0),
        ("layers-1.pte", 0, 1),
        ("layers-2.pte", 1, 2),
    ]
    assert parts[1].outputs == ("probabilities", "hidden_out")
    assert parts[2].outputs == ("probabilities",)
    with torch.no_grad():
        for tokens in LENGTHS:
            ids = torch.randint(5, WORDS, (1, tokens))
            pooled, said = _said(parts, [ids])
            wanted = model(ids, torch.ones_like(ids))
            torch.testing.assert_close(pooled, wanted.embedding, atol=1e-5, rtol=0)
            found = torch.stack(said, dim=1)
            torch.testing.assert_close(found, wanted.logits.softmax(-1), atol=1e-5, rtol=0)


def test_token_types_are_an_input_where_they_say_something(tmp_path: Path) -> None:
    model, traced = _model(tmp_path, "bert")
    parts = phone_parts(traced, ("input_ids", "token_type_ids"), (2,), MOST)
    assert [part.file for part in parts] == ["embed.pte", "layers-2.pte"]
    assert parts[0].inputs == ("input_ids", "token_type_ids")
    ids = torch.randint(5, WORDS, (1, 9))
    types = (torch.arange(9) > 4).long()[None]
    with torch.no_grad():
        wanted = model(ids, torch.ones_like(ids), types).logits[:, -1].softmax(-1)
        torch.testing.assert_close(_said(parts, [ids, types])[1][0], wanted, atol=1e-5, rtol=0)
        others = _said(parts, [ids, torch.zeros_like(types)])[1][0]
    assert (others - wanted).abs().max() > 1e-3


def test_an_encoder_that_torch_cannot_export_is_one_line(tmp_path: Path) -> None:
    _, traced = _model(tmp_path, "bert")

    def forward(*_: Any, **__: Any) -> None:
        raise NotImplementedError("attention of the fourth kind")

    traced.encoder.forward = forward
    with pytest.raises(ConfigError, match=r"cannot export the encoder BertModel for a phone"):
        phone_parts(traced, ("input_ids",), EXITS, MOST)


class _Again(nn.Module):
    """Reads its ids a second time, behind what would be the embedding layer."""

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        hidden = ids.float() * 2
        return hidden, hidden + ids


def test_a_part_that_needs_what_it_is_not_given_is_refused() -> None:
    traced = torch.export.export(_Again(), (torch.ones(1, 3, dtype=torch.int64),)).module()
    hidden, end = list(traced.graph.nodes)[-1].args[0]
    with pytest.raises(ConfigError, match="reads its token ids again"):
        cut_graph(traced, {hidden: "hidden"}, [end])
