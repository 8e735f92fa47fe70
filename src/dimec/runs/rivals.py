"""Traces of systems with a training of their own: where they lie in a run directory.

A compressed model lies in ``compressed-METHOD``, a bottleneck in ``bottleneck-LAYER-WIDTH-…``; each
with the traces of its validation and its test split, of the same samples as the run's own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dimec.base.errors import ConfigError, MismatchError
from dimec.base.storage import read_json
from dimec.policies import System
from dimec.runs.workspace import RunDirectory
from dimec.traces.trace import Trace

_COMPRESSED, _BOTTLENECK = "compressed-", "bottleneck-"


def own_traces(run: RunDirectory, system: System) -> tuple[Trace, Trace] | None:
    """The traces of the validation and the test split that a system is to be replayed on.

    Args:
        run: trained.
        system: any; None for one that replays the run's own traces. So does a bottleneck that was
            not trained, as if its code lost nothing.

    Raises:
        ConfigError: a compressed model that was not made, or several bottlenecks to choose from.
        MismatchError: they are of another model, or of other samples, than the run's.
        ArtefactError: damaged.
    """
    folders = _folders(run, system.needs)
    if system.needs.startswith(_COMPRESSED) and not folders:
        method = system.needs.removeprefix(_COMPRESSED)
        raise ConfigError(
            f"{system.name} is replayed on traces of its own, and {run.path} has none; make them "
            f"with: dimec compress {run.typed} --method {method}"
        )
    if len(folders) > 1:
        raise ConfigError(
            f"{run.path} has several trained bottlenecks for {system.name}: "
            f"{', '.join(folder.name for folder in folders)}; move all but one of them away"
        )
    return _read(run, folders[0]) if folders else None


def _folders(run: RunDirectory, needs: str) -> list[Path]:
    """The finished folders of a training."""
    if needs.startswith(_BOTTLENECK):
        objective = needs.removeprefix(_BOTTLENECK)
        found = [
            *run.path.glob(f"{_BOTTLENECK}*-{objective}"),
            *run.path.glob(f"{_BOTTLENECK}*-{objective}-tail"),
        ]
        return sorted(one for one in found if _record_path(one).exists())
    if needs.startswith(_COMPRESSED):
        return [one for one in [run.path / needs] if _record_path(one).exists()]
    return []


def _record_path(folder: Path) -> Path:
    return folder / f"{folder.name.partition('-')[0]}.json"


def _read(run: RunDirectory, folder: Path) -> tuple[Trace, Trace]:
    command = "compress" if folder.name.startswith(_COMPRESSED) else "bottleneck"
    again = f"make it again with: dimec {command} --overwrite"
    record: Any = read_json(_record_path(folder), f"dimec {command}")
    if not isinstance(record, dict) or record.get("model") != run.training()["model"]:
        raise MismatchError(f"{folder} belongs to another model than {run.path} holds; {again}")
    validation, test = (
        Trace.load(folder / f"trace-{split}.safetensors") for split in ("validation", "test")
    )
    for trace in (validation, test):
        if trace.model != record.get("fingerprint") or trace.guids != run.trace(trace.split).guids:
            raise MismatchError(
                f"the {trace.split} trace in {folder} is not of the model or the samples that it "
                f"should be; {again}"
            )
    return validation, test
