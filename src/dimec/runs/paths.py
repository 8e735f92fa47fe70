"""Where each artefact of a run lies in its directory."""

from __future__ import annotations

import shlex
from pathlib import Path

from dimec.policies.kinds import POLICY

OUT_OF_FOLD = "out-of-fold"  # the split of rows that models of cross-fitting had not seen


class RunPaths:
    """The paths of one run.

    ::

        config.toml                 the settings
        data.sha256                 fingerprint of the labelled rows, and of a choice among them
        data.jsonl                  the labelled rows, where they were given in memory
        survey.json                 what was read: classes, lengths, doubles
        training.json               epochs, scores, sizes, versions; written last by training
        model/                      the best epoch in save_pretrained form, with its tokenizer
        dynamics/                   logits.safetensors, and dynamics_epoch_K.jsonl of exit m, of
                                    the validation split; train.safetensors of the training split
        trace-validation.safetensors, trace-test.safetensors
        parity.safetensors          texts on which export compares the tiers with the model
        policy.json, policy.safetensors   the fitted policy
        fit.json                    thresholds, the whole reward table, pool sizes; or settings
        report/                     ledger.json, figures, report.html
        selections/                 training rows that dimec map select chose
        calibration/                traces of the user's calibration texts, and rows to label
        streams/                    traces of other tasks' rows, by dimec trace record
        bottleneck-LAYER-…/         a bottleneck at the split, and its traces
        compressed-METHOD/          a compressed model, and its traces
        grid/, grid.json            the points of a grid search, and how each scored
        cross-fit/K/                a run for each part of the training rows, trained without it
        trace-out-of-fold.safetensors   what each of them says of its part

    Where tiers have a model each, what is of a model lies in a run directory of the tier, and the
    traces are joined: their sources are the tiers' names::

        tiers/NAME/                 config.toml, model/, training.json, dynamics/, traces …
        tiers/NAME/lesson.sha256    what it was taught, in a digest
        teacher/, first-round/, labelled-only/   what the last tier says of the training rows, and
                                    students that are taught again; while training only

    Args:
        path: of the run directory.
        whole: the run that it belongs to, where it is that of one tier's model.
    """

    def __init__(self, path: Path | str, whole: RunPaths | None = None) -> None:
        self.path = Path(path)
        self.whole = whole

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    @property
    def config_path(self) -> Path:
        return self.path / "config.toml"

    @property
    def data_path(self) -> Path:
        return self.path / "data.sha256"

    @property
    def trained(self) -> RunPaths:
        """The run that a user trains: itself, or the whole one that a tier's model belongs to."""
        return self.whole or self

    @property
    def typed(self) -> str:
        """The path of :attr:`trained` as a shell takes it, for the commands that messages name."""
        return shlex.quote(str(self.trained.path))

    @property
    def told(self) -> str:
        """What messages call it: its path, or ``the tier phone of runs/own``."""
        if self.whole is None:
            return str(self.path)
        return f"the tier {self.path.name} of {self.whole.path}"

    @property
    def training_path(self) -> Path:
        return self.path / "training.json"

    @property
    def table_path(self) -> Path:
        return self.path / "data.jsonl"

    @property
    def survey_path(self) -> Path:
        return self.path / "survey.json"

    @property
    def model_path(self) -> Path:
        return self.path / "model"

    @property
    def dynamics_path(self) -> Path:
        return self.path / "dynamics"

    @property
    def checkpoint_path(self) -> Path:
        return self.path / "checkpoint"

    @property
    def grid_path(self) -> Path:
        return self.path / "grid"

    @property
    def grid_record_path(self) -> Path:
        return self.path / "grid.json"

    @property
    def tiers_path(self) -> Path:
        return self.path / "tiers"

    @property
    def teacher_path(self) -> Path:
        return self.path / "teacher"

    @property
    def first_round_path(self) -> Path:
        return self.path / "first-round"

    @property
    def labelled_only_path(self) -> Path:
        return self.path / "labelled-only"

    @property
    def cross_fit_path(self) -> Path:
        return self.path / "cross-fit"

    @property
    def out_of_fold_path(self) -> Path:
        return self.trace_path(OUT_OF_FOLD)

    @property
    def lesson_path(self) -> Path:
        return self.path / "lesson.sha256"

    @property
    def parity_path(self) -> Path:
        return self.path / "parity.safetensors"

    @property
    def exit0_path(self) -> Path:
        return self.path / "exit0.safetensors"

    @property
    def policy_path(self) -> Path:
        return self.path / POLICY

    @property
    def fit_path(self) -> Path:
        return self.path / "fit.json"

    @property
    def report_path(self) -> Path:
        return self.path / "report"

    @property
    def selections_path(self) -> Path:
        return self.path / "selections"

    @property
    def calibration_path(self) -> Path:
        return self.path / "calibration"

    @property
    def streams_path(self) -> Path:
        return self.path / "streams"

    def trace_path(self, split: str) -> Path:
        """Path of the trace of a split, ``"validation"`` or ``"test"``."""
        return self.path / f"trace-{split}.safetensors"
