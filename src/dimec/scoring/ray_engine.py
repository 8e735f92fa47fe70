"""The same tasks on a Ray cluster: Ray Data, and actors that load the models once.

An actor that dies is replaced, and its task done again by another; since the answers to a part
appear whole, behind which its tally is written, every row has one answer however often that
happens. All machines see the job's folder and the texts under the same paths.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dimec.base.errors import DimecError, MissingExtraError, ScoringFailedError, shown
from dimec.scoring.events import Done, Event, Failed, Read
from dimec.scoring.pieces import Task
from dimec.scoring.work import open_work

# Before ray is imported: it calls home otherwise.
_SILENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}
_DEATHS = 3  # in a row, of actors that have not done anything yet
_ONE = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def require_ray() -> None:
    """Raise MissingExtraError unless Ray Data is installed."""
    os.environ |= _SILENT
    try:
        importlib.import_module("ray.data")
    except ImportError:
        raise MissingExtraError("ray", "ray", "scoring on a Ray cluster") from None


class Actor:
    """What runs in a process of the cluster.

    Args:
        folder: of the job.
    """

    def __init__(self, folder: str) -> None:
        self._work = open_work(Path(folder))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Tasks as JSON, and what came of each."""
        said = [self._do(task) for task in batch["task"]]
        return {"task": list(batch["task"]), "said": [json.dumps(one) for one in said]}

    def _do(self, task: str) -> dict[str, Any]:
        read = Task.of_json(json.loads(task))
        try:
            return {"done": self._work(read, lambda rows: None)}
        except DimecError as error:
            return {"failed": str(error), "kind": type(error).__name__}


def run_ray(
    folder: Path, tasks: Sequence[Task], wanted: Callable[[Task], bool], *, workers: int | None
) -> Iterator[Event]:
    """Do tasks on the cluster that ``RAY_ADDRESS`` names, or one of this process's own.

    One that happens to run on this machine is joined with ``RAY_ADDRESS=auto`` alone. What is no
    longer wanted is done all the same: the tasks are handed over at once.

    Args:
        folder: of the job.
        tasks: to be done.
        wanted: asked of each beforehand.
        workers: actors; None: one for each core of the cluster.

    Raises:
        ScoringFailedError: the cluster cannot do them.
    """
    ray: Any = importlib.import_module("ray")
    data: Any = importlib.import_module("ray.data")
    own = not ray.is_initialized()
    if own:
        ray.init(
            address=os.environ.get("RAY_ADDRESS") or "local",
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            runtime_env={"env_vars": _ONE},
        )
    try:
        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        # One that is killed while it loads the models is replaced too, but not for ever.
        context.max_consecutive_actor_init_deaths = _DEATHS
        items = [{"task": json.dumps(task.to_json())} for task in tasks if wanted(task)]
        size = min(len(items), workers or int(ray.cluster_resources().get("CPU", 1)))
        said = data.from_items(items, override_num_blocks=len(items)).map_batches(
            Actor,
            fn_constructor_args=(str(folder),),
            batch_size=1,
            compute=data.ActorPoolStrategy(size=max(1, size)),
            num_cpus=1,
        )
        for row in said.iter_rows():
            yield from _events(row)
    except ray.exceptions.RayError as error:
        raise ScoringFailedError(
            f"the Ray cluster cannot do this work: {shown(str(error).strip(), 300)}"
        ) from None
    finally:
        if own:
            ray.shutdown()


def _events(row: dict[str, Any]) -> Iterator[Event]:
    task, said = Task.of_json(json.loads(row["task"])), json.loads(row["said"])
    if "done" in said:
        yield Read(task.piece.rows)
        yield Done(task, said["done"])
    else:
        yield Failed(task, said["failed"], said["kind"])
