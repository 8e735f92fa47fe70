"""The trained runs of a reproduction: which there are, where they lie, and training those missing.

Every run is an ordinary run directory that ``dimec train`` would go on with, so a reproduction
that was killed goes on after the last finished epoch of each run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dimec.base.errors import ConfigError, TrainingFailedError
from dimec.base.progress import Progress
from dimec.data.backbones import with_own_tiers
from dimec.runs.run import Run
from dimec.settings.data import absolute_data
from dimec.settings.run import RunSettings
from dimec_studies.plan import Plan
from dimec_studies.plan_parts import Recipe
from dimec_studies.unused import write_unused


@dataclass(frozen=True)
class RunSpec:
    """One run of a plan.

    Attributes:
        task: short name in the plan.
        recipe: how it is trained.
        seed: of split, initialisation and order.
        label: what tells it from another run of the same task, recipe and seed.
        data: further settings of the data, such as the rows to train on.
    """

    task: str
    recipe: Recipe
    seed: int
    label: str = ""
    data: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def folder(self) -> str:
        """Name of the run directory."""
        label = f"-{self.label}" if self.label else ""
        return f"{self.task}-{self.recipe}{label}-seed{self.seed}"


@dataclass(frozen=True)
class Workshop:
    """Where runs are trained, and with what.

    Attributes:
        plan: what to train.
        folder: of the run directories.
        data_dir: folder of the GLUE files; None for the environment's, or the hub.
        workers: runs trained at a time, each in a process of its own with its share of the cores.
        progress: where to report to.
        traces: the folder of the trace collection; None for the checkout's.
        results: where results are stored, for an item that goes on with what is there.
    """

    plan: Plan
    folder: Path
    data_dir: str | None
    workers: int
    progress: Progress
    traces: Path | None = None
    results: Path | None = None

    def settings(self, spec: RunSpec) -> RunSettings:
        """The settings of a run."""
        settings = self.plan.settings(spec.task, spec.recipe, spec.seed, self.data_dir, **spec.data)
        if (name := settings.distillation.unlabelled) is None:
            return settings
        here = {"unlabelled": str((self.folder / name).resolve())}
        how = settings.distillation.model_copy(update=here)
        return settings.model_copy(update={"distillation": how})

    def run(self, spec: RunSpec) -> Run:
        """The run of a spec, trained or not."""
        return Run(self.folder / spec.folder)

    def train(self, specs: Iterable[RunSpec]) -> list[Run]:
        """Train the runs that are not finished; returns all, in order.

        Raises:
            ConfigError: fewer than one worker, or a folder that holds a run with other settings.
            TrainingFailedError: a training ended with an error; the others are kept.
        """
        wanted = list(specs)
        if self.workers < 1:
            raise ConfigError(f"expected at least 1 worker, got {self.workers}")
        missing = [spec for spec in wanted if not self._is_finished(spec)]
        if missing:
            done = len(wanted) - len(missing)
            self.progress.say(
                f"{len(wanted)} runs in {self.folder}: {done} are trained, {len(missing)} to train"
            )
            for spec in missing:
                self._write_unlabelled(spec)
            if self.workers == 1:
                self._in_turn(missing)
            else:
                self._side_by_side(missing)
        return [self.run(spec) for spec in wanted]

    def _write_unlabelled(self, spec: RunSpec) -> None:
        """The texts without labels that a run learns from too, where it has some."""
        settings = self.settings(spec)
        if (path := settings.distillation.unlabelled) is not None:
            rows = self.plan.task(spec.task).unlabelled
            assert rows is not None
            write_unused(Path(path), settings, rows)

    def _is_finished(self, spec: RunSpec) -> bool:
        run, settings = self.run(spec), self.settings(spec)
        if not run.training_path.exists():
            return False
        settings = settings.model_copy(update={"data": absolute_data(settings.data)})
        settings = with_own_tiers(settings)  # as the run's own settings name them
        if differences := run.settings().differences(settings):
            raise ConfigError(
                f"{run.path} holds a run with other settings ({'; '.join(differences)}); choose "
                "another --out, or remove that folder"
            )
        return True

    def _in_turn(self, specs: Sequence[RunSpec]) -> None:
        from dimec.training import train_run

        for number, spec in enumerate(specs, start=1):
            self.progress.say(f"run {number} of {len(specs)}: {spec.folder}")
            train_run(self.settings(spec), self.folder / spec.folder, progress=self.progress)

    def _side_by_side(self, specs: Sequence[RunSpec]) -> None:
        """Each run in a process of its own; Ctrl-C and an error end them all, epochs are kept."""
        stop = threading.Event()
        with ThreadPoolExecutor(self.workers) as pool:
            self.progress.start("training", len(specs))
            started = {pool.submit(self._in_process, spec, stop): spec for spec in specs}
            try:
                for future in as_completed(started):
                    future.result()
                    self.progress.advance(1, started[future].folder)
            finally:
                stop.set()
                pool.shutdown(cancel_futures=True)
                self.progress.end()

    def _in_process(self, spec: RunSpec, stop: threading.Event) -> None:
        out = self.folder / spec.folder
        log = self.folder / f"{spec.folder}.log"
        config = self.folder / f"{spec.folder}.toml"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.settings(spec).save(config)
        threads = max(1, (os.cpu_count() or 1) // self.workers)
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "TOKENIZERS_PARALLELISM": "false",
        }
        command = [sys.executable, "-m", "dimec", "train"]
        command += ["--config", str(config), "--out", str(out)]
        with log.open("w", encoding="utf-8") as stream:
            process = subprocess.Popen(
                command, stdout=stream, stderr=subprocess.STDOUT, env=environment
            )
            while process.poll() is None:
                if stop.wait(0.2):
                    process.terminate()
                    process.wait()
                    return
        if process.returncode != 0:
            last = (log.read_text("utf-8").strip().splitlines() or ["it ended without a word"])[-1]
            raise TrainingFailedError(f"training {out} failed: {last} (all of it in {log})")
        config.unlink(missing_ok=True)
        log.unlink(missing_ok=True)
