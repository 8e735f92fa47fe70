"""Publishing: what of a run, a bundle or traces goes to the hub, its card, and the push."""

from __future__ import annotations

from dimec.publishing.card import CardOptions
from dimec.publishing.parcel import Parcel, packed
from dimec.publishing.push import Prepared, Pushed, prepared, push

__all__ = ["CardOptions", "Parcel", "Prepared", "Pushed", "packed", "prepared", "push"]
