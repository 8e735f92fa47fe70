"""The ledger: what each policy does to accuracy and cost, one row a policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from dimec.base.errors import ConfigError, CorruptArtefactError
from dimec.base.storage import read_json, write_json
from dimec.base.tables import as_pandas, read_table_file, write_table
from dimec.evaluation.ledger_row import LedgerRow, share_key
from dimec.evaluation.ledger_table import KEY, MADE_BY, ledger_fields, ledger_table
from dimec.tiers.names import TIER_NAMES

__all__ = ["Ledger", "LedgerRow", "share_key"]


@dataclass(frozen=True)
class Ledger:
    """The rows of all policies on one trace.

    Attributes:
        rows: in the order in which the policies were given.
        metric_name: which score ``LedgerRow.metric`` is.
        context: what the figures rest on: task, exits, sizes, costs, thresholds, seeds, versions.
    """

    rows: tuple[LedgerRow, ...]
    metric_name: str
    context: Mapping[str, Any] = field(default_factory=dict)

    def row(self, policy: str) -> LedgerRow:
        """The row of that policy; ConfigError names those that there are."""
        for row in self.rows:
            if row.policy == policy:
                return row
        known = ", ".join(row.policy for row in self.rows)
        raise ConfigError(f"the ledger has no policy {policy!r}; it has {known}")

    def to_dicts(self) -> list[dict[str, Any]]:
        """One JSON object a row, without ``share_NAME`` of tiers that there are not."""
        absent = {share_key(name) for name in TIER_NAMES}
        return [
            {key: v for key, v in asdict(row).items() if v is not None or key not in absent}
            for row in self.rows
        ]

    @property
    def tiers(self) -> tuple[str, ...]:
        """Names of the tiers of its rows, in order; the last is what the others are against."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.shares)) or TIER_NAMES

    @property
    def reference(self) -> str:
        """The policy that drops and reductions are against: everything to the last tier."""
        return f"all-{self.tiers[-1]}"

    def save(self, folder: Path) -> None:
        """Write ``ledger.json`` (the rows) and ``ledger-context.json`` (what they rest on)."""
        context = {"metric_name": self.metric_name, **self.context}
        write_json(folder / "ledger-context.json", context)
        write_json(folder / "ledger.json", self.to_dicts())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            ArtefactError: missing, or not a ledger.
        """
        made_by = "dimec evaluate"
        path = folder / "ledger.json"
        rows, context = read_json(path, made_by), read_json(folder / "ledger-context.json", made_by)
        try:
            metric = str(context.pop("metric_name"))
            return cls(tuple(LedgerRow(**row) for row in rows), metric, context)
        except (TypeError, KeyError, AttributeError) as error:
            raise CorruptArtefactError(
                f"{path} is not a ledger ({error}); make it again with: {made_by}"
            ) from None

    def to_arrow(self) -> Any:
        """A ``pyarrow.Table``, a row a policy: :mod:`dimec.evaluation.ledger_table`.

        Raises:
            MissingExtraError: pyarrow is not installed.
        """
        return ledger_table(self.rows, self.tiers, self.metric_name, dict(self.context))

    def to_pandas(self) -> Any:
        """The same as a ``pandas.DataFrame``, and as to errors."""
        return as_pandas(self.to_arrow(), KEY)

    def to_parquet(self, path: Path | str) -> None:
        """Write the same to a Parquet file, or to an Arrow one where it ends in ``.arrow``.

        Raises:
            ConfigError: another ending.
            StorageError: it cannot be written.
        """
        write_table(Path(path), self.to_arrow())

    @classmethod
    def from_arrow(cls, table: Any) -> Self:
        """The ledger of what :meth:`to_arrow` or :meth:`to_pandas` made, or of some of its rows.

        Raises:
            DataError, ArtefactError: it is of something else, or lacks a column.
            MissingExtraError: pyarrow is not installed.
        """
        return cls(*ledger_fields(table))

    @classmethod
    def from_parquet(cls, path: Path | str) -> Self:
        """Read what :meth:`to_parquet` wrote; errors as :meth:`from_arrow`."""
        return cls.from_arrow(read_table_file(Path(path), MADE_BY))
