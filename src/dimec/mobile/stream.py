"""A stream of inputs answered by threads, in order of arrival."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import wait

from dimec.base.errors import ConfigError
from dimec.base.machine import processors
from dimec.mobile.arrivals import Arrival
from dimec.mobile.core import Text
from dimec.mobile.engine import Engine
from dimec.mobile.item import Item
from dimec.mobile.prediction import Prediction
from dimec.mobile.window import Window

# Inputs under way for each worker: enough for full requests, few enough to be held in memory.
AHEAD = 16
_GLANCE = 0.1  # seconds between looks at whether the stream has ended meanwhile

Lead = Callable[[str, list[Item]], None]


def lighten(item: Item, device: str) -> None:
    """Let go of most of the memory of an input of a stream that another tier is to answer.

    It is needed again only where every other tier fails.
    """
    if item.way.tier != device and item.embedded is not None:
        item.embedded.hidden = None


class Stream:
    """Answers one stream.

    The caller's thread takes texts, embeds them and has the policy decide, in order. Workers ask
    the tiers, several inputs at once, and record every answer as soon as all before it are
    recorded; that does not wait for the caller, who may be slow.

    Args:
        engine: the mobile's.
        lead: leads inputs on at the tier that they are to go to.
        workers: threads.
    """

    def __init__(self, engine: Engine, lead: Lead, workers: int) -> None:
        self._engine = engine
        self._lead = lead
        self._workers = workers
        self._limit = AHEAD * workers
        self._processors = processors()
        self._window = Window(engine.names)
        self._ready: deque[Prediction] = deque()
        self._recording = 0
        self._stopping = False
        self._crash: BaseException | None = None
        self._threads: list[threading.Thread] = []
        # Reentrant, because the garbage collector may close a forgotten stream at any moment.
        mutex = threading.RLock()
        self._work = threading.Condition(mutex)
        self._news = threading.Condition(mutex)

    def run(self, arrivals: Iterator[Arrival]) -> Generator[Prediction, None, None]:
        """The predictions, in order. Leaves no thread behind, however it ends."""
        failure: Exception | None = None
        open_, pause = True, False
        try:
            while True:
                yield from self._delivered(drain=pause or not open_)
                if self._is_to_wait(pause or not open_):
                    continue
                if not open_:
                    break
                try:
                    arrival = next(arrivals)
                    pause = arrival is None
                    if arrival is not None:
                        self._admit(*arrival)
                except StopIteration:
                    open_ = False
                except Exception as error:  # its place in the order is behind the answers so far
                    open_, failure = False, error
            if failure is not None:
                raise failure
        finally:
            self.close()

    def close(self) -> None:
        """Stop the workers, and forget what has no answer. Calling it again does nothing."""
        with self._work:
            self._stopping = True
            self._work.notify_all()
            self._news.notify_all()
        for thread in self._threads:
            # One that Ctrl-C met while it was being started is not alive yet and cannot be joined;
            # it finds that the stream stops, and ends without having done anything.
            if thread is not threading.current_thread() and thread.is_alive():
                thread.join()
        with self._work:
            left = self._window.clear()
        self._engine.drop(left)

    def _admit(self, text: Text, id_: str | None) -> None:
        engine = self._engine
        item = engine.admit(text, id_, None)
        while (held := engine.claim(item)) is not None:
            # It may be an input of this very stream.
            while not wait([held], timeout=_GLANCE).done:
                self._check()
        try:
            engine.recall(item)
            if not item.known:
                engine.embed(item)
                engine.decide(item)
                lighten(item, engine.device)
            with self._work:
                self._window.add(item)
                self._work.notify()
        except BaseException:
            engine.drop([item])
            raise
        if item.known:
            self._record()
        elif len(self._threads) < self._workers:
            # A daemon, so that a stream left unfinished cannot keep the process from ending.
            thread = threading.Thread(target=self._run_worker, name="dimec-predict", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _delivered(self, drain: bool) -> list[Prediction]:
        """What is ready; waits for something as :meth:`_is_to_wait` says."""
        with self._news:
            while not self._ready:
                self._check()
                if not self._is_busy(drain):
                    break
                self._news.wait()
            ready = list(self._ready)
            self._ready.clear()
        return ready

    def _is_to_wait(self, drain: bool) -> bool:
        """Whether answers are to be delivered before another input is taken.

        Args:
            drain: until none is left, and not just until there is room.
        """
        with self._work:
            return bool(self._ready) or self._is_busy(drain)

    def _is_busy(self, drain: bool) -> bool:
        under_way = len(self._window) + self._recording
        return under_way > 0 if drain else under_way >= self._limit

    def _check(self) -> None:
        if self._crash is not None:
            raise self._crash
        if self._stopping:
            raise ConfigError("the mobile was closed while a stream was running")

    def _run_worker(self) -> None:
        try:
            while (work := self._next()) is not None:
                self._do(*work)
                self._record()
        except BaseException as error:
            with self._work:
                self._crash = self._crash or error
                left = self._window.clear()
                self._news.notify_all()
            # At once, and not when the caller comes back: others may wait for the same inputs.
            self._engine.drop(left)

    def _next(self) -> tuple[str, list[Item]] | None:
        with self._work:
            while not self._stopping and self._crash is None:
                local = self._window.running[self._engine.device] < self._processors
                if (work := self._window.take(local)) is not None:
                    return work
                self._work.wait()
            return None

    def _do(self, tier: str, items: list[Item]) -> None:
        self._lead(tier, items)
        with self._work:
            self._window.done(tier, items)
            self._work.notify_all()

    def _record(self) -> None:
        """Record the answers at the head, unless another thread is at it, who takes these too."""
        while True:
            with self._work:
                if self._recording or not (head := self._window.finished()):
                    return
                self._recording = len(head)
            predictions: list[Prediction] = []
            try:
                predictions = self._engine.record(head)
            finally:
                with self._work:
                    self._recording = 0
                    self._ready.extend(predictions)
                    self._news.notify()
