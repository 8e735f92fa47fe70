"""A classifier that somebody else has fine-tuned, taken as it is for a tier of its own."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from dimec.base.errors import ConfigError, CorruptArtefactError
from dimec.base.progress import NoProgress, Progress
from dimec.base.storage import read_json, write_json
from dimec.data.backbones import read_backbone_config, short
from dimec.training.encoders import word_table
from dimec.training.model import (
    MultiExitClassifier,
    MultiExitConfig,
    MultiExitOutput,
    Pooling,
    pool,
)
from dimec.training.pretrained import called, load_classifier
from dimec.training.ready_labels import check_classifier

READY_FILE = "ready.json"
TYPES = "token_type_ids"
_VERSION = 1


@dataclass(frozen=True)
class ReadyConfig:
    """What dimec knows of a ready classifier; the fields that it shares with ``MultiExitConfig``.

    Attributes:
        labels: names of the C classes, in the task's order.
        order: (C,) which of the classifier's outputs each of them is.
        max_tokens: longer texts are cut.
        embedding_pooling: of the embedding layer's output.
        head_pooling: of its hidden states, where a student learns from them. Its own head reads
            what it always read.
        encoder: the classifier's own configuration, of transformers.
    """

    labels: tuple[str, ...]
    order: tuple[int, ...]
    max_tokens: int
    embedding_pooling: Pooling
    head_pooling: Pooling
    encoder: Any

    @property
    def num_labels(self) -> int:
        """C, the number of classes."""
        return len(self.labels)

    @property
    def tiers(self) -> list[int]:
        """The exit of its one tier: its last layer."""
        return [int(self.encoder.num_hidden_layers)]


class ReadyClassifier(nn.Module):
    """An ``AutoModelForSequenceClassification`` that answers as a model with one exit, its last.

    Its probabilities are its own softmax, with the classes in the task's order. It is never
    trained here.

    Args:
        classifier: of transformers.
        config: what goes with it.
    """

    order: Tensor

    def __init__(self, classifier: Any, config: ReadyConfig) -> None:
        super().__init__()
        self.classifier = classifier
        self.config = config
        self.register_buffer("order", torch.tensor(config.order), persistent=False)
        # Not in every architecture; transformers' own training leaves them out there, too.
        self.takes_types = TYPES in inspect.signature(classifier.forward).parameters
        self.eval()

    @classmethod
    def of(
        cls,
        source: str,
        *,
        labels: Sequence[str],
        max_tokens: int,
        embedding_pooling: Pooling = "mean",
        head_pooling: Pooling = "mean",
        progress: Progress | None = None,
    ) -> ReadyClassifier:
        """Take a fine-tuned classifier.

        Args:
            source: its folder, or its name on the hub.
            labels: names of the task's C classes, in the task's order.
            max_tokens: longer texts are cut.
            embedding_pooling, head_pooling: see :class:`ReadyConfig`.
            progress: told where its labels are not simply the task's.

        Raises:
            ConfigError: no such classifier, weights that do not fit it, a head that is not for one
                of several classes, other labels, or an architecture that is not an encoder's.
        """
        progress = progress or NoProgress()
        order = check_classifier(source, labels, progress)
        classifier = load_classifier(source, progress)
        ready = ReadyConfig(
            tuple(labels), order, max_tokens, embedding_pooling, head_pooling, classifier.config
        )
        model = cls(classifier, ready)
        _try(source, model)
        return model

    @classmethod
    def from_pretrained(cls, folder: Path | str, **options: Any) -> ReadyClassifier:
        """What :meth:`save_pretrained` wrote; ``options`` are for transformers.

        Raises:
            ArtefactError, ConfigError: files are missing or damaged.
        """
        again = "train again with --overwrite"
        record = read_json(Path(folder) / READY_FILE, again)
        classifier = load_classifier(str(folder), **options)
        try:
            if not isinstance(record, dict) or record.pop("version", None) != _VERSION:
                raise ValueError(f"expected version {_VERSION}")
            config = TypeAdapter(ReadyConfig).validate_python(record | {"encoder": None})
            if sorted(config.order) != list(range(classifier.config.num_labels)):
                raise ValueError("its order is not one of the classifier's outputs")
        except (ValidationError, ValueError) as error:
            raise CorruptArtefactError(
                f"{Path(folder) / READY_FILE} does not hold what training writes "
                f"({short(error, 80)}); {again}"
            ) from None
        return cls(classifier, replace(config, encoder=classifier.config))

    def save_pretrained(self, folder: Path | str) -> None:
        """The classifier as transformers saves it, and what dimec knows of it in a file beside."""
        self.classifier.save_pretrained(folder)
        record = {name: value for name, value in vars(self.config).items() if name != "encoder"}
        write_json(Path(folder) / READY_FILE, {"version": _VERSION, **record})

    @property
    def encoder(self) -> Any:
        """The classifier without its head."""
        return self.classifier.base_model

    @property
    def exits(self) -> tuple[int, ...]:
        """Its last layer, the only one with a classifier."""
        return tuple(self.config.tiers)

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the classes, in the task's order."""
        return tuple(self.config.labels)

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return next(self.parameters()).device

    def inputs(self, **inputs: Tensor | None) -> dict[str, Tensor]:
        """Those of some inputs that the classifier takes: token types not always."""
        return {
            name: values
            for name, values in inputs.items()
            if values is not None and (self.takes_types or name != TYPES)
        }

    def in_order(self, logits: Tensor) -> Tensor:
        """(B, C) logits in the task's order."""
        if self.config.order == tuple(range(self.config.num_labels)):
            return logits
        return logits[:, self.order]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        exits: Collection[int] | None = None,
    ) -> MultiExitOutput:
        """Run the classifier once.

        Args:
            input_ids: (B, T) token ids.
            attention_mask: (B, T), 1 at real tokens.
            token_type_ids: (B, T), for classifiers that tell the two texts of a pair apart.
            exits: None, or its last layer among them.
        """
        assert exits is None or self.exits[0] in exits
        inputs = self.inputs(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        )
        output = self.classifier(**inputs, output_hidden_states=True)
        embedding = pool(output.hidden_states[0], attention_mask, self.config.embedding_pooling)
        return MultiExitOutput(self.in_order(output.logits).unsqueeze(1), embedding)


# What a run's model may be.
RunModel = MultiExitClassifier | ReadyClassifier


def load_model(folder: Path | str, **options: Any) -> RunModel:
    """The model that a run keeps: trained here, or taken as it was.

    Args:
        folder: a run's ``model/``.
        options: for transformers' ``from_pretrained``, such as ``attn_implementation``.

    Raises:
        ArtefactError, ConfigError: files are missing or damaged.
    """
    kind = read_backbone_config(Path(folder)).get("model_type")
    if kind == MultiExitConfig.model_type:
        model: MultiExitClassifier = MultiExitClassifier.from_pretrained(folder, **options)
        return model
    return ReadyClassifier.from_pretrained(folder, **options)


@torch.inference_mode()
def _try(source: str, model: ReadyClassifier) -> None:
    """Run a batch of two short texts: what cannot be run, or has no embedding layer, shows here."""
    ids = torch.full((2, 2), word_table(model.encoder).num_embeddings - 1)
    try:
        output = model(ids, torch.ones_like(ids))
        shapes = tuple(output.logits.shape), tuple(output.embedding.shape)
        wanted = (2, 1, model.config.num_labels), (2, model.config.encoder.hidden_size)
        if shapes != wanted:
            raise ValueError(f"logits and embeddings of shapes {shapes}, not {wanted}")
    except Exception as error:  # of whatever architecture, whatever it raises
        raise ConfigError(
            f"the classifier {called(source)} ({type(model.classifier).__name__}) cannot be run "
            f"on a batch of texts: {short(error)}; take one of BERT's kind"
        ) from None
