"""What every model of settings is: frozen, closed, and finite."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A group of settings; ``panel`` heads its options in the help of a command."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    panel: ClassVar[str | None] = None
