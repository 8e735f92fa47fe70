"""``dimec demo``: the whole method on real text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dimec.cli.common import AsJson, print_json, progress_bar, show_ledger
from dimec.cli.train import train_from


def demo(
    out: Annotated[Path, typer.Option(help="The run directory.")] = Path("runs/demo"),
    as_json: AsJson = False,
) -> None:
    """Do it all on real movie reviews: train, fit, evaluate, report.

    A 6-layer encoder with exits 2, 3 and 6 learns the sentiment of review snippets (Hutto and
    Gilbert 2014). To take minutes on two cores, it trains on a sample of 3,000 rows; validation
    and test are whole. Run again, it reuses what is there.
    """
    given = {
        "task": "vader/movies",
        "exits": (2, 3, 6),
        "max_train_rows": 3000,
        "max_tokens": 96,
    }
    run = train_from(given, None, None, out, grid=False, overwrite=False)
    from dimec.fitting import describe_fit

    lines = describe_fit(run.fit())
    ledger = run.evaluate()
    with progress_bar() as progress:
        page = run.report(progress=progress)
    if as_json:
        print_json({"report": str(page), "ledger": ledger.to_dicts()})
        return
    print("\n".join(lines))
    show_ledger(ledger)
    print(f"report: {page}")
