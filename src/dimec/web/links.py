"""The links that a page can put between the device and a tier: those of the scenarios."""

from __future__ import annotations

from dimec.tiers.scenario_file import Scenarios

_TITLES = {"phone-3g": "3G", "phone-4g": "4G", "phone-5g": "5G", "phone-wifi": "Wi-Fi"}


def links() -> dict[str, dict[str, float]]:
    """Name → round trip to the edge in milliseconds, and bits a second up and down.

    Example:
        >>> links()["4G"]
        {'roundTrip': 70.0, 'up': 12000000.0, 'down': 12000000.0}
    """
    known = Scenarios.load()
    found = {title: known.scenario(name).link for name, title in _TITLES.items()}
    return {
        title: {
            "roundTrip": link.round_trip_ms.value,
            "up": 1e6 * link.up_mbit_per_second.value,
            "down": 1e6 * link.down_mbit_per_second.value,
        }
        for title, link in found.items()
    }
