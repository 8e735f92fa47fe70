"""``dimec predict``: texts through the mobile, and through the tiers that it chooses."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dimec.base.errors import ConfigError, quoted
from dimec.cli.answers import Tally, answer_table, missing_tiers
from dimec.cli.auditing import Audit, AuditBound, AuditReset, audit_lines
from dimec.cli.common import fetched, progress_bar, results_console
from dimec.cli.inputs import Reading, Source, arrivals_of, lines_of, open_input
from dimec.cli.metrics import Metrics, check_metrics, keeping
from dimec.cli.streams import json_text
from dimec.cli.tokens import read_token

if TYPE_CHECKING:
    from dimec.mobile import Mobile, Prediction
    from dimec.mobile.core import Text

SERVERS, STATE, FILES = "Servers", "State", "Files"

State = Annotated[
    Path | None,
    typer.Option(
        help="File for what the policy learns and the ledger; default: one of the bundle's own "
        "below XDG_STATE_HOME or ~/.local/state. :memory: keeps none.",
        rich_help_panel=STATE,
    ),
]
Adaptive = Annotated[
    bool | None,
    typer.Option(
        "--adaptive/--fixed",
        show_default=False,
        help="The policy learns from every input, and goes on from what the state has learnt; or "
        "it stays as it was fitted. Default: as it was fitted to do; a router stays.",
        rich_help_panel=STATE,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        metavar="S", help="Seconds for a tier's answer, retries included.", rich_help_panel=SERVERS
    ),
]
Fallback = Annotated[
    str,
    typer.Option(
        help="Whom to ask where a tier fails and no exit has answered yet. accuracy: the deepest "
        "of the others first. cost: the dearest of those that are cheaper. The device is the last.",
        rich_help_panel=SERVERS,
    ),
]


def predict(
    bundle: Annotated[
        Path,
        typer.Argument(metavar="BUNDLE", help="The folder of an export, or the device's in it."),
    ],
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", help="For pairs: two texts with a tab between."),
    ] = None,
    input_: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="A table (.csv, .tsv, .json, .jsonl, .parquet, .arrow, csv:FILE), else a text a "
            'line or JSON lines {"text": …, "pair": …, "id": …}; - for standard input.',
            rich_help_panel=FILES,
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="text, csv, tsv, json, jsonl, parquet or arrow; default: by the file's ending.",
            rich_help_panel=FILES,
        ),
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Column of the text.", rich_help_panel=FILES)
    ] = None,
    pair_column: Annotated[
        str | None, typer.Option(help="Column of a second text.", rich_help_panel=FILES)
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option(help="Column of the answers' ids; default: id.", rich_help_panel=FILES),
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(help="Of csv, such as ; or tab.", rich_help_panel=FILES),
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Such as windows-1252.", rich_help_panel=FILES)
    ] = None,
    no_header: Annotated[
        bool,
        typer.Option(
            "--no-header", help="The first line is a row: column-1, …", rich_help_panel=FILES
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON lines, one for each text, in order. After an interruption the same command "
            "goes on where it stopped.",
            rich_help_panel=FILES,
        ),
    ] = None,
    metrics: Metrics = None,
    tier: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=URL",
            help="Of the server of the tier of this name; once for each.",
            rich_help_panel=SERVERS,
        ),
    ] = None,
    edge: Annotated[
        str | None, typer.Option(metavar="URL", help="Of the edge.", rich_help_panel=SERVERS)
    ] = None,
    cloud: Annotated[
        str | None, typer.Option(metavar="URL", help="Of the cloud.", rich_help_panel=SERVERS)
    ] = None,
    state: State = None,
    adaptive: Adaptive = None,
    audit: Audit = None,
    audit_bound: AuditBound = None,
    audit_reset: AuditReset = False,
    timeout: Timeout = 1.0,
    fallback: Fallback = "accuracy",
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="A file with the servers' bearer token; else DIMEC_TOKEN.",
            rich_help_panel=SERVERS,
        ),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(
            help="PEM file of the certificates to trust in place of the system's.",
            rich_help_panel=SERVERS,
        ),
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            help="Send the token unencrypted to another machine all the same.",
            rich_help_panel=SERVERS,
        ),
    ] = False,
    workers: Annotated[int, typer.Option(help="Requests under way at once.")] = 8,
    otel: Annotated[
        bool,
        typer.Option(
            "--otel",
            help="Tell OpenTelemetry of every prediction, tiers that serve with --otel included; "
            "OTEL_EXPORTER_OTLP_ENDPOINT and its like say where the collector is.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON lines, one for each text.")
    ] = False,
) -> None:
    """Answer texts: each where the policy sends it, or by the next best tier.

    A policy that looks again asks one tier after the other until one is sure; where a tier fails,
    the answer before it stands.

    Texts given here are answered in a table; those of a file as JSON lines. An alarm of the audit
    stays in the state, whatever the options, until it is told otherwise.

    Examples:

        dimec predict bundles/mine "a moving film" --edge http://127.0.0.1:8001

        dimec predict bundles/mine --input reviews.txt --output answers.jsonl --adaptive

        dimec predict bundles/mine --input reviews.txt --audit 0.01 --cloud http://127.0.0.1:8002

        dimec predict bundles/mine --input - --metrics /var/lib/node_exporter/dimec.prom
    """
    if bool(texts) == (input_ is not None):
        raise ConfigError("give either texts or --input FILE (- for standard input)")
    if output is not None and input_ is None:
        raise ConfigError("--output goes with --input; texts are answered on standard output")
    reading = Reading(
        format_, text_column, pair_column, id_column, delimiter, encoding, not no_header
    )
    if input_ is None and reading != Reading():
        raise ConfigError("the options of a file go with --input; texts are taken as they are")
    source = None if input_ is None else reading.source(input_)
    inputs = None if source is None else source.name
    check_metrics(metrics, {"input": inputs, "output": output, "state": state})
    from dimec.mobile import Mobile
    from dimec.mobile.addresses import named_urls

    urls = named_urls(_tiers(tier or []), edge, cloud)
    mobile = Mobile.open(
        fetched(bundle),
        tiers=urls,
        state=state,
        adaptive=adaptive,
        timeout=timeout,
        fallback=fallback,  # type: ignore[arg-type]  # checked where it is used
        token=read_token(token_file),
        ca=ca,
        insecure=insecure,
        audit=audit,
        audit_bound=audit_bound,
        audit_reset=audit_reset,
        otel=otel,
    )
    with mobile, keeping(metrics, mobile), _closed_pipes():
        if note := missing_tiers(mobile.engine.names[1:], urls):
            print(note, file=sys.stderr)
        if source is None:
            _answer_texts(mobile, texts or [], workers, as_json)
        else:
            _answer_file(mobile, source, output, workers)
        for line in audit_lines(mobile):
            print(line, file=sys.stderr)


def _tiers(given: list[str]) -> dict[str, str]:
    """Name of a tier → address, of words NAME=URL."""
    urls: dict[str, str] = {}
    for word in given:
        name, equals, url = word.partition("=")
        if not (name and equals and url) or name in urls:
            raise ConfigError(f"expected --tier NAME=URL, once for each tier, got {quoted(word)}")
        urls[name] = url
    return urls


def _answer_texts(mobile: Mobile, texts: list[str], workers: int, as_json: bool) -> None:
    given: list[Text] = [
        (parts[0], parts[1])
        if mobile.engine.core.pairs and len(parts := text.split("\t")) == 2
        else text
        for text in texts
    ]
    for text in given:
        mobile.engine.check(text, None)
    with closing(mobile.predict_many(given, workers=workers)) as predictions:
        if as_json:
            for prediction in predictions:
                _print(prediction)
            return
        results_console().print(answer_table(given, predictions))


def _answer_file(mobile: Mobile, source: Source, output: Path | None, workers: int) -> None:
    from dimec.mobile.batch.jobs import Job

    with ExitStack() as stack:
        descriptor, total = open_input(mobile, source, stack)
        progress = stack.enter_context(progress_bar())
        job = None if output is None else stack.enter_context(Job(output, mobile.engine.state))
        done = 0 if job is None else job.done
        if done:
            progress.say(f"{output} has {done} answers already; going on behind them")
        lines = lines_of(mobile, descriptor, source)
        tally = Tally()
        # On a terminal, the answers themselves show how far it is; a bar would be in their way.
        if total > done and not (job is None and sys.stdout.isatty()):
            progress.start("predict", total - done)
        arrivals = arrivals_of(lines) if job is None else job.arrivals(lines)
        # Closed here where it fails: the metrics that are written then have all answers in them.
        predictions = stack.enter_context(
            closing(mobile.predict_arrivals(arrivals, workers=workers))
        )
        for prediction in predictions:
            tally.add(prediction)
            _print(prediction) if job is None else job.write(prediction)
            progress.advance(1)
        progress.end()
        for line in tally.lines(mobile):
            progress.say(line)


def _print(prediction: Prediction) -> None:
    print(json_text(prediction.to_dict()), flush=True)


@contextmanager
def _closed_pipes() -> Iterator[None]:
    """End quietly where whoever reads the answers has enough, such as ``head``."""
    try:
        yield
    except BrokenPipeError:
        # What is left in the buffer must not fail a second time when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
