"""Names of what the hub has."""

from __future__ import annotations

import pytest

from dimec.base.errors import ConfigError
from dimec.hub.names import HubName

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("me/mine", HubName("me/mine")),
        ("hub:me/mine@v1.0", HubName("me/mine", "v1.0")),
        ("datasets/me/mine@a/b", HubName("me/mine", "a/b", dataset=True)),
        (f"hub:me/mine/edge@{COMMIT}", HubName("me/mine", COMMIT, inside="edge")),
    ],
)
def test_a_name_is_read_and_told_alike(text: str, name: HubName) -> None:
    assert HubName.parse(text) == name
    assert str(name) == text.removeprefix("hub:")
    assert HubName.parse(str(name)) == name


@pytest.mark.parametrize(
    "text",
    [
        "mine",
        "",
        "me/",
        "/me/mine",
        "me/../x",
        "me/mine/a/b",
        "me/mine@",
        "me/-x",
        "a b/c",
        "me/x--y",
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="ORG/NAME"):
        HubName.parse(text)


def test_only_a_whole_commit_is_pinned() -> None:
    assert HubName("a/b", COMMIT).commit == COMMIT
    assert HubName("a/b", COMMIT[:12]).commit is None
    assert HubName("a/b").commit is None
    assert HubName("a/b").wanted == "main"
