"""What a tracker holds, by its own interface, as JSON; run by .trackers/'s Python.

``tracker_reader.py mlflow`` or ``trackio`` prints a list of runs: name, status, settings, metrics
as name → (step, value), and files as name → text. Where the tracker is, its own variables say.
"""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

PROJECT = "dimec"


def of_mlflow() -> list[dict[str, Any]]:
    """The runs of the experiment."""
    from mlflow import MlflowClient

    client, runs = MlflowClient(), []
    experiment = client.get_experiment_by_name(PROJECT)
    for run in client.search_runs([experiment.experiment_id]):
        id_ = run.info.run_id
        metrics = {
            name: [(one.step, one.value) for one in client.get_metric_history(id_, name)]
            for name in run.data.metrics
        }
        with tempfile.TemporaryDirectory() as folder:
            kept = [one.path for one in client.list_artifacts(id_, "ledger")]
            files = {
                Path(path).name: Path(client.download_artifacts(id_, path, folder)).read_text()
                for path in kept
            }
        runs.append(
            {
                "name": run.info.run_name,
                "status": run.info.status,
                "settings": run.data.params,
                "metrics": metrics,
                "files": files,
            }
        )
    return runs


def of_trackio() -> list[dict[str, Any]]:
    """The runs of the project; metrics by its command line, as its users read them."""
    import trackio

    runs = [
        {
            "name": run.name,
            "status": "",
            "settings": run.config,
            "metrics": _metrics(run.name),
            "files": {},
        }
        for run in trackio.Api().runs(PROJECT)
    ]
    for run in runs:
        # Artefacts are a project's, and read within a run of it.
        trackio.init(project=PROJECT, name=run["name"], resume="must")
        for file in ("ledger", "ledger-context"):
            with tempfile.TemporaryDirectory() as folder:
                name = f"{run['name']}.{file}"
                try:
                    kept = trackio.use_artifact(name).download(folder)
                except Exception as error:
                    print(f"{name}: {error}", file=sys.stderr)
                    continue
                run["files"] |= {one.name: one.read_text() for one in Path(kept).iterdir()}
        trackio.finish()
    return runs


def _metrics(run: str) -> dict[str, list[tuple[int, float]]]:
    of_run = ("--project", PROJECT, "--run", run)
    return {
        name: [
            (one["step"], one["value"])
            for one in _trackio("get", "metric", *of_run, "--metric", name)["values"]
        ]
        for name in _trackio("list", "metrics", *of_run)["metrics"]
    }


def _trackio(*words: str) -> Any:
    """What its command line prints; in this process, for each start takes it seconds."""
    from trackio.cli import main

    sys.argv = ["trackio", *words, "--json"]
    with redirect_stdout(StringIO()) as said:
        main()
    return json.loads(said.getvalue())


if __name__ == "__main__":
    found = {"mlflow": of_mlflow, "trackio": of_trackio}[sys.argv[1]]()
    print("found:" + json.dumps(found))
