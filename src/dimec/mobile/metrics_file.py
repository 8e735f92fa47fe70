"""A file of metrics that is kept up to date, for whoever collects such files.

The textfile collector of Prometheus's node exporter reads ``*.prom`` of a folder; other agents do
the like. A reader finds the whole file, of before or of now, never half of one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from dimec.base.errors import DimecError, StorageError
from dimec.base.storage import atomic_write
from dimec.mobile.state.hold import is_passing

EVERY = 10.0  # seconds

_log = logging.getLogger(__name__)


class MetricsFile:
    """Writes a file at the beginning of a block, at its end, however it ends, and in between.

    Args:
        path: the file, which is replaced.
        metrics: gives its content, such as :meth:`dimec.mobile.Mobile.metrics`; called from a
            thread of this.
        seconds: between two writings.

    Raises:
        StorageError: at the beginning, or at an end without an error: it cannot be written, and not
            because the disk is full or read-only. That, and whatever else there is in between or
            after an error, is logged once, and the next time it is tried again.

    Example (not run, needs a bundle):
        >>> with Mobile.open("bundles/mine") as mobile:  # doctest: +SKIP
        ...     with MetricsFile(Path("/var/lib/node_exporter/dimec.prom"), mobile.metrics):
        ...         for answer in mobile.predict_many(open("reviews.txt")):
        ...             print(answer.label)
    """

    def __init__(self, path: Path, metrics: Callable[[], str], seconds: float = EVERY) -> None:
        self._path = path
        self._metrics = metrics
        self._seconds = seconds
        self._ended = threading.Event()
        self._complained = False
        # A daemon, so that it cannot keep the process from ending.
        self._thread = threading.Thread(target=self._keep, name="dimec-metrics", daemon=True)

    def __enter__(self) -> Self:
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        # An error that is under way is to be heard of, and no other in its place.
        self._write(forgiving=error is not None)

    def _keep(self) -> None:
        while not self._ended.wait(self._seconds):
            self._write(forgiving=True)

    def _write(self, forgiving: bool = False) -> None:
        try:
            atomic_write(self._path, self._metrics())
        except (DimecError, OSError) as error:
            passing = isinstance(error, StorageError) and is_passing(error, self._path)
            if not (forgiving or passing):
                raise
            if not self._complained:
                self._complained = True
                _log.warning("metrics are not written for now: %s", error)
        else:
            self._complained = False
