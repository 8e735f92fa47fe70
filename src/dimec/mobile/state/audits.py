"""The audit's rows in the state file, and what its monitors know.

Each audited answer is a row. Rows are numbered in the order in which chance picked their texts, and
the monitors see them in that order. The row, what the monitors know after it, and the answer itself
are written in one transaction.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import zlib
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self, TypeAlias

from dimec.base.errors import CorruptArtefactError, DataError, quoted
from dimec.contract.audit import Watched
from dimec.contract.late import InOrder
from dimec.contract.monitor import Monitor

SCHEMA = (
    # reference, different: of the last tier; NULL where it gave no answer. lost: D, or NULL where
    # the answers differ and no label has come.
    "CREATE TABLE audits(row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, reference TEXT, "
    "different INTEGER, lost INTEGER, cost REAL NOT NULL)",
    "CREATE TABLE watch(one INTEGER PRIMARY KEY CHECK (one = 0), state TEXT NOT NULL, "
    "check_sum INTEGER NOT NULL)",
)
_INSERT = "INSERT INTO audits VALUES (?, ?, ?, ?, ?, ?)"
_NEXT = "SELECT COALESCE(MAX(row), 0) + 1 FROM audits"
_TOTALS = (
    "SELECT COUNT(different), COUNT(*) - COUNT(different), TOTAL(different), TOTAL(cost) "
    "FROM audits"
)
_DROPS = (
    "SELECT row, lost FROM audits WHERE row >= ? AND row < ? AND different IS NOT NULL ORDER BY row"
)
_FIND = (
    "SELECT audits.row, answers.label, audits.reference, audits.lost "
    "FROM audits JOIN answers USING (id) WHERE id = ?"
)
_WRITE = "INSERT OR REPLACE INTO watch VALUES (0, ?, ?)"


class Session:
    """The numbers that are drawn while a state is open; those of another session count no more.

    Args:
        due: number of the first row.
    """

    def __init__(self, due: int) -> None:
        self._mutex = threading.Lock()
        self._next = due
        self._gone: set[int] = set()

    def draw(self) -> int:
        """The number of the next row."""
        with self._mutex:
            number, self._next = self._next, self._next + 1
            return number

    def give_up(self, row: int) -> None:
        """Say that a row will never be settled, so that those behind it need not wait."""
        with self._mutex:
            self._gone.add(row)

    def gone(self, due: int) -> list[int]:
        """The rows from ``due`` on that were given up."""
        with self._mutex:
            self._gone = {row for row in self._gone if row >= due}
            return sorted(self._gone)


@dataclass(slots=True, eq=False)
class Audited:
    """A text that was picked, and what the last tier says of it.

    Attributes:
        row: its number.
        session: in which it was drawn.
        tier: the last, which is asked.
        reference: the last tier's label, once it has spoken; None where it gave no answer.
        settled: whether it has spoken, or failed.
        cost: of asking it, in λ.
    """

    row: int
    session: Session
    tier: str
    reference: str | None = None
    settled: bool = False
    cost: float = 0.0

    def settle(self, reference: str | None, cost: float) -> None:
        """The last tier's label, or None where it gave none, and what that cost."""
        self.reference, self.settled, self.cost = reference, True, cost

    def give_up(self) -> None:
        """Its text gets no answer."""
        self.session.give_up(self.row)


AuditedRow: TypeAlias = tuple[str, str, Audited]  # id, the label that was given, and the audit


class AuditTotals(NamedTuple):
    """Sums over all audited answers: rows with a reference and without, how many differ, λ."""

    audited: int
    failed: int
    different: int
    cost: float


@dataclass
class Watch:
    """What the audit knows after the rows so far.

    Attributes:
        differences: monitor of the share of different answers.
        drops: of the drop in accuracy; None where no contract is of one.
        line: settled rows that wait for earlier ones.
        drops_due: the first row that ``drops`` has not seen.
        safe_since: answers that were recorded when the alarm was raised; None before.
        session: that numbers the next rows; not stored.
    """

    differences: Monitor
    drops: Monitor | None
    line: InOrder
    drops_due: int
    safe_since: int | None = None
    session: Session = field(default_factory=lambda: Session(1))

    @classmethod
    def begin(cls, database: sqlite3.Connection, watched: Watched) -> Self:
        """A new one, behind all rows that the file has."""
        (due,) = database.execute(_NEXT).fetchone()
        differences = Monitor.of_differences(watched.different, watched.alpha)
        drops = None if watched.drop is None else Monitor.of_drops(watched.drop, watched.alpha)
        return cls(differences, drops, InOrder(due), due, None, Session(due))

    @classmethod
    def read(cls, database: sqlite3.Connection) -> Self | None:
        """What the file holds; None where nothing was ever audited, or it was begun anew.

        Rows that an earlier process had not settled when it ended never will be: those that waited
        for them are taken in by the next row.

        Raises:
            ValueError: it was altered.
        """
        found = database.execute("SELECT state, check_sum FROM watch").fetchone()
        if found is None:
            return None
        state, check_sum = found
        if not isinstance(state, str) or check_sum != zlib.crc32(state.encode()):
            raise ValueError("what the audit knows was altered")
        try:
            stored = json.loads(state)
            drops = stored["drops"]
            watch = cls(
                Monitor.of_json(stored["differences"]),
                None if drops is None else Monitor.of_json(drops),
                InOrder.of_json(stored["line"]),
                int(stored["drops_due"]),
                stored["safe_since"],
            )
        except (LookupError, TypeError, CorruptArtefactError) as error:
            raise ValueError(f"what the audit knows cannot be read: {error}") from None
        due = max(watch.line.waiting, default=watch.line.due - 1) + 1
        watch.session = Session(due)
        for row in range(watch.line.due, due):
            if row not in watch.line.waiting:
                watch.session.give_up(row)
        return watch

    @property
    def watched(self) -> Watched:
        """The bounds that it holds answers to."""
        drop = None if self.drops is None else self.drops.bound
        return Watched(self.differences.bound, drop, self.differences.alpha)

    @property
    def alarm(self) -> int | None:
        """The audited row at which a monitor raised the alarm; None for no alarm."""
        alarms = [one.alarm for one in (self.differences, self.drops) if one is not None]
        return min((row for row in alarms if row), default=None)

    def entered(self, database: sqlite3.Connection, rows: Iterable[AuditedRow]) -> Watch:
        """The watch after these rows, which are written.

        This one stays as it is, in case the transaction fails.
        """
        after = self._copy()
        for id_, label, audited in rows:
            if audited.session is not self.session:
                continue  # drawn before the file was replaced, or the audit begun anew
            reference = audited.reference
            different = None if reference is None else int(reference != label)
            lost = 0 if different == 0 else None
            row = (audited.row, id_, reference, different, lost, audited.cost)
            database.execute(_INSERT, row)
            after._settle(audited.row, different)
        for number in self.session.gone(after.line.due):
            if number >= after.line.due and number not in after.line.waiting:
                after._settle(number, None)
        after._write(database)
        return after

    def labelled(self, database: sqlite3.Connection, id_: str, label: str) -> tuple[Watch, int]:
        """The watch after the label of an audited text, and its D: -1, 0 or 1.

        Raises:
            DataError: the text was not audited, the last tier gave no answer, or another label was
                given before.
        """
        found = database.execute(_FIND, (id_,)).fetchone()
        if found is None or found[2] is None:
            what = "was not audited" if found is None else "has no answer of the last tier"
            raise DataError(f"the text {quoted(id_)} {what}, so no label of it is needed")
        row, answer, reference, known = found
        lost = int(reference == label) - int(answer == label)
        after = self._copy()
        if known is None:
            database.execute("UPDATE audits SET lost = ? WHERE row = ?", (lost, row))
            after._write(database)
        elif known != lost:
            raise DataError(f"the text {quoted(id_)} was given another label before")
        return after, lost

    def _copy(self) -> Watch:
        line = InOrder(self.line.due, dict(self.line.waiting))
        return replace(self, differences=copy(self.differences), drops=copy(self.drops), line=line)

    def _settle(self, row: int, different: int | None) -> None:
        self.differences.extend(self.line.settle(row, different))

    def _write(self, database: sqlite3.Connection) -> None:
        """See the drops that are due, and write what is known then."""
        if self.drops is not None:
            self._see_drops(database, self.drops)
        if self.alarm is not None and self.safe_since is None:
            (self.safe_since,) = database.execute("SELECT COUNT(*) FROM answers").fetchone()
        state = json.dumps(
            {
                "differences": self.differences.to_json(),
                "drops": None if self.drops is None else self.drops.to_json(),
                "line": self.line.to_json(),
                "drops_due": self.drops_due,
                "safe_since": self.safe_since,
            }
        )
        database.execute(_WRITE, (state, zlib.crc32(state.encode())))

    def _see_drops(self, database: sqlite3.Connection, drops: Monitor) -> None:
        """Rows up to the first that differs and has no label yet, or is not settled."""
        for row, lost in database.execute(_DROPS, (self.drops_due, self.line.due)):
            if lost is None:
                self.drops_due = row
                return
            drops.update(lost)
        self.drops_due = self.line.due


def audit_totals(database: sqlite3.Connection) -> AuditTotals:
    """Sums over all rows."""
    audited, failed, different, cost = database.execute(_TOTALS).fetchone()
    return AuditTotals(audited, failed, int(different), cost)


def forget(database: sqlite3.Connection) -> None:
    """Forget what the monitors know; the rows stay."""
    database.execute("DELETE FROM watch")
