"""Every error that dimec raises on purpose, in one tree.

::

    DimecError                     the user can act on it: one line, exit code 2
    ├── ConfigError                a setting is out of range or does not fit another one
    ├── DataError                  a data file is missing, unreadable or wrong; names file and line
    ├── ArtefactError              a file of a run directory is missing, damaged or of another run
    │   ├── MissingArtefactError   the stage that writes it has not run
    │   ├── CorruptArtefactError   truncated, altered or not what its name says
    │   └── MismatchError          sound, but made by another model, task or set of exits
    ├── DivergedError              training produced values that are not finite
    ├── TrainingFailedError        a training in a process of its own ended with an error
    ├── ScoringFailedError         the workers of a scoring cannot begin
    ├── ParityError                an exported graph does not answer as the trained model does
    ├── ProtocolError              a request or an answer is not what the protocol says
    ├── TierError                  a tier gave no usable answer; the mobile falls back on it
    ├── ServerError                a server could not start, or went away
    ├── HubError                   the hub lacks what was asked for, or refuses it
    │   └── HubUnreachableError    it does not answer, or must not be asked
    ├── RunBusyError               another process works in the run directory
    ├── StateBusyError             another process holds the mobile's state
    ├── StorageError               the disk is full or refuses to write
    ├── MissingExtraError          an optional dependency is not installed
    └── ContractRefusedError       no policy keeps what was to be promised; exit code 3

A message says what was expected, what came, and what to do. It names an option as its reader gives
it (:func:`option`): as typed on the command line, as a keyword in a program.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_typed: Mapping[str, str] = {}  # keywords and how they are typed; empty in a program


@contextmanager
def typed_options(options: Mapping[str, str]) -> Iterator[None]:
    """Within this, messages name these options as they are typed: those of a command.

    Args:
        options: keyword → how it is typed: ``{"lam": "--lambda"}``. Any other keeps its name.
    """
    global _typed
    before, _typed = _typed, options
    try:
        yield
    finally:
        _typed = before


def option(keyword: str, value: object = None) -> str:
    """How a message names an option: ``--text-column``, or ``text_column`` in a program.

    With a value ``--encoding windows-1252``, or ``encoding='windows-1252'``.
    """
    if keyword == "header":  # what is False in a program where the option is typed
        return _typed.get("no_header", "header=False")
    if (typed := _typed.get(keyword)) is not None:
        return typed if value is None else f"{typed} {value}"
    return keyword if value is None else f"{keyword}={value!r}"


def is_typed(keyword: str) -> bool:
    """Whether :func:`option` names it as it is typed."""
    return keyword in _typed


def shown(text: str, longest: int = 300) -> str:
    """A text of someone else's, fit for a line on a terminal or in a log.

    What could move a cursor, break a line or change its direction is escaped, as ``repr`` has it;
    it is cut to at most ``longest`` characters, escapes among them.
    """
    text = text[: longest + 1]  # a long text is cut before it is spelled out
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= longest else text[: longest - 3] + "..."


def quoted(value: object, longest: int = 40) -> str:
    """A value of someone else's as :func:`shown` has it, in quotes where it is a text.

    For messages on cells, settings and names: ``'12 '`` and ``12`` differ.
    """
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a huge number"
    try:
        text = repr(value[: longest + 1] if isinstance(value, str | bytes) else value)
    except ValueError:  # with a number of thousands of digits somewhere in it
        text = f"a value of the type {type(value).__name__}"
    return shown(text, longest)


class DimecError(Exception):
    """Base of all errors that a user can act on."""


class ConfigError(DimecError):
    """A setting is out of range, or two settings contradict each other."""


class DataError(DimecError):
    """A data file is missing, cannot be read, or holds something unexpected."""


class ArtefactError(DimecError):
    """A file that dimec wrote earlier cannot be used."""


class MissingArtefactError(ArtefactError):
    """A file is not there because the stage that writes it has not run."""


class CorruptArtefactError(ArtefactError):
    """A file is truncated, altered, or not of the kind that its name says."""


class MismatchError(ArtefactError):
    """A file is sound, but belongs to another model, task or set of exits."""


class DivergedError(DimecError):
    """Training produced values that are not finite."""


class TrainingFailedError(DimecError):
    """A training in a process of its own ended with an error; its last words are passed on."""


class ScoringFailedError(DimecError):
    """The workers of a scoring cannot begin; what they said stands on standard error."""


class ParityError(DimecError):
    """An exported graph does not answer as the trained model does."""


class ProtocolError(DimecError):
    """A request or an answer is not what the Open Inference Protocol says.

    Attributes:
        status: the HTTP status that a server answers with.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[type[ProtocolError], tuple[str, int]]:
        return type(self), (str(self), self.status)


class TierError(DimecError):
    """A tier gave no usable answer.

    Attributes:
        tier: ``"edge"`` or ``"cloud"``.
        reason: one of :data:`dimec.client.endpoint.REASONS`.
        sent: whether the input left the device, so that its offloading is to be paid.
        attempts: requests that were started.
        status: of HTTP, of the last attempt; None where it had no answer.
        bytes_sent: bytes of HTTP of the attempts that ended in an HTTP answer.
        bytes_received: likewise.
    """

    attempts = bytes_sent = bytes_received = 0
    status: int | None = None

    def __init__(self, tier: str, reason: str, detail: str, sent: bool) -> None:
        super().__init__(f"{tier}: {reason}: {detail}")
        self.tier = tier
        self.reason = reason
        self.detail = detail
        self.sent = sent

    def __reduce__(
        self,
    ) -> tuple[type[TierError], tuple[str, str, str, bool], dict[str, object]]:
        return type(self), (self.tier, self.reason, self.detail, self.sent), vars(self)


class ServerError(DimecError):
    """A server could not start, or went away."""


class HubError(DimecError):
    """The hub has not what was asked for, or does not give or take it."""


class HubUnreachableError(HubError):
    """The hub does not answer, or must not be asked; what is on this machine may do."""


class RunBusyError(DimecError):
    """Another process holds the run directory."""


class StateBusyError(DimecError):
    """Another process holds the mobile's state; it has one writer."""


class StorageError(DimecError):
    """The disk is full, or refuses to write."""


class MissingExtraError(DimecError):
    """An optional dependency is needed and not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed; "
            f"install it with: pip install 'dimec[{extra}]'"
        )
        self.package = package
        self.extra = extra
        self.purpose = purpose

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str]]:
        # The arguments, not the message: errors travel between processes.
        return type(self), (self.package, self.extra, self.purpose)


class ContractRefusedError(DimecError):
    """No policy is shown to keep the contract on the calibration rows."""
