"""``dimec up``: all tiers of a bundle on this machine, and a prompt to try them."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dimec.base.errors import DataError
from dimec.cli.answers import Tally, answer_line
from dimec.cli.common import fetched, shell_line
from dimec.cli.predict import Adaptive, Fallback, State, Timeout

if TYPE_CHECKING:
    from dimec.mobile import Mobile

_PROMPT = "text> "


def up(
    bundle: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="The folder of an export, or hub:ORG/NAME.")
    ],
    state: State = None,
    adaptive: Adaptive = None,
    timeout: Timeout = 1.0,
    fallback: Fallback = "accuracy",
    log: Annotated[
        Path | None, typer.Option(help="File for the servers' logs; default: none is kept.")
    ] = None,
    web: Annotated[
        bool,
        typer.Option(
            "--web",
            help="In place of the prompt, print the address of a page: the browser is the device, "
            "decides, runs its layers and asks these tiers.",
        ),
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Of that page; 0 takes any free one. A browser keeps what it learnt by the port, "
            "so the default is the same each time.",
            show_default="8421, or any free one where that is taken",
        ),
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page in this machine's browser too.")
    ] = False,
    otel: Annotated[
        bool,
        typer.Option(
            "--otel",
            help="Tell OpenTelemetry of every prediction and what the tiers did for it; with "
            "--web of the tiers alone. OTEL_EXPORTER_OTLP_ENDPOINT says where the collector is.",
        ),
    ] = False,
) -> None:
    """Start every tier but the first on this machine, and answer what is typed.

    The command that asks the same tiers from another terminal is printed first.

    Each answer tells its label and probability, where the router sent it and by what margin, which
    tier answered, how long that took and what it cost. Ctrl-D, Ctrl-C or SIGTERM ends all of them,
    with exit code 0. Lines from a pipe are answered likewise.

    With --web a page in the browser is the device. It shows what every answer took and why it
    went where it did, and has buttons to cut or slow the link to a tier, or to stop it. It is for
    this machine alone; its address holds a key, and is all that standard output gets.

    Examples:

        dimec up bundles/mine

        dimec up bundles/mine --web --open

        dimec up hub:me/reviews-bundle@COMMIT
    """
    try:
        if otel:
            import dimec.telemetry  # noqa: F401  (says what is missing before anything starts)
        bundle = fetched(bundle)
        if web:
            _serve_page(bundle, port, log, open_page, otel)
            return
        _run(bundle, state, adaptive, timeout, fallback, log, otel)
    except KeyboardInterrupt:
        # The way to end it, so no failure; by now everything has been stopped.
        print(file=sys.stderr)


def _run(
    bundle: Path,
    state: Path | None,
    adaptive: bool | None,
    timeout: float,
    fallback: str,
    log: Path | None,
    otel: bool,
) -> None:
    from dimec.mobile import Mobile
    from dimec.mobile.course import check_fallback
    from dimec.serving.interrupts import sigterm_as_interrupt
    from dimec.serving.local import LocalTiers

    check_fallback(fallback)  # before the servers start
    with (
        sigterm_as_interrupt(),
        _token_file() as (token, token_file),
        LocalTiers(bundle, token, log, otel=otel) as tiers,
    ):
        mobile = Mobile.open(
            bundle,
            tiers=tiers.urls,
            token=token,
            state=state,
            adaptive=adaptive,
            timeout=timeout,
            fallback=fallback,  # type: ignore[arg-type]  # checked where it is used
            otel=otel,
        )
        with mobile:
            for tier, url in tiers.urls.items():
                print(f"{tier} at {url}", file=sys.stderr)
            if tiers.urls:
                line = line_from_elsewhere(bundle, tiers.urls, token_file, mobile.engine.core.pairs)
                print(f"from another terminal: {line}", file=sys.stderr)
            _answer(mobile)


def _serve_page(
    bundle: Path, port: int | None, log: Path | None, open_page: bool, otel: bool
) -> None:
    from dimec.base.errors import MissingExtraError

    try:
        from dimec.serving.live.running import PORT, serve_site
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "starlette", "serve", "dimec up --web") from None

    def ready(address: str, urls: Mapping[str, str]) -> None:
        for tier, url in urls.items():
            print(f"{tier} at {url}", file=sys.stderr)
        if port is None and f":{PORT}/" not in address:
            told = f"port {PORT} is taken: what a browser keeps of that one is not seen at this one"
            print(told, file=sys.stderr)
        print("the page, for this machine only; Ctrl-C ends it and the tiers:", file=sys.stderr)
        print(address, flush=True)
        if open_page:
            import webbrowser

            if not webbrowser.open(address):
                print("no browser was found here; open the address by hand", file=sys.stderr)

    serve_site(bundle, port=port, log=log, otel=otel, ready=ready)


@contextlib.contextmanager
def _token_file() -> Iterator[tuple[str, Path]]:
    """A new bearer token, and a file with it that only this user can read, while the block runs."""
    import secrets
    import tempfile

    from dimec.base.storage import atomic_write, storage_errors

    token = secrets.token_urlsafe(32)
    folder = Path(tempfile.gettempdir())
    with storage_errors(folder):
        private = tempfile.TemporaryDirectory(prefix="dimec-up-")
    with private as name:
        path = Path(name) / "token"
        atomic_write(path, token + "\n")
        yield token, path


def line_from_elsewhere(
    bundle: Path, urls: Mapping[str, str], token_file: Path, pairs: bool
) -> str:
    """The command that asks the same tiers; with absolute paths, as it may run in another folder.

    It keeps no state, because the one of the bundle may be in use here, and has one writer.
    """
    tiers = [word for tier, url in urls.items() for word in ("--tier", f"{tier}={url}")]
    texts = ["--input", "-"] if pairs else ["a moving film"]
    options = ["--token-file", token_file, "--state", ":memory:"]
    return shell_line("dimec", "predict", bundle.absolute(), *tiers, *options, *texts)


def _answer(mobile: Mobile) -> None:
    tally = Tally()
    for line in _typed():
        parts = line.split("\t")
        pair = mobile.engine.core.pairs and len(parts) == 2
        try:
            prediction = mobile.predict((parts[0], parts[1]) if pair else line)
        except DataError as error:
            print(f"  {error}", file=sys.stderr)
            continue
        tally.add(prediction)
        print(answer_line(prediction), flush=True)
    for line in tally.lines(mobile):
        print(line, file=sys.stderr)


def _typed() -> Iterator[str]:
    """Lines from the terminal, with a prompt, or from a pipe."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # the mobile refuses what is no text
    if not sys.stdin.isatty():
        from dimec.mobile.batch.lines import raw_lines

        for line in raw_lines(sys.stdin.fileno(), "standard input"):
            if line is not None:
                yield line.removesuffix(b"\r").decode("utf-8", "surrogateescape")
        return
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  (makes the arrow keys work at the prompt)
    while True:
        try:
            yield input(_PROMPT)
        except EOFError:
            print(file=sys.stderr)
            return
