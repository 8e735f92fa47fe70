"""The bundle: one folder a tier, each with all that this tier needs and nothing else.

::

    manifest.json            the whole: tiers, provenance, sha256 of every file below
    mobile/manifest.json     each tier's folder can be moved alone, so it has a manifest of its own
    mobile/embed.onnx        token ids → embeddings, and their pooled mean (what the router sees)
    mobile/layers-1.onnx …   hidden states → those behind the next exit, and its probabilities;
                             the last, layers-M.onnx, ends at exit m
    mobile/tokenizer.json
    mobile/policy.json       where an input goes (:mod:`dimec.policies.kinds`), with its arrays
    mobile/policy.safetensors
    mobile/exit0.safetensors the classifier on the embedding layer (:mod:`dimec.bundle.exit0`), if
                             the run has one
    edge/manifest.json, edge/model.onnx
    cloud/manifest.json, cloud/model.onnx
    golden.json              what all of it makes of some inputs (:mod:`dimec.bundle.golden`)

These are the paper's three tiers; a tier's folder has the name of the tier. The first is the
device: it has the tokenizer, the policy, and layers that are cut. Every other has one graph to be
served, and a ``tokenizer.json`` of its own where its model has another tokenizer than the device's:
then it is sent texts, and not token ids.

Beside each ``.onnx`` lies its ``.onnx.data`` with the large tensors, one ``layers.onnx.data`` for
all of the device's layers. onnxruntime maps them into memory in place of copying them: those of a
private copy, see :mod:`dimec.base.held`.

Nothing in a bundle is a pickle. A manifest names plain files in its own folder only, each with its
size and hash, and both are checked before a file is used. A graph may read no file beside it that
the manifest does not name.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)

from dimec.base.errors import (
    ConfigError,
)
from dimec.bundle.exit0 import EXIT0, LARGEST_FILE
from dimec.tiers.deployment import Deployment
from dimec.tiers.tier import Tier

MANIFEST = "manifest.json"
GOLDEN = "golden.json"
# Far beyond any text classifier, and few enough that no manifest can ask for all the memory.
_MOST_LAYERS, _MOST_TOKENS, _MOST_WIDE, _MOST_WORDS = 10_000, 1 << 17, 1 << 16, 1 << 24

Precision = Literal["fp32", "int8"]
# What a tier is sent: token ids of the device's tokenizer, or the text, which it tokenises itself.
Takes = Literal["tokens", "text"]
Digest = Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{64}\z")]
# 2: the device's layers are cut after each exit that it may stop at. 3: any tiers, any policy.
# 4: a tier may have a model and a tokenizer of its own.
FORMAT: Literal[4] = 4
_MOST_TIERS = 16
Layer = Annotated[int, Field(ge=1, le=_MOST_LAYERS)]
Version = Annotated[str, StringConstraints(pattern=r"\A[1-9][0-9]{0,17}\z")]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _refuse(problems: Mapping[str, bool]) -> None:
    """Raise ValueError with the first problem that is there."""
    for problem, there in problems.items():
        if there:
            raise ValueError(problem)


class FileRecord(Frozen):
    """What a file of a bundle must be."""

    sha256: Digest
    bytes: int = Field(ge=0)


class TierRecord(Frozen):
    """A tier as :class:`dimec.tiers.tier.Tier` has it, its version and its wire."""

    name: str
    layer: Layer
    layer_price: float
    send_price: float
    visit_price: float
    source: str = Field("", max_length=64)
    version: Version
    takes: Takes = "tokens"

    @property
    def tier(self) -> Tier:
        """The tier itself.

        Raises:
            ConfigError: no tier can be so.
        """
        return Tier(**self.model_dump(exclude={"version", "takes"}))


class Shared(Frozen):
    """What the manifests of a bundle and of its tiers have in common."""

    tiers: tuple[TierRecord, ...] = Field(min_length=1, max_length=_MOST_TIERS)
    labels: tuple[str, ...] = Field(min_length=1)
    provenance: dict[str, JsonValue]
    files: dict[str, FileRecord]

    @model_validator(mode="after")
    def _check_shared(self) -> Self:
        _refuse({"labels: two are the same": len(set(self.labels)) < len(self.labels)})
        try:
            # NaN, an infinity such as 1e999, or half a surrogate pair: no answer could hold it.
            whole = [self.labels, self.provenance]
            json.dumps(whole, allow_nan=False, ensure_ascii=False).encode("utf-8")
        except (ValueError, RecursionError) as error:
            raise ValueError(f"labels and provenance: no text or JSON ({error})") from None
        try:
            _ = self.deployment
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def deployment(self) -> Deployment:
        """The tiers with their prices, in order."""
        return Deployment(tuple(record.tier for record in self.tiers))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the tiers, in order."""
        return tuple(record.name for record in self.tiers)

    @property
    def exits(self) -> tuple[int, ...]:
        """The layer at whose exit each tier answers."""
        return tuple(record.layer for record in self.tiers)

    @property
    def versions(self) -> dict[str, str]:
        """The version of every tier of the same export, by name."""
        return {record.name: record.version for record in self.tiers}

    def model_of(self, tier: str) -> JsonValue:
        """Fingerprint of the model behind a tier; None where the bundle does not say."""
        return self._own(tier, "models") or self.provenance.get("model")

    def backbone_of(self, tier: str) -> JsonValue:
        """Name of the encoder behind a tier; None where the bundle does not say."""
        return self._own(tier, "backbones") or self.provenance.get("backbone")

    def _own(self, tier: str, told: str) -> JsonValue:
        """What is told of the model of a tier's own."""
        models = self.provenance.get(told)
        source = self.tiers[self.names.index(tier)].source
        return models.get(source) if isinstance(models, dict) else None


class TierManifest(Shared):
    """What one tier's folder holds.

    Attributes:
        tier: the name of this tier.
        tiers: of the whole bundle, each with its version, see :func:`tier_version`, and what it
            is sent. Where tiers have models of their own, the rest is of this tier's model.
        precision: of the graphs' weights.
        labels: names of the C classes.
        inputs: names of the tensors that a tier's model takes, each (B, T) int64.
        vocabulary: token ids are 0 … vocabulary - 1.
        max_tokens: the longest input, in tokens.
        padding: the token id that fills up a batch.
        pairs: whether an input is a pair of texts.
        width: D, the width of an embedding.
        provenance: model fingerprint, task, backbone, versions of packages, date. Where tiers have
            models of their own, ``model`` is one digest of all, ``models`` and ``backbones`` say
            those of each source, and ``sources`` the model of each of the ``exits``.
        files: name → size and hash of every other file in the folder.
        segments: the layers after which the first tier's layers are cut, ascending, the last its
            exit; none on a tier that runs as a whole.
    """

    kind: Literal["dimec tier"] = "dimec tier"
    format: Literal[4] = FORMAT
    tier: str
    precision: Precision
    inputs: tuple[Literal["input_ids", "attention_mask", "token_type_ids"], ...]
    vocabulary: int = Field(ge=1, le=_MOST_WORDS)
    max_tokens: int = Field(ge=1, le=_MOST_TOKENS)
    padding: int = Field(ge=0)
    pairs: bool
    width: int = Field(ge=1, le=_MOST_WIDE)
    segments: tuple[Layer, ...] = ()

    @model_validator(mode="after")
    def _check_tier(self) -> Self:
        _refuse({"tier: it must be one of the tiers": self.tier not in self.names})
        problems = {
            "padding: it must be below the vocabulary": self.padding >= self.vocabulary,
            "inputs: two are the same": len(set(self.inputs)) < len(self.inputs),
            "segments: the first tier has them, and no other": (
                bool(self.segments) != self.is_first
            ),
            "segments: they must go from shallow to deep, up to the exit": (
                bool(self.segments)
                and (
                    any(b <= a for a, b in itertools.pairwise(self.segments))
                    or self.segments[-1] != self.exit
                )
            ),
        }
        _refuse(problems)
        _refuse(
            {
                "takes: the first tier makes tokens of texts itself": (
                    self.is_first and self.takes == "text"
                ),
                "files: a tier that takes texts needs a tokenizer.json": (
                    self.takes == "text" and "tokenizer.json" not in self.files
                ),
            }
        )
        if (exit0 := self.files.get(EXIT0)) is not None:
            _refuse(
                {
                    f"files: {EXIT0} is of the first tier, and of no other": not self.is_first,
                    f"files: {EXIT0} is larger than any": exit0.bytes > LARGEST_FILE,
                }
            )
        return self

    @property
    def exit0(self) -> bool:
        """Whether this tier can answer at layer 0, from the embedding layer alone."""
        return EXIT0 in self.files

    @property
    def is_first(self) -> bool:
        """Whether this is the device, where inputs arrive."""
        return self.tier == self.names[0]

    @property
    def takes(self) -> Takes:
        """What this tier is sent; the first tier, where inputs arrive, tokenises them itself."""
        return self.tiers[self.names.index(self.tier)].takes

    @property
    def version(self) -> str:
        """Of the function that this tier computes."""
        return self.versions[self.tier]

    @property
    def exit(self) -> int:
        """The layer whose classifier answers here."""
        return self.exits[self.names.index(self.tier)]

    @property
    def graphs(self) -> tuple[str, ...]:
        """Names of the graph files, in the order in which they run."""
        return graph_names(self.segments)


class BundleManifest(Shared):
    """What a whole bundle holds; ``files`` has ``golden.json``, and paths ``tier/name``."""

    kind: Literal["dimec bundle"] = "dimec bundle"
    format: Literal[4] = FORMAT


def graph_names(segments: Sequence[int]) -> tuple[str, ...]:
    """Names of a tier's graph files, in the order in which they run.

    Args:
        segments: see :class:`TierManifest`.
    """
    if not segments:
        return ("model.onnx",)
    return ("embed.onnx", *(f"layers-{exit_}.onnx" for exit_ in segments))


def tier_version(model: str, exit_: int, precision: str) -> str:
    """The version of a tier's model: the same for the same function, another for any other.

    Decimal digits below 2^48, since Triton takes whole numbers only as versions.

    Args:
        model: fingerprint of the trained model.
        exit_: the layer whose classifier answers.
        precision: ``fp32`` or ``int8``.
    """
    digest = hashlib.sha256(json.dumps([model, exit_, precision]).encode()).hexdigest()
    return str(int(digest[:12], 16) + 1)
