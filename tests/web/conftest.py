"""The folder that the tests of web/ read: made once in a run of the suite."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dimec.runs.run import Run
from support.shared import made_once
from support.web_bundles import (
    ALONE,
    ON_DEVICE,
    SINGLE,
    TO_TIERS,
    exit0_cases,
    fit_single,
    refitted,
    tokenizer_cases,
    write_json,
)
from support.web_net import net_cases
from support.web_policies import policy_cases
from support.web_state import ledger_cases, monitor_cases


def fit_of(
    system: str, settings: dict[str, object], tiers: dict[str, int]
) -> Callable[[Run], object]:
    """What fits a system for these tiers."""
    if system == SINGLE:
        return lambda run: fit_single(run, tiers)
    if system == "dimec":
        return lambda run: run.fit(tiers=tiers, lam=0.02)
    return lambda run: run.fit(policy=system, settings=settings or None, tiers=tiers, lam=0.02)


@pytest.fixture(scope="session")
def web_bundles(
    tmp_path_factory: pytest.TempPathFactory,
    finished_run: Path,
    two_tier_bundle: Path,
    cut_bundle: Path,
    pair_bundle: Path,
) -> Path:
    """A bundle for each kind of policy, and one on pairs; and cases of parts."""
    two = {"mobile": 2, "cloud": 4}
    cut = {"mobile": 4, "edge": 4, "cloud": 4}
    groups = (
        (TO_TIERS, two_tier_bundle, two),
        (ON_DEVICE, cut_bundle, cut),
        (ALONE, cut_bundle, {"mobile": 4}),
    )

    def make(folder: Path) -> None:
        folder.mkdir()
        run = shutil.copytree(finished_run, folder.with_name(f"{folder.name}-run"))
        for systems, bundle, tiers in groups:
            for system, settings in systems.items():
                refitted(bundle, run, folder / system, fit_of(system, settings, tiers), tiers)
        shutil.copytree(pair_bundle, folder / "pairs")
        write_json(folder / "tokenizers.json", tokenizer_cases())
        write_json(folder / "exit0.json", exit0_cases(folder))
        write_json(folder / "policies.json", policy_cases(folder))
        write_json(folder / "net.json", net_cases())
        write_json(folder / "ledgers.json", ledger_cases(folder))
        write_json(folder / "monitors.json", monitor_cases())

    return made_once(tmp_path_factory, "web", make)
