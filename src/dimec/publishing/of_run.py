"""What is pushed of a run directory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from dimec.base.errors import MissingArtefactError
from dimec.base.storage import atomic_write, file_sha256, read_json
from dimec.policies.kinds import ARRAYS, POLICY
from dimec.publishing.private import cleaned
from dimec.runs.paths import RunPaths
from dimec.traces.sources import joint_model
from dimec.traces.trace import Trace

Files = tuple[dict[str, Path], dict[str, str]]

_PLAIN: tuple[str, ...] = (
    "config.toml",
    "data.sha256",
    "training.json",
    "exit0.safetensors",
    "fit.json",
)
_PLAIN += (POLICY, ARRAYS, "lesson.sha256", "grid.json", "ready.json")
_REPORT = ("ledger.json", "ledger-context.json", "scenarios.json", "curves.json")
_MODEL = {".json", ".safetensors", ".txt", ".model"}
_TEXTS = "holds texts of your rows; --texts takes it along"
_LEFT_OUT = {
    "data.jsonl": "holds your rows",
    "selections": "holds your rows",
    "calibration": "holds your rows",
    "streams": "traces of other tasks' rows; push them by themselves",
    "checkpoint": "while training only",
    "cross-fit": "models that are made anew with the same settings",
    "grid": "trainings that were not chosen",
    "teacher": "while training only",
    "first-round": "while training only",
    "labelled-only": "while training only",
    "report/report.html": "names folders of this machine; dimec report makes it anew",
}
_OTHER = "no file of a run that is known to hold results alone"
_HIDDEN = "."


def run_files(folder: Path, workspace: Path, texts: bool) -> Files:
    """Name on the hub → file, of a trained run; and what is left out.

    A model whose settings name a folder here gets them without it, and with that another
    fingerprint, which every file of the parcel then names.

    Args:
        folder: the run directory.
        workspace: where files go that are written anew.
        texts: whether to take along the texts that export compares models on.

    Raises:
        MissingArtefactError: the run is not trained.
        ArtefactError, ValueError: it is damaged.
    """
    runs = {"": RunPaths(folder)}
    tiers = sorted(
        p for p in RunPaths(folder).tiers_path.glob("*") if (p / "training.json").is_file()
    )
    runs |= {f"tiers/{tier.name}/": RunPaths(tier, runs[""]) for tier in tiers}
    names = _fingerprints(runs, workspace)
    files: dict[str, Path] = {}
    left_out: dict[str, str] = {}
    for prefix, run in runs.items():
        found = _of_one(run, texts)
        for name, path in found.items():
            target = workspace / prefix / name
            done = target if target.exists() else cleaned(path, target, names)
            files[prefix + name] = done
        for name, why in _rest(run, found, texts).items():
            left_out[prefix + name] = why
    if not texts:
        _without_examples(files, workspace)
    if "training.json" not in files:
        raise MissingArtefactError(f"{folder} is not trained; train it with: dimec train")
    return files, left_out


def fingerprint(files: Mapping[str, Path]) -> str:
    """The fingerprint of a model of these files by name, as training takes it."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name} {file_sha256(files[name])}\n".encode())
    return digest.hexdigest()


def _fingerprints(runs: Mapping[str, RunPaths], workspace: Path) -> dict[str, str]:
    """Fingerprints that change with the paths taken out of models' settings → the new ones."""
    names: dict[str, str] = {}
    for prefix, run in runs.items():
        if run.model_path.is_dir():
            kept = _model_files(run)
            new = {
                name.partition("/")[2]: cleaned(path, workspace / prefix / name, {})
                for name, path in kept.items()
            }
            if any(new[name.partition("/")[2]] != path for name, path in kept.items()):
                old = read_json(run.training_path, "dimec train")["model"]
                names[old] = fingerprint(new)
    whole = runs[""]
    if names and whole.trace_path("test").is_file():
        models = Trace.load(whole.trace_path("test")).models
        if len(models) > 1:
            joint = {source: names.get(model, model) for source, model in models.items()}
            names[joint_model(models)] = joint_model(joint)
    return names


def _model_files(run: RunPaths) -> dict[str, Path]:
    if not run.model_path.is_dir():
        return {}
    found = sorted(path for path in run.model_path.iterdir() if path.suffix in _MODEL)
    return {f"model/{path.name}": path for path in found}


def _of_one(run: RunPaths, texts: bool) -> dict[str, Path]:
    """The files of one run directory that go along, but those of its tiers."""
    files = {name: run.path / name for name in (*_PLAIN, "survey.json")}
    files |= _model_files(run)
    for path in sorted(run.dynamics_path.glob("*")):
        if path.suffix in (".safetensors", ".jsonl"):
            files[f"dynamics/{path.name}"] = path
    for path in sorted(run.path.glob("trace-*.safetensors")):
        files[path.name] = path
    files |= {f"report/{name}": run.report_path / name for name in _REPORT}
    for path in sorted(run.report_path.glob("*")):
        if path.suffix in (".svg", ".csv"):
            files[f"report/{path.name}"] = path
    if texts:
        files[run.parity_path.name] = run.parity_path
    return {name: path for name, path in files.items() if path.is_file()}


def _rest(run: RunPaths, taken: Mapping[str, Path], texts: bool) -> dict[str, str]:
    """What lies in a run directory beside what is taken → why it stays."""
    known = dict(_LEFT_OUT) | ({} if texts else {run.parity_path.name: _TEXTS})
    left = {name: why for name, why in known.items() if (run.path / name).exists()}
    folders = {name.partition("/")[0] for name in taken} | {"tiers"}
    for path in sorted(run.path.iterdir()):
        name = path.name
        if not name.startswith(_HIDDEN) and name not in {*left, *folders, *taken}:
            left[name] = _OTHER
    return left


def _without_examples(files: dict[str, Path], workspace: Path) -> None:
    """Surveys without the text that stands in them as an example of a double."""
    for name in [name for name in files if name.endswith("survey.json")]:
        value = json.loads(files[name].read_bytes())
        told = [part for part in value.values() if isinstance(part, dict) and part.get("example")]
        for part in told:
            part["example"] = ""
        if told:
            files[name] = workspace / name
            atomic_write(files[name], json.dumps(value, indent=2, ensure_ascii=False) + "\n")
