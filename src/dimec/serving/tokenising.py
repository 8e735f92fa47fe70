"""Texts of requests, tokenised by threads of their own on their way to the queue.

Only a tier whose model has a tokenizer of its own is sent texts. What comes of them is queued like
the rows of any other tier.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from dimec.base.arrays import IntArray
from dimec.base.errors import DataError, ProtocolError
from dimec.bundle.cutting import Cutter
from dimec.bundle.folders import TierBundle
from dimec.bundle.graphs import pad_batch
from dimec.bundle.tokens import encode, load_tokenizer
from dimec.serving.batching import Batcher
from dimec.serving.checks import Rows, Text
from dimec.serving.entries import Cancelled, Entry


class Tokeniser:
    """Makes model inputs of texts, off the event loop, and queues them.

    Args:
        bundle: of a tier that takes texts.
        batcher: whose queue they go to, and count in from the start: a queue of huge texts is full
            before any of them is tokenised.
        workers: how many requests may be tokenised side by side.

    Raises:
        CorruptArtefactError: the tokenizer cannot be loaded, has rules that are refused, or fails
            on a text.
    """

    def __init__(self, bundle: TierBundle, batcher: Batcher, workers: int) -> None:
        self._manifest = bundle.manifest
        self._tokenizer = load_tokenizer(bundle)
        self._cutter = Cutter(self._tokenizer, bundle.manifest.max_tokens)
        self._batcher = batcher
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="tokens")

    def submit(self, texts: Sequence[Text], timeout: float | None = None) -> Entry:
        """Queue a request's texts, as :meth:`Batcher.submit` does rows.

        The entry's ``answer`` also raises :class:`ProtocolError`, where the tokenizer fails on a
        text or finds no token in it.

        Raises:
            Overloaded: the queue has no room for all of them.
        """
        entry = self._batcher.admit(len(texts), timeout)
        self._executor.submit(self._work, asyncio.get_running_loop(), entry, texts)
        return entry

    def close(self) -> None:
        """Tokenise nothing more; to be called after :meth:`Batcher.close`."""
        self._executor.shutdown(cancel_futures=True)

    def _work(self, loop: asyncio.AbstractEventLoop, entry: Entry, texts: Sequence[Text]) -> None:
        """Tokenise; in a thread."""
        try:
            result: Rows | Exception = self._rows(entry, texts)
        except Exception as error:
            result = error
        except BaseException as error:  # a thread that dies in silence would leave clients waiting
            result = RuntimeError(f"{type(error).__name__} in the tokenizer's thread")
        loop.call_soon_threadsafe(self._finish, entry, result)

    def _rows(self, entry: Entry, texts: Sequence[Text]) -> Rows:
        found = []
        for text in texts:
            if entry.answer.done():
                raise Cancelled  # too late, or nobody waits: the rest need not be tokenised
            found.append(self._row(text))
        lengths = np.array([len(row["input_ids"]) for row in found])
        return Rows(pad_batch(found, self._manifest.padding), lengths)

    def _row(self, text: Text) -> dict[str, IntArray]:
        """Name → (T,) of one text."""
        try:
            encoding = encode(self._tokenizer, text, self._cutter)
        except DataError as error:
            raise ProtocolError(str(error)) from None
        ids = np.array(encoding.ids, np.int64)
        if not len(ids):
            raise ProtocolError("the bundle's tokenizer finds no token in a text")
        values = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.array(encoding.type_ids, np.int64),
        }
        return {name: values[name] for name in self._manifest.inputs}

    def _finish(self, entry: Entry, result: Rows | Exception) -> None:
        if isinstance(result, Exception):
            self._batcher.drop(entry, result)
        else:
            self._batcher.enqueue(entry, result)
