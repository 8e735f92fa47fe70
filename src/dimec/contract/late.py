"""Audited rows in the order of the audit, however late their labels come.

Where the answers agree a row's D is 0 at once; where they differ it takes a label, which may come
days later, and in any order. A monitor that took rows as they are settled would see those that
agree first. So a row waits until all before it are settled.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Self

from dimec.base.errors import CorruptArtefactError, DataError


@dataclass
class InOrder:
    """The rows that wait for a label, and those behind them.

    Attributes:
        due: number of the first row that is not settled; an audit counts its rows from 1.
        waiting: number → value of each settled row behind it; None for one that was given up.
    """

    due: int = 1
    waiting: dict[int, int | None] = field(default_factory=dict)

    def settle(self, row: int, value: int | None) -> list[int]:
        """Say what a row's value is; get the values that are due by this, in order.

        Args:
            row: its number in the audit.
            value: its value; None where no label will come. Such a row is left out, which does no
                harm as long as labels are missing by chance, and not where the policy is wrong.

        Returns:
            Values for :meth:`dimec.contract.monitor.Monitor.update`; none while a row before waits.

        Raises:
            DataError: the row has been settled, or has no number from 1.
        """
        if row < self.due or row in self.waiting:
            raise DataError(f"row {row} of the audit has been settled, or is none")
        self.waiting[row] = value
        values: list[int] = []
        while self.due in self.waiting:
            if (known := self.waiting.pop(self.due)) is not None:
                values.append(known)
            self.due += 1
        return values

    def to_json(self) -> str:
        """The whole state, for :meth:`of_json`."""
        return json.dumps({"due": self.due, "waiting": sorted(self.waiting.items())})

    @classmethod
    def of_json(cls, text: str) -> Self:
        """What :meth:`to_json` wrote.

        Raises:
            CorruptArtefactError: it is no such state.
        """
        try:
            state = json.loads(text)
            due, waiting = state["due"], dict(state["waiting"])
            if type(due) is not int or due < 1 or any(type(row) is not int for row in waiting):
                raise ValueError("its rows are no whole numbers")
            if any(row <= due for row in waiting) or set(waiting.values()) - {-1, 0, 1, None}:
                raise ValueError("its rows contradict each other")
        except (ValueError, TypeError, KeyError) as error:
            raise CorruptArtefactError(
                f"the rows that wait for labels cannot be read ({error}); begin a new audit"
            ) from error
        return cls(due, waiting)
