"""Settings of a tier server: frozen and checked."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from dimec.base.errors import option
from dimec.base.machine import processors
from dimec.base.validating import from_options
from dimec.serving.origins import check_origin
from dimec.settings.option import Option

LogLevel = Literal["debug", "info", "warning", "error"]

_HANDS_OVER = hasattr(socket, "send_fds") and hasattr(socket, "AF_UNIX")

ADDRESS, LIMITS, SECURITY = "Address", "Limits", "Security"  # of the help


class ServerSettings(BaseModel):
    """How a tier is served, and how much it takes from strangers.

    Attributes:
        host: the address to listen on.
        port: 0 takes any free port.
        threads: processor threads of the graph; None takes as many as this process may use.
        workers: processes that answer; None takes one a thread, and one where the system cannot
            hand connections from process to process.
        pin: keep each worker on a core of its own, where there are as many of them as cores.
        max_batch: rows of one request, and of one run of the graph.
        queue: rows that may wait for the graph.
        max_body: bytes of a request's body.
        token: what a client has to show; None lets everybody in.
        cors_origins: pages of these origins may ask from a browser; none by default.
        tls_cert: PEM file of the certificate and its chain.
        tls_key: PEM file of its private key, without a passphrase.
        drain: seconds that accepted requests have to finish once the server is told to stop.
        otel: make spans for OpenTelemetry, which the variables of the environment say where to.
        log_level: the least severe lines that are logged.
        max_header: bytes of a request's line and headers.
        header_seconds: how long these may take to arrive.
        body_seconds: how long a body may take to arrive.
        idle_seconds: how long a connection may wait for its next request.
        max_connections: connections open at a time.
        hang_seconds: how long one of several processes may be deaf before another takes its place.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: Annotated[
        str,
        Option(
            "The address to listen on; by default this machine only. 0.0.0.0 for all.",
            panel=ADDRESS,
        ),
    ] = Field("127.0.0.1", min_length=1)
    port: Annotated[int, Option("0 takes any free port.", panel=ADDRESS)] = Field(
        8001, ge=0, le=65535
    )
    threads: Annotated[
        int | None,
        Option(
            "Processor threads; default all. Above 1, the weights may be in memory twice.",
            panel=LIMITS,
        ),
    ] = Field(None, ge=1, le=1024)
    workers: Annotated[
        int | None,
        Option("Processes that share the address; default one a thread.", panel=LIMITS),
    ] = Field(None, ge=1, le=256)
    pin: Annotated[
        bool,
        Option(
            "Let the system move workers from core to core; else each keeps one of its own where "
            "there are as many workers as cores.",
            spelling="--no-pin",
            panel=LIMITS,
        ),
    ] = True
    max_batch: Annotated[int, Option("Rows of one request.", panel=LIMITS)] = Field(
        64, ge=1, le=4096
    )
    queue: Annotated[int, Option("Rows that may wait; beyond that, 503.", panel=LIMITS)] = Field(
        256, ge=1, le=1 << 20
    )
    max_body: Annotated[int, Option("Bytes of a request's body.", panel=LIMITS)] = Field(
        1 << 20, ge=1024, le=1 << 30
    )
    # A command takes the file that has it: all see what is typed.
    token: Annotated[
        SecretStr | None,
        Option(
            "A file with the bearer token that clients have to show; else DIMEC_TOKEN.",
            spelling="--token-file",
            path=True,
            panel=SECURITY,
        ),
    ] = None
    cors_origins: Annotated[
        tuple[str, ...],
        Option(
            "An origin whose pages may ask from a browser, such as https://app.example. May be "
            "repeated; none by default.",
            spelling="--cors-origin",
            metavar="ORIGIN",
            repeated=True,
            panel=SECURITY,
        ),
    ] = ()
    tls_cert: Annotated[
        Path | None, Option("PEM file of the certificate.", path=True, panel=SECURITY)
    ] = None
    tls_key: Annotated[Path | None, Option("PEM file of its key.", path=True, panel=SECURITY)] = (
        None
    )
    drain: Annotated[
        float, Option("Seconds that accepted requests have to finish when it stops.")
    ] = Field(10.0, ge=0, le=3600, allow_inf_nan=False)
    otel: Annotated[
        bool,
        Option(
            "Tell OpenTelemetry of every inference, in the trace of whoever asks; "
            "OTEL_EXPORTER_OTLP_ENDPOINT and its like say where the collector is."
        ),
    ] = False
    log_level: Annotated[LogLevel, Option("debug, info, warning or error.")] = "info"
    max_header: int = Field(16 << 10, ge=1024, le=1 << 20)
    header_seconds: float = Field(10.0, gt=0, le=3600, allow_inf_nan=False)
    body_seconds: float = Field(30.0, gt=0, le=3600, allow_inf_nan=False)
    idle_seconds: float = Field(75.0, gt=0, le=86400, allow_inf_nan=False)
    max_connections: int = Field(512, ge=1, le=1 << 20)
    hang_seconds: float = Field(30.0, gt=0, le=3600, allow_inf_nan=False)

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.queue < self.max_batch:
            raise ValueError(
                f"{option('queue')}: expected room for one request of {option('max_batch')} "
                f"{self.max_batch} rows or more, got {self.queue}"
            )
        if (self.workers or 1) > 1 and not _HANDS_OVER:
            raise ValueError(
                f"{option('workers')}: expected 1, since this system cannot hand connections from "
                f"process to process, got {self.workers}"
            )
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError(f"{option('tls_cert')} and {option('tls_key')}: give both or neither")
        return self

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            check_origin(origin)
        return tuple(dict.fromkeys(origins))

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Check plain values.

        Raises:
            ConfigError: one line that says which setting is wrong; it never shows the token.
        """
        return from_options(cls, values)

    @property
    def processor_threads(self) -> int:
        """Processor threads of the graph in all processes together."""
        return self.threads or processors()

    @property
    def processes(self) -> int:
        """Processes that answer."""
        return self.workers or (self.processor_threads if _HANDS_OVER else 1)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
