"""The trace of many rows, recorded by worker processes on graphs: resumable, part by part.

::

    FOLDER/rows.jsonl        the rows, a line each, as the workers read them
    FOLDER/.score/…          the job: graphs, parts that are recorded (:mod:`dimec.scoring.job`)
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dimec.base.errors import ArtefactError
from dimec.base.progress import NoProgress, Progress
from dimec.base.storage import atomic_path
from dimec.data import Dataset
from dimec.runs.workspace import RunDirectory
from dimec.scoring.job import Job
from dimec.scoring.layout import Layout
from dimec.scoring.recorder import Records, read_records
from dimec.scoring.run import Execute, record
from dimec.scoring.scorer import PACKAGES, ScorerManifest, open_manifest
from dimec.scoring.shards import Shard
from dimec.traces.trace import Trace
from dimec.training.own_finish import join_tiers
from dimec.training.scorer import make_recorder

_ROWS, _RECORDED = "rows.jsonl", "rows.safetensors"


@dataclass(frozen=True)
class Workers:
    """Who records a trace, in place of this process.

    Attributes:
        execute: does the parts.
        folder: for the graphs and the parts, kept until the trace is whole.
    """

    execute: Execute
    folder: Path

    def clear(self) -> None:
        """Remove graphs and parts: the trace is kept somewhere."""
        shutil.rmtree(self.folder, ignore_errors=True)


def record_by_workers(
    run: RunDirectory,
    dataset: Dataset,
    workers: Workers,
    *,
    split: str,
    progress: Progress | None = None,
) -> Trace:
    """What every exit says of rows that have a run's label codes, in their order.

    It is what torch says but for rounding, and the same to the last bit however many workers there
    are, and however often the work was ended and begun again.

    Args:
        run: finished.
        dataset: the rows.
        workers: who does the work.
        split: what the trace calls them.
        progress: where to report to.

    Raises:
        ConfigError: an encoder or a tokenizer that cannot be exported.
        DataError: a row that the models cannot take.
        MismatchError: the folder has the parts of another run's trace, or of other versions.
        ParityError: a graph does not answer as its model does.
        RunBusyError: another process works in the folder.
    """
    progress = progress or NoProgress()
    training = run.training()
    identity = {
        "run": str(training["model"]),
        "packages": {name: version(name) for name in PACKAGES},
    }
    with Job.held(workers.folder, identity, Layout(records=True)) as job:
        manifest = _have_recorder(run, job, progress)
        shard = Shard(job.out / _ROWS, "jsonl", _RECORDED)
        _write_rows(dataset, shard.path)
        tasks = record(job, shard, workers.execute, progress)
        records = read_records([task.target for task in tasks], len(dataset))
    return _trace(run, training, dataset, split, manifest, records)


def _have_recorder(run: RunDirectory, job: Job, progress: Progress) -> ScorerManifest:
    """The graphs, made unless they are there."""
    try:
        return open_manifest(job.scorer_path)
    except ArtefactError:
        return make_recorder(run, job.scorer_path, progress)


def _write_rows(dataset: Dataset, path: Path) -> None:
    """The same rows give the same bytes, by which parts are known again."""
    columns = {"text": dataset.texts}
    if dataset.pairs is not None:
        columns["pair"] = dataset.pairs
    with atomic_path(path) as temporary, temporary.open("w", encoding="ascii") as stream:
        for values in zip(*columns.values(), strict=True):
            stream.write(json.dumps(dict(zip(columns, values, strict=True))) + "\n")


def _trace(
    run: RunDirectory,
    training: dict[str, Any],
    dataset: Dataset,
    split: str,
    manifest: ScorerManifest,
    records: Records,
) -> Trace:
    """As :func:`dimec.training.inference.record_trace` makes it; of several models, joined."""
    own = run.tier_runs()
    told = {source: one.training() for source, one in own.items()} or {"": training}
    traces = {}
    for place, (source, one) in enumerate(told.items()):
        columns = [at for at, other in enumerate(manifest.sources) if other == source]
        traces[source] = Trace(
            # The first tier decides by its own; nobody reads what the others' models embed.
            embeddings=records.embeddings if not place else records.embeddings[:, :0],
            probabilities=records.probabilities[:, columns],
            labels=dataset.labels,
            exits=tuple(manifest.exits[at] for at in columns),
            tiers=tuple(one["tiers"]),
            guids=tuple(dataset.guids),
            label_names=dataset.label_names,
            task=dataset.task,
            split=split,
            metric=dataset.metric,
            model=str(one["model"]),
            lengths=records.lengths,
            extra=dict(dataset.extra),
        )
    return join_tiers(traces, dataset) if own else traces[""]
