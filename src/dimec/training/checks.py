"""What is tried before the first epoch, so that nothing fails after the last."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dimec.base.errors import ConfigError, MissingExtraError, StorageError, option
from dimec.base.progress import Progress
from dimec.base.storage import storage_errors
from dimec.bundle.graphs import MASK, Graph, run_segments
from dimec.cartography import softmax
from dimec.data.backbones import short
from dimec.training.batching import Encoded
from dimec.training.encoders import token_limit, word_table
from dimec.training.export.cuts import cut_embeddings, cut_segments, save_graphs
from dimec.training.export.graphs import graph_inputs, require_exporter, trace_graph
from dimec.training.export.verdict import TOLERANCE
from dimec.training.inference import predict
from dimec.training.model import MultiExitClassifier
from dimec.training.ready import RunModel

# Kinds of encoders whose export is among the tests; any other's is tried before training.
TESTED_KINDS = (
    "albert",
    "bert",
    "camembert",
    "deberta",
    "deberta-v2",
    "distilbert",
    "electra",
    "mobilebert",
    "modernbert",
    "mpnet",
    "roberta",
    "roformer",
    "t5",
    "xlm-roberta",
)
_tried: dict[str, str | None] = {}  # a configuration → why it cannot be exported; a grid asks often


def highest_id(tokenizer: Any) -> int:
    """The highest id that a tokenizer can give, added tokens and padding among them."""
    return max(map(int, (*tokenizer.get_vocab().values(), tokenizer.pad_token_id)))


def fit_vocabulary(model: MultiExitClassifier, tokenizer: Any, progress: Progress) -> None:
    """Give the encoder's table of words a row for every token that was added to the tokenizer.

    As transformers' ``resize_token_embeddings`` does; the rows are drawn about the mean of the
    others and learn in training.

    Raises:
        ConfigError: the tokenizer's own vocabulary, without added tokens, is beyond the table.
    """
    encoder: Any = model.encoder
    rows, wanted = word_table(encoder).num_embeddings, highest_id(tokenizer) + 1
    if wanted <= rows:
        return
    if tokenizer.vocab_size > rows:
        raise ConfigError(
            f"the tokenizer has {tokenizer.vocab_size:,} words, the encoder's table {rows:,}; they "
            "do not belong together: save the encoder's own tokenizer beside it"
        )
    encoder.resize_token_embeddings(wanted)
    progress.say(
        f"the tokenizer has {wanted - rows:,} added tokens that the encoder's table of {rows:,} "
        "words lacks; the table was grown, and they are learnt in training"
    )


def check_vocabulary(model: RunModel, tokenizer: Any) -> None:
    """Refuse a trained model whose tokenizer gives ids that its table lacks, as earlier versions'.

    Raises:
        ConfigError: there are such ids.
    """
    encoder: Any = model.encoder
    rows, wanted = word_table(encoder).num_embeddings, highest_id(tokenizer) + 1
    if wanted > rows:
        raise ConfigError(
            f"the tokenizer gives {wanted:,} ids, the model's table of words has {rows:,}: texts "
            "with added tokens could not be answered; train again with --overwrite, which grows "
            "the table"
        )


def check_lengths(encoded: Mapping[str, Encoded], model: RunModel, max_tokens: int) -> None:
    """Run a text as long as the longest.

    Raises:
        ConfigError: the encoder has no positions for it.
    """
    longest = max(int(part.lengths.max()) for part in encoded.values())
    if (limit := token_limit(model.encoder, longest)) < longest:
        raise ConfigError(
            f"the encoder takes texts of at most {limit} tokens, the longest has {longest} where "
            f"{option('max_tokens')} is {max_tokens}; use {option('max_tokens', limit)}"
        )


def try_export(
    model: MultiExitClassifier,
    encoded: Encoded,
    pairs: bool,
    max_tokens: int,
    progress: Progress,
) -> None:
    """Try to export an encoder of a kind that is not among the tested; say so if it cannot be.

    The graphs are made, cut and run, as those of a bundle are. Training goes on all the same: a
    ledger needs no bundle. It takes a few seconds.

    Args:
        model: before its training.
        encoded: texts that it will see.
        pairs: whether they are pairs of texts.
        max_tokens: the longest text.
        progress: told what is tried, and of what is wrong.
    """
    if model.config.encoder.model_type in TESTED_KINDS:
        return
    try:
        require_exporter()
    except MissingExtraError:
        return  # nothing is exported on this machine
    kind = model.config.encoder.to_json_string()
    if kind not in _tried:
        progress.say("trying whether the encoder can be exported")
        _tried[kind] = _fault(model, encoded, pairs, max_tokens)
    if (fault := _tried[kind]) is not None:
        progress.say(f"warning: dimec export will refuse this run: {fault}")


def _fault(
    model: MultiExitClassifier, encoded: Encoded, pairs: bool, max_tokens: int
) -> str | None:
    """Why the model cannot be exported, in a line; None where nothing speaks against it."""
    names, kind = graph_inputs(encoded, pairs), type(model.encoder).__name__
    # Neither the weights nor the random state of what is to be trained may change.
    with torch.random.fork_rng(devices=[]):
        twin = copy.deepcopy(model).eval()
        try:
            twin.encoder.set_attn_implementation("eager")
        except ValueError as error:  # it has no plain attention
            return f"the encoder {kind} has no attention to export: {error}"
        try:
            whole = trace_graph(twin, names, token_limit(twin.encoder, max_tokens))
            worst = _difference(model, whole, encoded, names)
        except ConfigError as error:
            return str(error)
        except StorageError:
            return None  # there is no place to try it
        except Exception as error:  # of whatever architecture, whatever its graphs lack
            return f"the graph of the encoder {kind} cannot be cut into tiers ({short(error, 150)})"
    if worst <= TOLERANCE:
        return None
    return (
        f"the graphs of the encoder {kind} answer otherwise than it does itself, by {worst:.1e} "
        f"where at most {TOLERANCE:.0e} is rounding; its runs give a ledger, but no bundle"
    )


def _difference(
    model: MultiExitClassifier, whole: Any, encoded: Encoded, names: Sequence[str]
) -> float:
    """How far the graphs are from the model on the shortest and the longest of some texts.

    The model gets each by itself, the graphs get both in a batch, where one is padded: an encoder
    that looks at the padding gives other answers.
    """
    rows = np.argsort(encoded.lengths, kind="stable")[[0, -1]]
    said = [predict(model, encoded.take(rows[[place]])) for place in range(len(rows))]
    logits, embeddings = (np.concatenate(part) for part in zip(*said, strict=True))
    batch = encoded.batch(rows, torch.device("cpu"))
    inputs = {name: batch[name].numpy() for name in names}
    parts = [cut_embeddings(whole, names), *cut_segments(whole, model.exits).values()]
    with tempfile.TemporaryDirectory() as folder, storage_errors(Path(folder)):
        paths = [Path(folder) / f"{number}.onnx" for number in range(len(parts))]
        save_graphs(dict(zip(paths, parts, strict=True)), Path(folder) / "weights.data")
        first, *segments = map(Graph, paths)
        hidden, pooled = first(**inputs)
        answers = run_segments(segments, hidden, inputs[MASK])
    off = [np.abs(pooled - embeddings).max()]
    off += [np.abs(got - softmax(logits[:, at])).max() for at, got in enumerate(answers)]
    return float(np.max(off))
