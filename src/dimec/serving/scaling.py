"""How many replicas of a tier there are, and where."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dimec.base.errors import option
from dimec.base.validating import from_options
from dimec.settings.option import Option


class Scaling(BaseModel):
    """How a tier grows and shrinks on a cluster of Ray.

    Attributes:
        ray_address: of the cluster's head; None takes ``RAY_ADDRESS``, and without it starts a
            cluster of this machine alone.
        min_replicas: that are always there.
        max_replicas: that there may be.
        target_requests: requests that a replica is to have at a time. With more on the mean,
            replicas come; with fewer, they go.
        upscale_delay: seconds that the load has to last before replicas come.
        downscale_delay: seconds that it has to be gone before they go.
        replica_cpus: processor cores that the cluster sets aside for a replica.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    panel: ClassVar[str] = "With --ray"

    ray_address: Annotated[
        str | None,
        Option(
            "Head of the cluster, such as 10.0.0.5:6379, or auto for the one that this machine is "
            "part of; else RAY_ADDRESS; else a new one, of this machine alone."
        ),
    ] = Field(None, min_length=1)
    min_replicas: Annotated[int, Option("Replicas that are always there.")] = Field(
        1, ge=1, le=4096
    )
    max_replicas: Annotated[int, Option("Replicas that there may be.")] = Field(4, ge=1, le=4096)
    target_requests: Annotated[
        float, Option("Requests that a replica is to have at a time; with more, others come.")
    ] = Field(4.0, gt=0, le=1e6, allow_inf_nan=False)
    upscale_delay: Annotated[
        float, Option("Seconds that load has to last before replicas come.")
    ] = Field(10.0, ge=0, le=86400, allow_inf_nan=False)
    downscale_delay: Annotated[
        float, Option("Seconds that load has to be gone before replicas go.")
    ] = Field(300.0, ge=0, le=86400, allow_inf_nan=False)
    replica_cpus: Annotated[float, Option("Processor cores set aside for a replica.")] = Field(
        1.0, gt=0, le=1024, allow_inf_nan=False
    )

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.max_replicas < self.min_replicas:
            raise ValueError(
                f"{option('max_replicas')}: expected {option('min_replicas')} {self.min_replicas} "
                f"or more, got {self.max_replicas}"
            )
        return self

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Check plain values.

        Raises:
            ConfigError: one line that says which setting is wrong.
        """
        return from_options(cls, values)

    @property
    def replica_threads(self) -> int:
        """Processor threads of a replica's graph, where nothing else is said."""
        return max(1, int(self.replica_cpus))

    def autoscaling(self) -> dict[str, Any]:
        """The same in Ray Serve's words."""
        interval = min(10.0, max(0.5, self.upscale_delay / 2))
        return {
            "min_replicas": self.min_replicas,
            "max_replicas": self.max_replicas,
            "target_ongoing_requests": self.target_requests,
            "upscale_delay_s": self.upscale_delay,
            "downscale_delay_s": self.downscale_delay,
            # How often load is told, and over how long it is averaged: delays that are shorter
            # than these would mean nothing.
            "metrics_interval_s": interval,
            "look_back_period_s": 3 * interval,
        }
