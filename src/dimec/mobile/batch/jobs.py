"""A file of texts answered into a file of answers, across interruptions.

The state knows by its path which job fills a file. Every input has an id that is made of the job,
the text's line and a check of the text, so that a second run finds the answers that the first one
recorded and did not write, and a changed input is noticed. A line that a kill cut off is removed.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from dimec.base.errors import ConfigError, CorruptArtefactError, shown
from dimec.base.storage import storage_errors
from dimec.mobile.arrivals import Arrival
from dimec.mobile.batch.lines import Line
from dimec.mobile.core import Text
from dimec.mobile.prediction import Prediction
from dimec.mobile.state.store import State


class Job:
    """The answers to a file of texts, in a file: one line for each text, in order.

    Args:
        path: the file of answers; made, or gone on with.
        state: the mobile's.

    Raises:
        ConfigError: the file holds something that this state knows nothing of.
        StorageError: it cannot be written.
    """

    def __init__(self, path: Path, state: State) -> None:
        self.path = path
        _check_file(path)
        target = str(path.absolute())
        name = state.job(target)
        with storage_errors(path):
            exists = path.exists()
            if exists and path.stat().st_size and name is None:
                raise ConfigError(
                    f"{path} has content that does not come from this state ({state.path}); give "
                    "another --output, or the --state that it was made with"
                )
            # A file that was removed is asked for anew, not a copy of the old one.
            self._name = name if exists and name is not None else state.begin_job(target)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = path.open("r+b" if exists else "x+b")
        self.done = self._cut()

    def arrivals(self, lines: Iterable[Line | None]) -> Iterator[Arrival]:
        """Texts that have no line yet, with their ids.

        Raises:
            ConfigError: a line that is there answers another text.
        """
        with self.path.open("rb") as written:
            row = 0
            for line in lines:
                if line is None:
                    yield None
                    continue
                id_ = line.id if line.id is not None else self._id(row, line.text)
                if row >= self.done:
                    yield line.text, id_
                elif self._read_id(written, row) != id_:
                    raise self._another(f"line {line.number} of the input is another one now")
                row += 1
        if row < self.done:
            raise self._another(f"the input has {row} texts, and the output {self.done} lines")

    def write(self, prediction: Prediction) -> None:
        """Append an answer."""
        line = json.dumps(prediction.to_dict(), ensure_ascii=False) + "\n"
        with storage_errors(self.path):
            self._stream.write(line.encode())
            self._stream.flush()

    def close(self) -> None:
        """Have the lines reach the disk."""
        with storage_errors(self.path), self._stream:
            self._stream.flush()
            os.fsync(self._stream.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _id(self, row: int, text: Text) -> str:
        check = hashlib.blake2b(json.dumps([self._name, text]).encode(), digest_size=4)
        return f"{self._name}-{check.hexdigest()}-{row}"

    def _cut(self) -> int:
        """Remove a last line that has no end; returns how many are left."""
        whole, lines = 0, 0
        with storage_errors(self.path):
            for line in self._stream:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                lines += 1
            self._stream.truncate(whole)
            self._stream.seek(whole)
        return lines

    def _read_id(self, written: Iterator[bytes], row: int) -> str:
        try:
            id_ = json.loads(next(written))["id"]
        except (StopIteration, ValueError, LookupError, TypeError):
            raise CorruptArtefactError(
                f"{self.path}, line {row + 1}: it is no answer; remove the file to begin anew"
            ) from None
        return str(id_)

    def _another(self, problem: str) -> ConfigError:
        return ConfigError(
            f"{self.path} answers another input ({problem}); give another --output, or remove it"
        )


def _check_file(path: Path) -> None:
    """Whether answers can be kept there and gone on with."""
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(
            f"cannot write {shown(str(path), 150)}: {error.strerror}; give another --output"
        ) from None
    if not stat.S_ISREG(kind):
        what = "a folder" if stat.S_ISDIR(kind) else "a pipe or a device"
        raise ConfigError(
            f"--output {path} is {what}, and answers are kept in a file, to be gone on with; give "
            "a file, or leave --output out: the answers go to standard output then"
        )
