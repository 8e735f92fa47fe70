"""Whether a ready classifier is one for a task: its kind of head, and the names of its labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dimec.base.errors import ConfigError, shown
from dimec.base.progress import Progress
from dimec.training.pretrained import CLASSIFIER, called, load_config

_LISTED = 6  # labels in a message


def check_classifier(source: str, labels: Sequence[str], progress: Progress) -> tuple[int, ...]:
    """Hold a classifier's configuration against a task, before its weights are read.

    Args:
        source: its folder, or its name on the hub.
        labels: names of the task's C classes, in the task's order.
        progress: told where its labels are not simply the task's.

    Returns:
        (C,) which of its outputs each of the classes is.

    Raises:
        ConfigError: no such classifier, one that does not choose one of several classes, an
            architecture that is not an encoder's, or other labels.
    """
    config = load_config(source, CLASSIFIER)
    _check_head(source, config)
    return match_labels(_names(source, config), labels, source, progress)


def match_labels(
    found: Sequence[str], wanted: Sequence[str], source: str, progress: Progress
) -> tuple[int, ...]:
    """Which output of a classifier each of the task's classes is.

    Names are matched as they are, else without regard to case and white space. ``LABEL_0``,
    ``LABEL_1`` … are what transformers writes where nobody named the classes: they are taken in
    order where the task's own names are numbers in order, too.

    Args:
        found: names of the classifier's outputs, in order.
        wanted: the task's, in order.
        source: of the classifier.
        progress: told of a match that is not exact.

    Raises:
        ConfigError: other names, or another number of them.
    """
    for key in (str, _plain):
        place = {key(name): code for code, name in enumerate(found)}
        if len(place) == len(found) and sorted(place) == sorted(map(key, wanted)):
            if key is _plain:
                progress.say(
                    f"the labels of {source} are taken for the task's without regard to case and "
                    f"spaces: {_listed(found)}"
                )
            return tuple(place[key(name)] for name in wanted)
    nameless = list(found) == [f"LABEL_{code}" for code in range(len(found))]
    if nameless and len(found) == len(wanted) and _are_numbers_in_order(wanted):
        progress.say(f"the labels of {source} have no names; they are taken in order")
        return tuple(range(len(found)))
    what_to_do = (
        "they have no names: set id2label in its config.json to the task's, in the order that it "
        "was trained with"
        if nameless and len(found) == len(wanted)
        else "take a classifier of this task, or set id2label in its config.json if they mean the "
        "same"
    )
    raise ConfigError(
        f"the classifier {called(source)} has other labels than the task: expected "
        f"{_listed(wanted)}, got {_listed(found)}; {what_to_do}"
    )


def _plain(name: str) -> str:
    return "".join(name.split()).casefold()


def _are_numbers_in_order(names: Sequence[str]) -> bool:
    try:
        values = [int(name) for name in names]
    except ValueError:
        return False
    return values == list(range(values[0], values[0] + len(values)))


def _listed(names: Sequence[str]) -> str:
    listed = [shown(name, 30) for name in names[:_LISTED]]
    more = len(names) - len(listed)
    return f"{len(names)} ({', '.join(listed)}{f' and {more} more' if more else ''})"


def _names(source: str, config: Any) -> list[str]:
    """Names of a classifier's outputs, in order."""
    names: Mapping[int, str] = config.id2label
    if sorted(names) != list(range(len(names))) or len(set(names.values())) < len(names):
        raise ConfigError(
            f"id2label of the classifier {called(source)} should name its outputs from 0 on, each "
            f"otherwise, got {shown(str(dict(names)), 100)}; put it right in its config.json"
        )
    return [str(names[code]) for code in range(len(names))]


def _check_head(source: str, config: Any) -> None:
    """Refuse what is not one of several classes, and what is not an encoder's."""
    problem, count = getattr(config, "problem_type", None), len(config.id2label)
    if problem in ("regression", "multi_label_classification") or count < 2:
        got = problem or "a single output, as of a regression"
        raise ConfigError(
            f"expected a classifier that chooses one of several labels, got {got} in config.json "
            f"of {called(source)}; take one that was fine-tuned for the task"
        )
    if getattr(config, "is_encoder_decoder", False):
        raise ConfigError(
            f"expected a classifier on an encoder, got {config.model_type}, which has a decoder "
            f"too, in {called(source)}; take one of BERT's kind"
        )
