"""A scorer: the folder that worker processes answer or record from, of a run and a policy.

::

    scorer.json              what the models take, where they are cut, files with their sha256
    policy.json, policy.safetensors    where texts are answered; none where a trace is recorded
    exit0.safetensors        where the run has an exit 0 and the policy looks at it
    model-0/tokenizer.json
    model-0/embed.onnx       token ids → embeddings, and their pooled mean
    model-0/layers-2.onnx …  on from there, to each exit that the policy may stop at, or, for a
                             trace, that there is
    model-1/model.onnx …     of tiers with a model of their own: as the first, or whole where it
                             can stop at its last exit only

The tiers of one model share its graphs: offline nothing has to be sent, so the layers that have
run for one tier need not run again for the next. What a path costs is told as ever.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from dimec.base.errors import ConfigError, CorruptArtefactError, shown
from dimec.base.storage import file_sha256, read_json, write_json
from dimec.base.validating import from_file
from dimec.bundle.manifest import FileRecord, Precision
from dimec.policies.base import Adaptable, Policy
from dimec.policies.kinds import POLICY, StoredPolicy
from dimec.policies.step import Site, Steps
from dimec.tiers.deployment import Deployment

SCORER = "scorer.json"
FORMAT: Literal[1] = 1
MADE_BY = "dimec score"
PACKAGES = ("numpy", "onnxruntime", "tokenizers")  # on which the last bits of an answer depend


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PartRecord(_Frozen):
    """One model of a scorer.

    Attributes:
        source: its name among the sources of the tiers; "" where there is one.
        stops: the layers that it can be run up to, ascending.
        whole: whether one graph leads from the token ids to its only stop.
        inputs: names of its input tensors.
        vocabulary: token ids are 0 … vocabulary - 1.
        max_tokens: longer texts are cut.
        padding: the token id that fills up a batch.
        width: D, of its embeddings.
    """

    source: str
    stops: tuple[int, ...] = Field(min_length=1)
    whole: bool
    inputs: tuple[str, ...]
    vocabulary: int = Field(ge=1)
    max_tokens: int = Field(ge=1)
    padding: int = Field(ge=0)
    width: int = Field(ge=1)

    @property
    def graphs(self) -> tuple[str, ...]:
        """Names of its graphs in the order in which they run."""
        if self.whole:
            return ("model.onnx",)
        return ("embed.onnx", *(f"layers-{stop}.onnx" for stop in self.stops))


class ScorerManifest(_Frozen):
    """What a scorer holds.

    Attributes:
        model: fingerprint of the run's model.
        policy: name of the policy; None of a scorer that records.
        labels: names of the C classes.
        pairs: whether an input is a pair of texts.
        precision: of the weights.
        exits, sources: of the site that the policy walks; 0 among the exits where there is exit 0.
        exit0: whether the file of exit 0 is there.
        parts: the models, the first tier's first.
        packages: versions of what the last bits of an answer depend on.
        files: path in the folder → its size and hash.
    """

    kind: Literal["dimec scorer"] = "dimec scorer"
    format: Literal[1] = FORMAT
    model: str
    policy: str | None
    precision: Precision = "fp32"
    labels: tuple[str, ...] = Field(min_length=1)
    pairs: bool
    exits: tuple[int, ...]
    sources: tuple[str, ...]
    exit0: bool
    parts: tuple[PartRecord, ...] = Field(min_length=1)
    packages: dict[str, str]
    files: dict[str, FileRecord]


class Scorer:
    """A scorer that was made, checked.

    Attributes:
        path: its folder.
        manifest: what it holds.
        deployment: the tiers that the policy was fitted for, and their prices.
        steps: the policy at work; it learns nothing.
    """

    def __init__(self, path: Path, manifest: ScorerManifest, stored: StoredPolicy) -> None:
        self.path, self.manifest = path, manifest
        told = stored.fitted_on
        self.deployment = Deployment.of_json(told["tiers"], told.get("costs"), told.get("pricing"))
        site = Site(self.deployment, manifest.exits, manifest.sources)
        self.steps: Steps = stored.policy.steps(site)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read a scorer and check every file of it.

        Raises:
            ArtefactError: missing, altered, or no scorer.
        """
        manifest = open_manifest(path)
        try:
            return cls(path, manifest, StoredPolicy.load(path))
        except (ConfigError, KeyError) as error:
            raise _damaged(path / POLICY, shown(str(error), 120)) from None


def open_manifest(path: Path) -> ScorerManifest:
    """Read what a scorer says of itself, and check every file of it.

    Raises:
        ArtefactError: missing, altered, or no scorer.
    """
    file = path / SCORER
    value = read_json(file, MADE_BY)
    manifest = from_file(ScorerManifest, value, f"{file} is no scorer", _made_anew(path))
    for name, expected in manifest.files.items():
        file = path / name
        if not file.is_file() or file_sha256(file) != expected.sha256:
            raise _damaged(file, "it is missing, or was altered after it was written")
    return manifest


def write_manifest(path: Path, fields: dict[str, Any]) -> ScorerManifest:
    """Write ``scorer.json`` behind all else that the folder holds.

    Args:
        path: the folder.
        fields: of :class:`ScorerManifest`, without the files.
    """
    files = {
        file.relative_to(path).as_posix(): FileRecord(
            sha256=file_sha256(file), bytes=file.stat().st_size
        )
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }
    manifest = ScorerManifest(files=files, **fields)
    write_json(path / SCORER, manifest.model_dump(mode="json"))
    return manifest


def settled(policy: Policy) -> Policy:
    """The policy as it was fitted, which answers a text the same whatever came before.

    Raises:
        ConfigError: it is nothing without what it learns, or cannot be taken step by step.
    """
    if policy.replay_only:
        raise ConfigError(
            f"{policy.name} can be replayed on traces, and answers no text of its own: "
            f"{policy.replay_only}; score with another policy"
        )
    fixed = policy.adapted(False) if isinstance(policy, Adaptable) else policy
    if fixed.learns_online:
        raise ConfigError(
            f"{policy.name} learns from each text that comes, so that its answers would depend on "
            "how the texts lie in files; score with a policy that stays as it was fitted, such as "
            "cascade, or answer them in order: dimec predict --input"
        )
    return fixed


def _damaged(path: Path, problem: str) -> CorruptArtefactError:
    return CorruptArtefactError(f"{path} cannot be used: {problem}; {_made_anew(path.parent)}")


def _made_anew(folder: Path) -> str:
    return f"remove the folder {folder} and run the same command again, which makes it anew"
