"""A file server that knows ranges, and can break off or ask who is there."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Shelf:
    """What a server has, and what it was asked.

    Attributes:
        content: of its one file, at any path.
        breaks_after: bytes of an answer after which it closes the connection; None never does.
        ranges: whether it knows them.
        authorization: the header that it wants, if any.
        asked: the headers of each request.
    """

    content: bytes
    breaks_after: int | None = None
    ranges: bool = True
    authorization: str | None = None
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""


@contextmanager
def on_shelf(shelf: Shelf) -> Iterator[Shelf]:
    """Serve it on this machine while the block lasts."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shelf.asked.append({name.lower(): value for name, value in self.headers.items()})
            if shelf.authorization not in (None, self.headers["Authorization"]):
                self.send_error(401)
                return
            wanted, start = self.headers["Range"], 0
            if wanted and shelf.ranges:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= len(shelf.content):
                    self.send_error(416)
                    return
            body = shelf.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: shelf.breaks_after])

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        shelf.url = f"http://127.0.0.1:{server.server_address[1]}/mine.tar.gz"
        try:
            yield shelf
        finally:
            server.shutdown()
            thread.join()
