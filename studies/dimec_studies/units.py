"""The units of benchmarks' figures, and how a value in each is written."""

from __future__ import annotations

SECONDS, BYTES, RATIO, PER_SECOND, SHARE = "s", "B", "ratio", "1/s", "share"


def formatted(value: float, unit: str) -> str:
    """A value in the prefix that reads best: ``"38.2 ms"``, ``"1.23 GiB"``, ``"0.61 x"``."""
    if unit == SECONDS:
        for scale, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
            if value >= scale:
                return f"{value / scale:.3g} {name}"
        return f"{value / 1e-9:.3g} ns"
    if unit == BYTES:
        if value >= 2**30:
            return f"{value / 2**30:.2f} GiB"
        return f"{value / 2**20:.0f} MiB" if value >= 2**20 else f"{value:,.0f} B"
    if unit == RATIO:
        return f"{value:.3g} x"
    if unit == PER_SECOND:
        return f"{value:,.0f} /s"
    if unit == SHARE:
        return f"{100 * value:.1f} %"
    raise ValueError(f"unknown unit {unit!r}")
