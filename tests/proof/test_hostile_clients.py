"""Clients that flood a real server: its memory stays bounded, and others are answered meanwhile."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import pytest

from support.served import INFER, Server, make_tier

CLIENTS, LINES = 12, 500_000  # of the latter, unless it is stopped, each client sends so many
MOST_GROWTH = 40e6  # bytes; twelve such clients once took two gigabytes
HEAD = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()


@pytest.mark.parametrize("token", [None, "secret"])
def test_trailers_without_end(tmp_path: Path, token: str | None) -> None:
    def client(server: Server) -> None:
        with server.socket() as sock, suppress(OSError):
            sock.sendall(HEAD + b"1\r\na\r\n0\r\n")
            for _ in range(0, LINES, 10_000):
                sock.sendall(b"ab:\r\n" * 10_000)

    with Server(make_tier(tmp_path / "edge"), tmp_path / "log", token=token) as server:
        shown = {} if token is None else {"Authorization": f"Bearer {token}"}
        before = _resident(server)
        threads = [threading.Thread(target=client, args=(server,)) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert server.get("/v2/health/live").status == 200
        assert _resident(server) < before + MOST_GROWTH
        assert server.get("/v2", **shown).status == 200
        assert server.stop() == 0


def test_a_trailer_shows_no_token(tmp_path: Path) -> None:
    with Server(make_tier(tmp_path / "edge"), tmp_path / "log", token="secret") as server:
        with server.socket() as sock:
            sock.sendall(HEAD + b"1\r\na\r\n0\r\nAuthorization: Bearer secret\r\n\r\n")
            assert sock.recv(12) == b"HTTP/1.1 401"
        assert server.stop() == 0


def _resident(server: Server) -> int:
    """The most memory that the server ever had, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text("ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])
