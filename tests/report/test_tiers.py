"""Reports of other tiers than the paper's three: words, tables and figures go by their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dimec.cartography import build_pools
from dimec.evaluation.ledger import Ledger, LedgerRow
from dimec.report import PooledInputs, ledger_text
from dimec.report.exit_accuracy import draw_exits
from dimec.report.figures import draw_data_map, draw_shares
from dimec.report.html import ledger_html, render_page
from dimec.report.policy_plane import draw_policy_plane
from dimec.report.style import COLOURS, tier_marks
from dimec.report.wording import ledger_notes, summary

NAMES = ("phone", "gateway", "box", "dc")
THRESHOLDS: dict[int, Any] = {2: None, 4: (0.01, 0.03), 1: None}


def _row(policy: str, names: tuple[str, ...], at: list[float], **values: Any) -> LedgerRow:
    numbers = {"accuracy": 0.8, "metric": 0.8, "drop": 0.1, "drop_low": 0.05, "drop_high": 0.15}
    numbers |= {"cost": 4.0, "reduction": 0.5, "reduction_low": 0.4, "reduction_high": 0.6}
    return LedgerRow(policy, **(numbers | values), shares=dict(zip(names, at, strict=True)))


def _ledger(names: tuple[str, ...]) -> Ledger:
    size = len(names)
    rows = [_row(f"all-{name}", names, np.eye(size)[k].tolist()) for k, name in enumerate(names)]
    even = [1 / size] * size
    rows += [_row(policy, names, even) for policy in ("dimec-fixed", "random@dimec-fixed")]
    context = {"cloud_charge": 6.0, "costs": {"cloud_charge": None}, "exits": [1] * size}
    tiers = [{"name": name, "layer": 1, "source": ""} for name in names]
    return Ledger(tuple(rows), "accuracy", {**context, "tiers": tiers})


@pytest.fixture
def make(make_inputs: Callable[..., PooledInputs]) -> Callable[[int], PooledInputs]:
    """``make(K)``: inputs of K tiers."""

    def inputs(size: int) -> PooledInputs:
        names = (*NAMES[: size - 1], "dc")
        alpha = 0.6 if size > 1 else None
        pools = build_pools(make_inputs().data_map, alpha, THRESHOLDS[size])
        layers = (2, 3, 4, 6)[4 - size :]
        return make_inputs(
            ledger=_ledger(names),
            names=names,
            tiers=layers,
            pools=pools,
            alpha=alpha,
            beta=THRESHOLDS[size],
        )

    return inputs


@pytest.mark.parametrize("size", THRESHOLDS)
def test_every_figure_names_every_tier(make: Callable[[int], PooledInputs], size: int) -> None:
    inputs = make(size)
    for draw in (draw_data_map, draw_shares, draw_exits):
        drawing = draw(inputs)
        for name in inputs.names:
            assert name in drawing.svg, (drawing.name, name)
        assert "edge" not in drawing.svg + drawing.caption + drawing.description
    shares = draw_shares(inputs).series.columns
    assert shares["tier"][:size] == list(inputs.names)
    assert "against all-dc" in draw_policy_plane(inputs.ledger).caption


@pytest.mark.parametrize("size", THRESHOLDS)
def test_the_page_and_the_tables_go_by_the_tiers(
    make: Callable[[int], PooledInputs], size: int
) -> None:
    inputs = make(size)
    page = render_page(inputs, [])
    for name in inputs.names:
        assert f'<th scope="col">{name} %</th>' in ledger_html(inputs.ledger)
        assert f'<th scope="row">tiers: {name}</th><td>layer 1</td>' in page
        assert name in ledger_text(inputs.ledger)
    assert f"exits of {', '.join(inputs.names)} (layers)" in page
    assert "mobile" not in page.partition("<main>")[2]


def test_sentences_name_the_last_tier() -> None:
    ledger = _ledger(NAMES)
    told = " ".join(summary(ledger, np.array([0, 1, 1, 3])))
    assert "saves 50.0 % of the cost of sending everything to the dc" in told
    assert "25.0 % on the phone, 25.0 % on the gateway, 25.0 % on the box and 25.0 % on" in told
    assert "The box pool is empty: the box gets no traffic." in told
    notes = " ".join(ledger_notes(ledger))
    assert "are against all-dc" in notes
    assert "The dc charge γ = 6 λ is dimec's choice" in notes


def test_prices_of_their_own_and_a_single_tier_have_no_charge_to_explain() -> None:
    own = _ledger(NAMES)
    own = Ledger(own.rows, "accuracy", {**own.context, "costs": None})
    assert "γ" not in " ".join(ledger_notes(own))
    assert "γ" not in " ".join(ledger_notes(_ledger(("phone",))))


def test_marks_differ_and_are_the_papers_for_three() -> None:
    assert [mark.colour for mark in tier_marks(3)] == list(COLOURS)
    assert [mark.colour for mark in tier_marks(2)] == [COLOURS[0], COLOURS[2]]
    assert len({mark.colour for mark in tier_marks(7)}) == 7
    assert len({mark.marker for mark in tier_marks(7)}) == 7
    assert len(tier_marks(9)) == 9
