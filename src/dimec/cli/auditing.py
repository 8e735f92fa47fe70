"""Options of the audit, and what a command says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dimec.mobile import Mobile

AUDIT = "Audit"

Audit = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="Ask the last tier of so many texts too, picked at random, such as 0.01; once more "
        "answers differ than the contract bears, every text goes there.",
        rich_help_panel=AUDIT,
    ),
]
AuditBound = Annotated[
    float | None,
    typer.Option(
        metavar="POINTS",
        help="The share of different answers that is allowed, in percent; default: the contract's.",
        rich_help_panel=AUDIT,
    ),
]
AuditReset = Annotated[
    bool,
    typer.Option(
        "--audit-reset",
        help="Begin the audit anew, and go back to the fitted policy after an alarm.",
        rich_help_panel=AUDIT,
    ),
]


def audit_lines(mobile: Mobile) -> list[str]:
    """What the audit came to, in the state as a whole; nothing where there is none."""
    audit, ledger = mobile.engine.audit, mobile.ledger()
    last, lines = mobile.engine.names[-1], []
    if audit.share:
        lines.append(
            f"audit: {ledger.audited} answers were held against the {last}'s, {ledger.different} "
            f"differ, {ledger.audits_failed} could not be; {ledger.audit_cost:g} λ, apart from the "
            "answers' own"
        )
    if ledger.safe_since is not None:
        lines.append(
            f"audit: alarm after {ledger.safe_since} answers; {ledger.safe} went to the {last} for "
            "it so far; --audit-reset goes back"
        )
    return lines
