from __future__ import annotations

from typing import Any

import pytest

from dimec.base.errors import ConfigError
from dimec.serving.settings import ServerSettings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"port": 65536}, "port: .*less than or equal to 65535"),
        ({"port": -1}, "port: "),
        ({"threads": 0}, "threads: "),
        ({"max_batch": 0}, "max_batch: "),
        ({"max_batch": 65, "queue": 64}, "queue: expected room for one request .* got 64"),
        ({"max_body": 10}, "max_body: "),
        ({"drain": -1}, "drain: "),
        ({"drain": float("nan")}, "drain: "),
        ({"drain": float("inf")}, "drain: "),
        ({"log_level": "loud"}, "log_level: .*'debug', 'info', 'warning' or 'error'"),
        ({"tls_cert": "cert.pem"}, "tls_cert and tls_key: give both or neither"),
        ({"tls_key": "key.pem"}, "tls_cert and tls_key: give both or neither"),
        ({"host": ""}, "host: "),
        ({"hosts": "x"}, "hosts: "),
    ],
)
def test_wrong_settings_are_named_in_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        ServerSettings.of(**values)
    assert "\n" not in str(refused.value)


def test_the_token_shows_nowhere() -> None:
    settings = ServerSettings.of(token="very-secret")
    assert "very-secret" not in f"{settings} {settings!r} {settings.model_dump_json()}"
    with pytest.raises(ConfigError) as refused:
        ServerSettings.of(token=["very-secret"], port="very-secret")
    assert "very-secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.org", False),
    ],
)
def test_what_is_this_machine_only(host: str, loopback: bool) -> None:
    assert ServerSettings.of(host=host).loopback is loopback
