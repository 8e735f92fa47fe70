"""What is tried before the first epoch, so that nothing fails after the last."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch

from dimec.base.errors import ConfigError, MissingExtraError, option
from dimec.base.progress import Progress
from dimec.bundle.graphs import MASK
from dimec.training.batching import Encoded
from dimec.training.encoders import token_limit
from dimec.training.export.graphs import require_exporter, trace_graph
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
    rows, wanted = encoder.get_input_embeddings().num_embeddings, highest_id(tokenizer) + 1
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
    rows, wanted = encoder.get_input_embeddings().num_embeddings, highest_id(tokenizer) + 1
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


def try_export(model: MultiExitClassifier, max_tokens: int, progress: Progress) -> None:
    """Try to export an encoder of a kind that is not among the tested; say so if it cannot be.

    Training goes on all the same: a ledger needs no bundle. It takes a few seconds.
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
        _tried[kind] = _fault(model, max_tokens)
    if (fault := _tried[kind]) is not None:
        progress.say(f"warning: dimec export will refuse this run: {fault}")


def _fault(model: MultiExitClassifier, max_tokens: int) -> str | None:
    # Neither the weights nor the random state of what is to be trained may change.
    with torch.random.fork_rng(devices=[]):
        twin = copy.deepcopy(model).eval()
        try:
            twin.encoder.set_attn_implementation("eager")
            trace_graph(twin, ("input_ids", MASK), token_limit(twin.encoder, max_tokens))
        except ConfigError as error:
            return str(error)
        except ValueError as error:  # it has no plain attention
            return f"the encoder {type(twin.encoder).__name__} has no attention to export: {error}"
    return None
