"""Settings of learning from a larger model, for tiers with a model each."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from dimec.base.errors import ConfigError, option
from dimec.settings.base import Settings
from dimec.settings.option import Option


class DistillationSettings(Settings):
    """How a smaller tier's model learns from the last tier's.

    At each of a student's exits the loss is

        label_weight · CE(labels) + teacher_weight · T² · KL(teacher ‖ student, both at T)

    (Hinton, Vinyals & Dean 2015, arXiv 1503.02531; T is ``temperature``), plus
    ``hidden_weight`` times the squared distance between its pooled hidden states and those of the
    teacher's layer at the same depth, each divided by its length, behind a learned map where the
    widths differ (Sun et al., Patient Knowledge Distillation, 2019, arXiv 1908.09355; they match
    the first token's, and pooled ones need no tokenizer in common), plus ``gatekeeper_weight``
    times the loss that lets it be sure only where it is right (Rabanser et al., Gatekeeper, 2025,
    arXiv 2502.19335).

    ``rounds``: 2 distils a second time, with more weight on the rows that a cascade of the first
    round sends on in vain or answers wrongly (RouteNLP, 2026, arXiv 2604.23577).

    With the recipe ``joint``, ``self_distillation`` has the exits learn from the model's own last
    one (Phuong & Lampert, ICCV 2019).
    """

    panel: ClassVar[str | None] = "Distillation"

    label_weight: Annotated[
        float, Field(ge=0), Option("Of the labels in a student's loss; default {default}.")
    ] = 0.3
    teacher_weight: Annotated[
        float,
        Field(ge=0),
        Option("Of the teacher's probabilities; default {default}; 0 learns from labels alone."),
    ] = 1.0
    temperature: Annotated[
        float, Field(gt=0), Option("Of both, where they are compared; default {default}.")
    ] = 2.0
    hidden_weight: Annotated[
        float,
        Field(ge=0),
        Option("Of the teacher's hidden states at the same depth; default {default}, none."),
    ] = 0.0
    gatekeeper_weight: Annotated[
        float,
        Field(ge=0),
        Option("Of being sure only where it is right, as Gatekeeper; default {default}, none."),
    ] = 0.0
    student_epochs: Annotated[
        int | None,
        Field(ge=2),
        Option("Of a student, which never stops early; default: --epochs, or 6 if that is more."),
    ] = None
    student_learning_rate: Annotated[
        float | None,
        Field(gt=0, lt=1),
        Option("Of a student; default: twice --learning-rate."),
    ] = None
    start: Annotated[
        Literal["auto", "encoder", "teacher"],
        Option(
            "What a student begins as: the lower layers of its encoder, or of the fine-tuned "
            "last tier; auto: of that where they are of one kind."
        ),
    ] = "auto"
    rounds: Annotated[
        int,
        Field(ge=1, le=2),
        Option("2: distil again, weighed towards what the cascade got wrong. Default {default}."),
    ] = 1
    unlabelled: Annotated[
        str | None,
        Option(
            "File of texts without labels that join the distillation: txt, csv, tsv, jsonl, json "
            "or parquet.",
            path=True,
        ),
    ] = None
    gain: Annotated[
        bool,
        Option(
            "Do not train every student without the texts of --unlabelled too, which tells what "
            "they bring.",
            spelling="--no-gain",
        ),
    ] = True
    cross_fit: Annotated[
        int,
        Field(ge=0, le=20),
        Option(
            "Train so many models on all training rows but a part each, and record what each says "
            "of its part, for policies to be fitted on; 0, the default, is none."
        ),
    ] = 0
    self_distillation: Annotated[
        float,
        Field(ge=0),
        Option("With the recipe joint: weight of the last exit's probabilities at the others."),
    ] = 0.0

    @field_validator("cross_fit")
    @classmethod
    def _has_two_parts(cls, value: int) -> int:
        if value == 1:
            raise ValueError("expected 0 for none, or 2 parts or more, for one leaves no rows")
        return value


_OF_STUDENTS = (
    *("label_weight", "teacher_weight", "hidden_weight", "gatekeeper_weight", "student_epochs"),
    *("student_learning_rate", "start", "rounds", "unlabelled", "gain"),
)


def refuse_idle(how: DistillationSettings, recipe: str) -> None:
    """Refuse a setting that a recipe of :class:`dimec.settings.training.TrainingSettings` ignores.

    Not a validator: a run of an earlier version, which ignored it in silence, can still be read.

    Raises:
        ConfigError: names the first such setting, and what it goes with.
    """
    plain = DistillationSettings()
    changed = {
        name for name in type(how).model_fields if getattr(how, name) != getattr(plain, name)
    }
    if recipe != "own":
        for name in _OF_STUDENTS:
            if name in changed:
                raise _idle(name, f"without students; give {option('tier')}, or the recipe 'own'")
    if recipe != "joint" and "self_distillation" in changed:
        raise _idle("self_distillation", "but with the recipe 'joint'")
    taught = recipe == "own" and how.teacher_weight > 0
    if "temperature" in changed and not (taught or how.self_distillation):
        others = (option("teacher_weight"), option("self_distillation"))
        raise _idle(
            "temperature",
            f"where nothing is learnt from another exit, by {others[0]} of students or {others[1]}",
        )
    if "gain" in changed and how.unlabelled is None:
        raise _idle("gain", f"without {option('unlabelled')}")
    if how.unlabelled is not None and not (how.teacher_weight or how.hidden_weight):
        raise _idle("unlabelled", f"where {option('teacher_weight')} is 0: it has no labels")


def _idle(name: str, why: str) -> ConfigError:
    return ConfigError(f"{option(name)} does nothing {why}; leave it out")
