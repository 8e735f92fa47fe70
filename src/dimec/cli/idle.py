"""Options that would do nothing beside the others, or without another: each is an error.

What only the values or the files can tell is checked where they are read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dimec.base.errors import ConfigError


@dataclass(frozen=True)
class Given:
    """What was typed.

    Attributes:
        typed: names of the parameters that were given on the command line.
        values: of all parameters.
        options: how each option is typed, by its parameter's name.
    """

    typed: frozenset[str]
    values: Mapping[str, Any]
    options: Mapping[str, str]

    def __contains__(self, name: str) -> bool:
        return name in self.typed

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


@dataclass(frozen=True)
class Idle:
    """When some options of a command do nothing.

    Attributes:
        command: its whole path behind ``dimec``, such as ``fit`` or ``trace record``.
        options: names of their parameters.
        when: whether they do nothing.
        why: the other option, and what to know; behind "does nothing".
    """

    command: str
    options: tuple[str, ...]
    when: Callable[[Given], bool]
    why: str


def _without(*names: str) -> Callable[[Given], bool]:
    return lambda given: not any(given[name] for name in names)


def _beside(name: str) -> Callable[[Given], bool]:
    return lambda given: name in given


def _no_token(given: Given) -> bool:
    return given["token_file"] is None and not os.environ.get("DIMEC_TOKEN")


def _no_https(given: Given) -> bool:
    urls = [given[tier] or "" for tier in ("edge", "cloud")]
    urls += [word.partition("=")[2] for word in given["tier"] or ()]
    return not any(url.startswith("https:") for url in urls)


def _other_policy(given: Given) -> bool:
    return "policy" in given and given["policy"] != "dimec"


def _under_contract(given: Given) -> bool:
    return any(name in given for name in _TERMS)


_TERMS = ("max_accuracy_drop", "max_disagreement", "max_cost")
_TIERS = ("tier", "edge", "cloud")
_OF_TIERS = ("timeout", "fallback", "token_file", "ca", "insecure")

# Options of dimec compress, and the methods that they do something for.
_OF_METHODS = {
    ("epochs", "batch_size", "learning_rate", "prunings", "max_train_rows"): ("magnitude",),
    ("sparsity", "seed"): ("magnitude", "heads"),
    ("rows",): ("heads",),
    ("student",): ("student",),
}

RULES = (
    Idle(
        "fit",
        ("lam", "settings", "target_drop", "grid", "alphas", "betas"),
        _under_contract,
        "under a contract, which tries every policy at every stand of its knob; leave it out",
    ),
    Idle(
        "fit",
        ("confidence", "bound", "calibration_share", "calibration_text", "calibration_labels"),
        lambda given: not _under_contract(given),
        "without a contract: --max-accuracy-drop, --max-disagreement or --max-cost",
    ),
    Idle(
        "fit", ("bound",), _beside("max_cost"), "with --max-cost, which has its own; leave it out"
    ),
    Idle(
        "fit",
        ("target_drop", "grid", "alphas", "betas"),
        _other_policy,
        "with --policy but for dimec, the paper's router; leave it out",
    ),
    Idle(
        "fit",
        ("settings",),
        lambda given: not _other_policy(given),
        "without --policy, the system of which it is a setting",
    ),
    Idle(
        "fit",
        ("lam",),
        _beside("target_drop"),
        "beside --target-drop, which determines it: give one, not both",
    ),
    Idle(
        "fit",
        ("grid",),
        _beside("betas"),
        "beside --betas: the grids differ in the values of β alone; leave it out",
    ),
    Idle(
        "evaluate",
        ("scenario",),
        _beside("as_json"),
        "with --json, which prints the ledger; report/scenarios.json has every scenario",
    ),
    Idle(
        "train",
        ("batch_size", "learning_rate"),
        _beside("grid"),
        "with --grid, which tries values of its own; leave one of the two out",
    ),
    Idle(
        "export",
        ("triton_backend", "triton_instances"),
        _without("triton"),
        "without --triton, the folder of the repository",
    ),
    Idle("export", ("force",), _without("int8"), "without --int8: other tiers are never refused"),
    Idle("export", ("web_tier",), _without("web"), "without --web, the folder of the site"),
    Idle(
        "up",
        ("state", "adaptive", "timeout", "fallback"),
        _beside("web"),
        "with --web: the page is the device, and keeps its own; leave it out",
    ),
    Idle(
        "serve",
        (
            *("ray_address", "min_replicas", "max_replicas", "target_requests"),
            *("upscale_delay", "downscale_delay", "replica_cpus"),
        ),
        _without("on_ray"),
        "without --ray, a cluster of Ray",
    ),
    Idle(
        "serve",
        ("workers", "pin"),
        _beside("on_ray"),
        "with --ray, whose replicas are one process each: see --max-replicas",
    ),
    Idle(
        "score", ("force",), lambda given: given["precision"] != "int8", "without --precision int8"
    ),
    Idle("up", ("port", "open_page"), _without("web"), "without --web, the page"),
    Idle(
        "map select",
        ("seed",),
        lambda given: given["by"] != "random",
        "but with --by random; leave it out",
    ),
    Idle(
        "bottleneck",
        ("tail_learning_rate",),
        lambda given: not given["train_tail"] and given["objective"] != "head-distillation",
        "without --train-tail: the layers behind the split stay as they are",
    ),
    *(
        Idle(
            "compress",
            options,
            lambda given, methods=methods: given["method"] not in methods,  # type: ignore[misc]
            f"but with --method {' or '.join(methods)}; leave it out",
        )
        for options, methods in _OF_METHODS.items()
    ),
    Idle(
        "trace record",
        ("seed",),
        lambda given: given["rows"] == "all" and given["limit"] is None,
        "without --limit or --rows test: all rows are taken",
    ),
    Idle(
        "trace record",
        ("workers",),
        lambda given: given["engine"] == "torch",
        "with --engine torch, which is one process; take local or ray, or leave one of the two out",
    ),
    Idle(
        "trace import",
        ("validation_share", "seed"),
        lambda given: "validation" in given or "split_column" in given,
        "with --validation or --split-column, which part the rows",
    ),
    Idle(
        "simulate",
        ("out", "as_json"),
        _beside("example"),
        "with --example, which prints a file and stops; leave it out",
    ),
    Idle("predict", _OF_TIERS, _without(*_TIERS), "without --tier, --edge or --cloud"),
    Idle(
        "predict",
        ("ca",),
        _no_https,
        "without an address of https:// for --tier, --edge or --cloud",
    ),
    Idle("predict", ("insecure",), _no_token, "without a token, of --token-file or DIMEC_TOKEN"),
    Idle(
        "predict",
        ("audit_bound",),
        lambda given: given["audit"] is None,
        "without --audit, the share of texts",
    ),
    Idle("predict", ("as_json",), _beside("output"), "with --output, which holds JSON lines"),
)


def refuse_idle(command: str, given: Given, rules: Sequence[Idle] = RULES) -> None:
    """Refuse the first option that was given and would do nothing.

    Args:
        command: the whole path, as rules name it.
        given: what was typed.
        rules: of this command and of others.

    Raises:
        ConfigError: names it, and the option that makes it idle.
    """
    for rule in rules:
        if rule.command == command:
            for option in rule.options:
                if option in given and rule.when(given):
                    raise ConfigError(f"{given.options[option]} does nothing {rule.why}")
