"""``dimec serve``: one tier behind HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dimec.base.errors import ConfigError
from dimec.cli.tokens import read_token

ADDRESS, LIMITS, SECURITY = "Address", "Limits", "Security"


def serve(
    bundle: Annotated[
        Path,
        typer.Argument(
            metavar="BUNDLE/TIER",
            help="The folder of any tier but the first, such as edge/.",
        ),
    ],
    host: Annotated[
        str,
        typer.Option(
            help="The address to listen on; by default this machine only. 0.0.0.0 for all.",
            rich_help_panel=ADDRESS,
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="0 takes any free port.", rich_help_panel=ADDRESS)
    ] = 8001,
    threads: Annotated[
        int | None,
        typer.Option(
            help="Processor threads; default all. Above 1, the weights may be in memory twice.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    max_batch: Annotated[
        int, typer.Option(help="Rows of one request.", rich_help_panel=LIMITS)
    ] = 64,
    queue: Annotated[
        int,
        typer.Option(help="Rows that may wait; beyond that, 503.", rich_help_panel=LIMITS),
    ] = 256,
    max_body: Annotated[
        int, typer.Option(help="Bytes of a request's body.", rich_help_panel=LIMITS)
    ] = 1 << 20,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="A file with the bearer token that clients have to show; else DIMEC_TOKEN.",
            rich_help_panel=SECURITY,
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="PEM file of the certificate.", rich_help_panel=SECURITY)
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="PEM file of its key.", rich_help_panel=SECURITY)
    ] = None,
    drain: Annotated[
        float,
        typer.Option(help="Seconds that accepted requests have to finish when it stops."),
    ] = 10.0,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    stop_with_stdin: Annotated[
        bool,
        typer.Option(
            "--stop-with-stdin",
            hidden=True,
            help="Stop once standard input ends, so as not to outlive the process that started it.",
        ),
    ] = False,
) -> None:
    """Serve one tier by the Open Inference Protocol v2, until SIGTERM or Ctrl-C.

    One line of JSON on standard output says that it is ready, and where; the log goes to standard
    error, one JSON object a line. When told to stop, it answers what it has accepted.

    Examples:

        dimec serve bundles/mine/edge --port 8001

        dimec serve bundles/mine/cloud --host 0.0.0.0 --port 8002 --tls-cert cert.pem
        --tls-key key.pem --token-file token
    """
    from dimec.bundle.folders import TierBundle, is_whole
    from dimec.serving.server import serve as run_server
    from dimec.serving.settings import ServerSettings

    settings = ServerSettings.of(
        host=host,
        port=port,
        threads=threads,
        max_batch=max_batch,
        queue=queue,
        max_body=max_body,
        token=read_token(token_file),
        tls_cert=tls_cert,
        tls_key=tls_key,
        drain=drain,
        log_level=log_level,
    )
    if is_whole(bundle):
        raise ConfigError(_one_tier_of(bundle))
    run_server(TierBundle.open(bundle), settings, stop_with_stdin=stop_with_stdin)


def _one_tier_of(bundle: Path) -> str:
    """What to serve of a whole bundle."""
    from dimec.bundle.folders import read_manifest

    served = [str(bundle / name) for name in read_manifest(bundle).names[1:]]
    if not served:
        return f"{bundle} is a bundle of the device's tier alone; it has none to serve"
    return f"{bundle} is a whole bundle; serve one tier of it: {' or '.join(served)}"
