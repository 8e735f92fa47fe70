"""Loading pretrained weights: every one from its file, or an error that says which is not."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from dimec.base.errors import ConfigError, shown
from dimec.base.progress import Progress
from dimec.data.backbones import PACKAGED, check_backbone_files, short
from dimec.training.encoders import encoder_class

# What wrappers leave before the names of a saved model's weights, one or several of them.
PREFIXES = (
    "module",  # DataParallel, DistributedDataParallel
    "_orig_mod",  # torch.compile
    "_fsdp_wrapped_module",
    "model",
    "base_model",
    "auto_model",  # sentence-transformers
    "backbone",
    "encoder",
    "0",  # nn.Sequential
)
_NAMED = 2  # names in a message; the others are counted


@dataclass(frozen=True)
class What:
    """What is loaded, as messages name it.

    Attributes:
        name: of it.
        expected: what to give for it.
        advice: what to do where its weights do not fit.
        pooler: whether the weights of a pooler count.
    """

    name: str
    expected: str
    advice: str
    pooler: bool


ENCODER = What(
    "backbone",
    f"a folder with config.json and weights, a name on the hub, or a packaged encoder: {PACKAGED}",
    "the configuration that belongs to the weights",
    pooler=False,
)
CLASSIFIER = What(
    "classifier",
    "a folder with config.json and weights, or a name on the hub",
    "a classifier that was saved with its head, after its fine-tuning",
    pooler=True,
)


def load_encoder(source: str, progress: Progress | None = None) -> Any:
    """The pretrained encoder of a folder or hub name, in fp32, with every weight from its file.

    Weights that belong to a pooler or to the head of a pretraining task may be missing or too many;
    neither is used. Pickled weights are read as plain tensors; nothing in them is run.

    Args:
        source: see :func:`dimec.data.backbones.backbone_source`.
        progress: told of a prefix that was taken off the names of the weights.

    Raises:
        ConfigError: no such encoder, files that are broken, or weights that do not fit.
    """
    config = load_config(source)
    return _every_weight(source, encoder_class(config), config, ENCODER, progress)


def load_classifier(source: str, progress: Progress | None = None, **options: Any) -> Any:
    """A fine-tuned ``AutoModelForSequenceClassification`` in fp32, each weight from its file.

    transformers puts random numbers where a file lacks the classification head, and only warns.
    Nothing that a folder or the hub brings along is run.

    Args:
        source: a folder, or a name on the hub.
        progress: told of a prefix that was taken off the names of the weights.
        options: for ``from_pretrained``.

    Raises:
        ConfigError: no such classifier, files that are broken, or weights that do not fit.
    """
    config = load_config(source, CLASSIFIER)
    auto = AutoModelForSequenceClassification
    return _every_weight(source, auto, config, CLASSIFIER, progress, **options)


def load_config(source: str, what: What = ENCODER) -> Any:
    """The configuration of an encoder, or of a classifier; looks through the files of a folder.

    Raises:
        ConfigError: there is none, files are broken, or it has no layers.
    """
    if Path(source).is_dir():
        check_backbone_files(Path(source))
    load = AutoConfig.from_pretrained
    config = _guarded(source, what, load, source, trust_remote_code=False)
    if not (depth := getattr(config, "num_hidden_layers", None)) or depth < 1:
        raise ConfigError(f"the configuration of {source} has no layers, got {depth}")
    return config


def _every_weight(
    source: str, auto: Any, config: Any, what: What, progress: Progress | None, **options: Any
) -> Any:
    model, found = _load(source, auto, config, what, **options)
    if wrong := _misfits(model, found, what.pooler):
        prefix = _prefix(found, wrong.get("missing", ()))
        if prefix is None:
            raise _refusal(source, wrong, found, what)
        mapping = {rf"^{prefix.replace('.', '[.]')}": ""}
        model, found = _load(source, auto, config, what, key_mapping=mapping, **options)
        if wrong := _misfits(model, found, what.pooler):
            raise _refusal(source, wrong, found, what)
        if progress is not None:
            progress.say(f"the weights of {source} begin with {prefix!r}, which was taken off")
    return model


def _load(
    source: str, auto: Any, config: Any, what: What, **options: Any
) -> tuple[Any, Mapping[str, Collection[Any]]]:
    """The model, and what transformers says of names that it did not find a place for."""
    loaded: tuple[Any, Mapping[str, Collection[Any]]] = _guarded(
        source,
        what,
        auto.from_pretrained,
        source,
        config=config,
        dtype=torch.float32,
        output_loading_info=True,
        # They are refused here, by their names.
        ignore_mismatched_sizes=True,
        trust_remote_code=False,
        **options,
    )
    return loaded


def _guarded(source: str, what: What, load: Any, *arguments: Any, **options: Any) -> Any:
    """Call a loader of transformers; whatever it raises at a broken folder becomes one line."""
    try:
        return load(*arguments, **options)
    except Exception as error:
        if "weights_only" in str(error) or type(error).__name__ == "UnpicklingError":
            raise ConfigError(
                f"the pickled weights of {source} hold more than plain tensors, or are damaged; "
                "what they hold is never run: save them as model.safetensors"
            ) from None
        raise ConfigError(
            f"cannot load the {what.name} {source!r}: {short(error)}; give {what.expected}"
        ) from None


def _misfits(
    model: nn.Module, found: Mapping[str, Collection[Any]], pooler: bool
) -> dict[str, list[str]]:
    """The names of weights that count, by what is wrong with them; empty where nothing is.

    A weight that is too many counts where it would belong into a part that the model has. Of a
    pooler, those count that a classifier has and its file lacks; others' files may have one.
    """
    parts = {name for name, _ in model.named_children()}
    known = {name for name, _ in model.named_buffers()}
    base = f"{getattr(model, 'base_model_prefix', '')}."
    extra = [name if pooler else name.removeprefix(base) for name in found["unexpected_keys"]]
    shapes = [name for name, *_ in found["mismatched_keys"]]
    wrong = {
        "missing": [name for name in found["missing_keys"] if pooler or not _of_pooler(name)],
        "too many": [
            name
            for name in extra
            if name.partition(".")[0] in parts and name not in known and not _of_pooler(name)
        ],
        "of another shape": [name for name in shapes if pooler or not _of_pooler(name)],
    }
    return {what: sorted(names) for what, names in wrong.items() if names}


def _of_pooler(name: str) -> bool:
    return any(part.startswith("pooler") for part in name.split("."))


def _prefix(found: Mapping[str, Collection[Any]], missing: Sequence[str]) -> str | None:
    """What wrappers left before most of the missing names; what is still missing then is judged.

    Not before all: weights that are tied to others are saved once, and missing twice.
    """
    extra = set(found["unexpected_keys"])
    for first in missing:
        for prefix in {name.removesuffix(first) for name in extra if name.endswith(f".{first}")}:
            # The encoder's own name is no wrapper's; transformers takes it off by itself.
            wrappers = prefix.removesuffix(".").split(".")
            while wrappers and wrappers[-1] not in PREFIXES:
                wrappers.pop()
            most = 2 * sum(prefix + name in extra for name in missing) > len(missing)
            if wrappers and set(wrappers) <= set(PREFIXES) and most:
                return "".join(f"{part}." for part in wrappers)
    return None


def _refusal(
    source: str,
    wrong: Mapping[str, Sequence[str]],
    found: Mapping[str, Collection[Any]],
    what: What,
) -> ConfigError:
    parts = [f"{len(names)} {kind} ({_few(names, found)})" for kind, names in wrong.items()]
    prefix = _unknown_prefix(found, wrong.get("missing", ()))
    advice = what.advice if prefix is None else f"weights without the {prefix} before their names"
    return ConfigError(
        f"the weights of {called(source)} do not fit its config.json: {', '.join(parts)}; those "
        f"would be random, or lost; give {advice}"
    )


def _unknown_prefix(found: Mapping[str, Collection[Any]], missing: Sequence[str]) -> str | None:
    """What stands before all of the missing names in the file, and is no known wrapper's."""
    if not missing:
        return None
    extra = set(found["unexpected_keys"])
    ends = (name for name in extra if name.endswith(f".{missing[0]}"))
    for prefix in (name.removesuffix(missing[0]) for name in ends):
        if all(prefix + name in extra for name in missing):
            return shown(prefix, 60)
    return None


def called(source: str) -> str:
    """A source as messages name it: a folder's last name where its path would fill the line."""
    return source if len(source) < 60 else f"…/{Path(source).name}"


def _few(names: Sequence[str], found: Mapping[str, Collection[Any]]) -> str:
    shapes = {name: f" {tuple(got)}→{tuple(want)}" for name, got, want in found["mismatched_keys"]}
    listed = [
        f"{name if len(name) < 42 else '…' + name[-40:]}{shapes.get(name, '')}"
        for name in names[: 1 if len(shapes) else _NAMED]
    ]
    more = len(names) - len(listed)
    return ", ".join(listed) + (f" and {more} more" if more else "")
