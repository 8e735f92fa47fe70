"""A plan so small that all of it runs in seconds: tiny encoders, short reviews."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dimec.base.progress import NoProgress
from dimec_studies.plan import Plan
from dimec_studies.runs import Workshop


def tiny_plan(backbone: Path, reviews: Path, other: Path | None = None, **changes: Any) -> Plan:
    """Two tasks on the same reviews, two seeds, exits at all 4 layers, 2 epochs.

    ``other`` holds the reviews of the second domain, which by default are those of the first.
    """
    values: dict[str, Any] = {
        "name": "tiny",
        "model": {
            "backbone": str(backbone),
            "exits": "all",
            "tiers": (1, 2, 4),
            "max_tokens": 32,
        },
        "training": {"epochs": 2, "learning_rate": 3e-3, "precision": "fp32"},
        "seeds": (0, 1),
        "lam": 0.02,
        "draws": 20,
        "scenarios": ("phone-4g",),
        "tasks": {
            "some": {"task": f"csv:{reviews}", "max_train_rows": 120},
            "more": {"task": f"csv:{reviews}", "max_train_rows": 160},
        },
        "table2": ("some",),
        "domains": {
            "here": {"task": f"csv:{reviews}"},
            "there": {"task": f"csv:{other or reviews}", "max_train_rows": 100},
        },
        "bottleneck": {"width": 4, "epochs": 2},
        "selection": {"train": "here", "kinds": ("ambiguous", "random"), "share": 0.5},
    }
    return Plan.of({**values, **changes})


def workshop_of(plan: Plan, folder: Path, workers: int = 1) -> Workshop:
    """Where that plan's runs are trained, without a word."""
    return Workshop(plan, folder, None, workers, NoProgress())
