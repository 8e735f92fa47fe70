"""A model for each tier: the last one fine-tuned, the smaller ones distilled from it.

Each tier's model is trained in a run directory of its own, below the run's, by the loop that trains
any model: so it can be killed at any moment, and what is finished is never done again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from dimec.base.errors import ConfigError, option
from dimec.base.progress import NoProgress, Progress
from dimec.data.backbones import backbone_source, check_model, with_own_tiers
from dimec.runs.intake import Intake, check_claim, take_in
from dimec.runs.workspace import RunDirectory
from dimec.settings.distillation import DistillationSettings
from dimec.settings.run import RunSettings
from dimec.settings.tiers import TierSettings
from dimec.training.checks import highest_id
from dimec.training.lesson import Lesson, UnlabelledTexts
from dimec.training.loop import train_one
from dimec.training.own_finish import finish_own, reuse_own
from dimec.training.prepare import claim, discard, load_tokenizer, make_accelerator
from dimec.training.ready_labels import check_classifier
from dimec.training.ready_run import take_ready
from dimec.training.second_round import weights_of
from dimec.training.teacher import lesson_of
from dimec.training.unlabelled import read_unlabelled

# Settings of an encoder that may differ between two of one kind: their depth, and what follows.
_DEPTH = {"num_hidden_layers", "n_layers", "num_layers", "layer_types", "num_decoder_layers"}
_NAMES = {"_name_or_path", "transformers_version", "architectures", "torch_dtype", "dtype"}
_NAMES |= {"id2label", "label2id", "num_labels", "problem_type", "classifier_dropout"}

SHORTEST = 6  # epochs of a student by default: on few rows shallow models learn slowly


def train_own(
    settings: RunSettings,
    out: Path | str,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    intake: Intake | None = None,
) -> RunDirectory:
    """Train a model for each tier; see :func:`dimec.training.train_run`.

    The last tier's is a plain fine-tuning with one exit: the reference itself. The others learn
    from it, from the deepest to the first, each with an exit after every layer.
    """
    run, accelerator = RunDirectory(out), make_accelerator()
    main = accelerator.is_main_process
    progress = progress if progress is not None and main else NoProgress()
    with run.locked() if main else nullcontext():
        with accelerator.main_process_first():
            intake = intake or take_in(settings, progress, lengths=main)
        settings = with_own_tiers(settings.model_copy(update={"data": intake.data}))
        if main and not overwrite:
            check_claim(run, settings, intake.fingerprint)
        accelerator.wait_for_everyone()
        if not overwrite and reuse_own(run, intake.splits, accelerator, progress):
            return run
        unlabelled = _unlabelled(settings, intake, progress)
        for place, tier in enumerate(settings.tier):
            if tier.ready:
                labels = intake.splits.train.label_names
                check_classifier(backbone_source(tier.source), labels, NoProgress())
            else:
                check_model(tier_settings(settings, place))
        _check_starts(settings)
        if main:
            claim(run, settings, intake, overwrite)
        accelerator.wait_for_everyone()
        _train_tiers(run, settings, intake, unlabelled, accelerator, progress)
        finish_own(run, settings, intake.splits, accelerator, progress)
    return run


def _unlabelled(
    settings: RunSettings, intake: Intake, progress: Progress
) -> UnlabelledTexts | None:
    """The texts without labels that the settings name."""
    if (path := settings.distillation.unlabelled) is None:
        return None
    return read_unlabelled(Path(path), intake.splits, settings.data, progress)


def _train_tiers(
    run: RunDirectory,
    settings: RunSettings,
    intake: Intake,
    unlabelled: UnlabelledTexts | None,
    accelerator: Accelerator,
    progress: Progress,
) -> None:
    """The last tier, then each student from the deepest to the first, in one round or in two."""
    runs, last = list(run.tier_runs().values()), len(settings.tier) - 1
    teacher, intake = runs[last], replace(intake, table=None)  # it is kept with the run, once
    splits = intake.splits
    for one, tier in zip(runs, settings.tier, strict=True):
        if tier.ready:
            progress.say(f"the {tier.name} tier: a classifier that is taken as it is")
            take_ready(one, settings, splits, tier, progress, rows=intake.fingerprint)
    if not settings.tier[last].ready:
        _train_tier(teacher, tier_settings(settings, last), intake, None, accelerator, progress)
    lesson = lesson_of(run, teacher, splits.train, unlabelled, accelerator, progress)

    def distil(into: Sequence[RunDirectory], lessons: Sequence[Lesson]) -> None:
        for place in reversed(range(last)):
            if settings.tier[place].ready:
                continue
            own, taught = tier_settings(settings, place), lessons[place]
            _train_tier(into[place], own, intake, taught, accelerator, progress)

    starts = [_begins_as_teacher(settings, place, teacher) for place in range(last)]
    lessons = [replace(lesson, start=teacher.model_path if same else None) for same in starts]
    if unlabelled is not None and settings.distillation.gain:
        progress.say("every student without the texts that have no labels, to tell what they bring")
        plain = [RunDirectory(run.labelled_only_path / tier.name) for tier in settings.tier]
        distil(plain, [one.labelled_only(len(splits.train)) for one in lessons])
    if settings.distillation.rounds == 1:
        distil(runs, lessons)
        return
    first = [
        one if tier.ready else RunDirectory(run.first_round_path / tier.name)
        for one, tier in zip(runs[:last], settings.tier, strict=False)
    ]
    distil(first, lessons)
    rounds = {one.path.name: one for one in (*first, teacher)}
    weights = weights_of(rounds, splits.validation, splits.train, lesson.unlabelled, progress)
    again = [replace(lesson, start=one.model_path, weights=weights[one.path.name]) for one in first]
    distil(runs, again)


def _train_tier(
    run: RunDirectory,
    settings: RunSettings,
    intake: Intake,
    lesson: Lesson | None,
    accelerator: Accelerator,
    progress: Progress,
) -> None:
    """Train a tier's model, unless it is there and was taught the same."""
    name = run.path.name
    progress.say(f"the {name} tier: {_described(settings, lesson)}")
    if accelerator.is_main_process and run.config_path.exists():
        known = run.lesson_path.read_text("utf-8").strip() if run.lesson_path.exists() else None
        wanted = None if lesson is None else lesson.digest
        if known != wanted or run.settings().differences(settings):
            discard(run)
    accelerator.wait_for_everyone()
    train_one(settings, run.path, progress=progress, intake=intake, lesson=lesson)


def _described(settings: RunSettings, lesson: Lesson | None) -> str:
    layers, how = settings.model.layers, "fine-tuned" if lesson is None else "distilled"
    depth = "all layers" if layers is None else f"{layers} layers"
    return f"{depth} of {settings.model.backbone}, {how}"


def tier_settings(settings: RunSettings, place: int) -> RunSettings:
    """The settings of the run that trains the model of one tier.

    Args:
        settings: of the whole, with every tier's layers.
        place: of the tier; the last is fine-tuned with one exit, the others are students.
    """
    tier, last, how = settings.tier[place], place == len(settings.tier) - 1, settings.distillation
    training = settings.training
    update = {
        "recipe": "joint",
        "exit0": training.exit0 and place == 0,
        "record_train": training.record_train and place == 0,
    }
    if not last:
        rate = how.student_learning_rate or min(0.99, 2 * training.learning_rate)
        epochs = how.student_epochs or max(SHORTEST, training.epochs)
        # A schedule that is cut off never comes to its small rates, from which students gain most.
        update |= {"epochs": epochs, "learning_rate": rate, "patience": 0}
    model = settings.model.model_copy(
        update={
            "backbone": tier.source,
            "layers": tier.layer,
            "exits": (tier.layer,) if last else "all",
            "tiers": {tier.name: tier.layer},
        }
    )
    own = training.model_copy(update=update)
    # Nothing of it is the last tier's, which stays as it is where students learn otherwise.
    students = how.model_copy(update={"cross_fit": 0, "unlabelled": None})
    distillation = DistillationSettings() if last else students
    return settings.model_copy(
        update={"model": model, "training": own, "distillation": distillation, "tier": ()}
    )


def _begins_as_teacher(settings: RunSettings, place: int, teacher: RunDirectory) -> bool:
    """Whether a student begins as the lower layers of the last tier's model."""
    if settings.distillation.start == "encoder" or settings.tier[place].ready:
        return False
    return settings.distillation.start == "teacher" or _same_kind(settings.tier[place], teacher)


def _same_kind(tier: TierSettings, teacher: RunDirectory) -> bool:
    """Whether a tier's encoder has the shape of the trained teacher's, but for its depth."""
    theirs = json.loads((teacher.model_path / "config.json").read_text("utf-8"))
    # A classifier taken as it is has its own form.
    return _alike(_config_of(tier), theirs.get("encoder", theirs))


def _check_starts(settings: RunSettings) -> None:
    """Refuse students that cannot begin as the last tier's lower layers, before that is trained."""
    *students, last = settings.tier
    if settings.distillation.start != "teacher":
        return
    theirs = _config_of(last)
    for tier in students:
        if not tier.ready and not _alike(_config_of(tier), theirs):
            raise ConfigError(
                f"{option('start')} teacher wants encoders of one shape but for their depth, and "
                f"that of the {tier.name} tier, {tier.source}, has another than that of the "
                f"{last.name} tier, {last.source}; give {option('start')} encoder, or auto"
            )


def _config_of(tier: TierSettings) -> dict[str, Any]:
    """A tier's configuration; its table of words counts as training grows it, for what was added to
    its tokenizer."""
    from transformers import AutoConfig

    source = backbone_source(tier.source)
    config: dict[str, Any] = AutoConfig.from_pretrained(source).to_dict()
    return {
        **config,
        "vocab_size": max(config["vocab_size"], highest_id(load_tokenizer(source)) + 1),
    }


def _alike(own: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    ignored = _DEPTH | _NAMES
    return all(own[key] == theirs[key] for key in own.keys() & theirs.keys() - ignored)
