"""Names of what the hub has: ``ORG/NAME``, with a revision and a folder inside where wanted."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, Self

from dimec.base.errors import ConfigError, quoted

PREFIX = "hub:"
_DATASETS = "datasets/"
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_FORM = re.compile(
    rf"(?P<repo>{_PART}/{_PART})(?:/(?P<inside>{_PART}))?"
    r"(?:@(?P<revision>[A-Za-z0-9][A-Za-z0-9._/-]{0,99}))?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubName:
    """A repository of the hub at a revision.

    Attributes:
        repo: ``ORG/NAME``.
        revision: a branch, a tag or a commit; None for the branch ``main``.
        dataset: whether it is one of the hub's data sets, as traces are, and no model.
        inside: a folder in it, such as a tier's; ``""`` for all of it.
    """

    repo: str
    revision: str | None = None
    dataset: bool = False
    inside: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``[hub:][datasets/]ORG/NAME[/TIER][@REVISION]``.

        Raises:
            ConfigError: it is none.

        Example:
            >>> HubName.parse("hub:me/reviews/edge@v1")
            HubName(repo='me/reviews', revision='v1', dataset=False, inside='edge')
        """
        rest = text.removeprefix(PREFIX)
        dataset = rest.startswith(_DATASETS)
        found = _FORM.fullmatch(rest.removeprefix(_DATASETS))
        if found is None or ".." in rest or "--" in found["repo"]:
            raise ConfigError(
                f"expected a name on the hub, ORG/NAME, with @REVISION behind it where it is "
                f"pinned and datasets/ before it for traces, got {quoted(text, 80)}"
            )
        return cls(found["repo"], found["revision"], dataset, found["inside"] or "")

    @property
    def kind(self) -> Literal["model", "dataset"]:
        """What the hub calls it."""
        return "dataset" if self.dataset else "model"

    @property
    def wanted(self) -> str:
        """The revision, or the hub's default."""
        return self.revision or "main"

    @property
    def commit(self) -> str | None:
        """The revision where it is a commit, which never changes; else None."""
        pinned = self.revision is not None and _COMMIT.fullmatch(self.revision)
        return self.revision if pinned else None

    def folder(self, inside: str) -> Self:
        """A folder in it.

        Example:
            >>> str(HubName.parse("me/reviews@v1").folder("edge"))
            'me/reviews/edge@v1'
        """
        return replace(self, inside=inside)

    def at(self, revision: str) -> Self:
        """The same at another revision."""
        return replace(self, revision=revision)

    def __str__(self) -> str:
        inside = f"/{self.inside}" if self.inside else ""
        revision = f"@{self.revision}" if self.revision else ""
        return f"{_DATASETS if self.dataset else ''}{self.repo}{inside}{revision}"


def is_commit(text: str) -> bool:
    """Whether it is a commit's whole name, 40 hexadecimal digits."""
    return _COMMIT.fullmatch(text) is not None
