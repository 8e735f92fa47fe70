"""What training a bottleneck needs before its first epoch: the run's model, its data, the start."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from dimec.base.errors import ConfigError, CorruptArtefactError, MismatchError
from dimec.base.progress import Progress
from dimec.data import Dataset, Splits
from dimec.data.splits import stratified_rows
from dimec.runs.bottleneck import BottleneckSchedule, BottleneckSettings
from dimec.runs.workspace import RunDirectory
from dimec.traces.trace import Trace
from dimec.training.batching import Encoded, encode, inference_batches
from dimec.training.bottleneck.code import Bottleneck
from dimec.training.bottleneck.files import BottleneckFolder
from dimec.training.bottleneck.spliced import BottleneckedModel, answer
from dimec.training.finish import TRACED, model_fingerprint
from dimec.training.model import MultiExitClassifier
from dimec.training.prepare import load_tokenizer

_TAUGHT = ("distil", "head-distillation")  # by the full model, as it was before
_START_TOKENS = 20_000  # whose hidden states tell the principal axes


@dataclass(frozen=True, eq=False)
class Work:
    """All that the epochs of a bottleneck need."""

    folder: BottleneckFolder
    settings: BottleneckSettings
    model: str
    student: BottleneckedModel
    teacher: MultiExitClassifier | None
    splits: Splits
    encoded: Mapping[str, Encoded]
    progress: Progress

    @property
    def schedule(self) -> BottleneckSchedule:
        return self.settings.schedule

    @property
    def trained(self) -> torch.nn.ModuleDict:
        return parts_of(self.student, self.settings)


def sound_model(run: RunDirectory) -> str:
    """The fingerprint of the run's model, checked against its files."""
    run.require_model()
    training = run.training()
    if training.get("ready"):
        raise ConfigError(
            f"the classifier in {run.path} was taken as it is, and has no layers that a bottleneck "
            "could be put between; take a run that was trained"
        )
    fingerprint = str(training["model"])
    if not run.model_path.exists() or model_fingerprint(run.model_path) != fingerprint:
        raise CorruptArtefactError(
            f"the model in {run.model_path} is missing or altered since it was trained; train "
            "again with: dimec train --overwrite"
        )
    return fingerprint


def parts_of(student: BottleneckedModel, settings: BottleneckSettings) -> torch.nn.ModuleDict:
    """What training may change, and so what is stored."""
    return student.trained(settings.train_tail, settings.objective == "head-distillation")


def make_student(model: MultiExitClassifier, settings: BottleneckSettings) -> BottleneckedModel:
    layers, hidden = model.exits[-1], model.config.encoder.hidden_size
    settings.check_fit(layers, hidden)
    bottleneck = Bottleneck(hidden, settings.width, settings.bits).to(model.device)
    return BottleneckedModel(model, bottleneck, settings.split)


def prepare(
    run: RunDirectory,
    folder: BottleneckFolder,
    settings: BottleneckSettings,
    fingerprint: str,
    progress: Progress,
) -> Work:
    """Load the model, read the data, and start the bottleneck at the principal axes."""
    progress.say(f"loading the model of {run.path} and tokenising")
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    model = MultiExitClassifier.from_pretrained(run.model_path).to(device or "cpu")
    student = make_student(model, settings)
    splits = fewer_rows(run.splits(), settings.max_train_rows, settings.seed)
    tokenizer, longest = load_tokenizer(str(run.model_path)), run.settings().model.max_tokens
    parts = {name: getattr(splits, name) for name in ("train", *TRACED)}
    encoded = {name: encode(tokenizer, part, longest) for name, part in parts.items()}
    for split in TRACED:
        check_rows(run.trace(split), parts[split])
    student.bottleneck.start_from(split_states(student, encoded["train"], settings.seed))
    teacher = copy.deepcopy(model) if settings.objective in _TAUGHT else None
    return Work(folder, settings, fingerprint, student, teacher, splits, encoded, progress)


def check_rows(trace: Trace, dataset: Dataset) -> None:
    """Refuse a trace of other rows than the data set's.

    Raises:
        MismatchError: other rows, or other labels.
    """
    same_labels = np.array_equal(trace.labels, dataset.labels)
    if trace.guids != dataset.guids or not same_labels:
        raise MismatchError(
            f"the {trace.split} trace and the {trace.split} split differ in rows; record the trace "
            "again with dimec train"
        )


def fewer_rows(splits: Splits, size: int | None, seed: int) -> Splits:
    """The splits with as many training rows as are wanted, each class with its share; None: all."""
    if size is None or size >= len(splits.train):
        return splits
    chosen = stratified_rows(splits.train.labels, size, seed)
    return replace(splits, train=splits.train.take(chosen))


@torch.inference_mode()
def split_states(
    student: BottleneckedModel, encoded: Encoded, seed: int
) -> npt.NDArray[np.float64]:
    """(R, D) hidden states at the split of the real tokens of some texts, about 20,000 at most."""
    order = np.random.default_rng(seed).permutation(len(encoded))
    enough = int(np.searchsorted(encoded.lengths[order].cumsum(), _START_TOKENS)) + 1
    chosen = order[:enough]
    parts = []
    for rows in inference_batches(encoded.lengths[chosen]):
        inputs = encoded.batch(chosen[rows], student.model.device)
        hidden = answer(student.model, inputs)[1][student.layer - 1]
        parts.append(hidden[inputs["attention_mask"] == 1].double().cpu().numpy())
    return np.concatenate(parts)
