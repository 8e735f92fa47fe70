"""Reports: the ledger in the terminal, and one HTML page with figures and their data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dimec.base.storage import atomic_write
from dimec.report.figures import FIGURES, draw_all
from dimec.report.html import render_page
from dimec.report.inputs import PooledInputs, ReportInputs
from dimec.report.style import require
from dimec.report.table import ledger_tables, ledger_text

__all__ = ["PooledInputs", "ReportInputs", "ledger_tables", "ledger_text", "write_report"]


def write_report(
    inputs: ReportInputs, folder: Path, *, progress: Callable[[str], None] | None = None
) -> Path:
    """Write ``report.html`` and, for each figure, ``NAME.svg`` and ``NAME.csv``.

    The same inputs give the same bytes. Nothing is written before every figure is drawn. Figures of
    an earlier report that this one does not have are removed.

    Args:
        inputs: the stored results of a run.
        folder: created where it is missing.
        progress: called with a few words before each step.

    Returns:
        The path of ``report.html``.

    Raises:
        MissingExtraError: matplotlib or openTSNE is not installed.
        StorageError: the disk is full or refuses to write.
    """
    tell = progress or (lambda words: None)
    for package in ("matplotlib", "openTSNE"):
        require(package, "the HTML report")
    drawings = draw_all(inputs, tell)
    page = render_page(inputs, drawings)
    folder = Path(folder)
    tell(f"writing {folder / 'report.html'}")
    for drawing in drawings:
        atomic_write(folder / f"{drawing.name}.svg", drawing.svg)
        atomic_write(folder / f"{drawing.name}.csv", drawing.series.to_csv())
    for name in set(FIGURES) - {drawing.name for drawing in drawings}:
        for ending in ("svg", "csv"):
            (folder / f"{name}.{ending}").unlink(missing_ok=True)
    path = folder / "report.html"
    atomic_write(path, page)
    return path
