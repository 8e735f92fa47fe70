"""Spans for OpenTelemetry: what a process did for a prediction, and when.

Needs the extra ``otel``. Nothing else in dimec imports this package when it is imported itself, so
that nobody who does not ask for spans has a part of it.
"""

from dimec.base.errors import MissingExtraError

for _package in ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"):
    try:
        __import__(_package)
    except ModuleNotFoundError as error:
        if not (error.name and _package.startswith(error.name)):
            raise
        raise MissingExtraError(_package, "otel", "--otel") from None
