"""A collection at an address: a real server of files, each fetched once, checked and kept."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from dimec.base.cache import CACHE_VARIABLE, cache_folder
from dimec.base.errors import CorruptArtefactError, MissingArtefactError
from dimec.base.storage import file_sha256
from dimec.traces import remote
from dimec.traces.collection import VARIABLE, Collection, find, load_trace, write_index
from dimec.traces.remote import fetch
from support.collected import small_collection, small_entry, small_traces

NAME = "sst2/tiny-joint/3"
CARD, TEST = f"/{NAME}/card.json", f"/{NAME}/test.safetensors"


class Site:
    """A server of a folder, and what it was asked for; ``/moved/…`` leads to ``/…``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        site = self

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                if self.path.startswith("/moved/"):
                    self.send_response(302)
                    self.send_header("Location", self.path.removeprefix("/moved"))
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                super().do_GET()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        handler = partial(Handler, directory=str(folder))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        serve = partial(self._server.serve_forever, poll_interval=0.01)
        threading.Thread(target=serve, daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_collection(tmp_path_factory.mktemp("original"))


@pytest.fixture
def site(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Serves a copy of a small collection, where traces are looked for; the cache is empty."""
    served = Site(Path(shutil.copytree(original, tmp_path / "served")))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv(VARIABLE, f"{served.address}/")
    yield served
    served.close()


def cached(name: str) -> Path:
    """Where a file of the collection is kept."""
    (found,) = cache_folder().glob(f"traces/*/{name}")
    return found


def test_each_file_is_fetched_once_and_kept(site: Site) -> None:
    collection = Collection.open()
    assert collection.names() == (NAME, "sst2/tiny-own/3")
    assert site.asked == ["/index.json"]  # no card yet
    trace = find(NAME, collection).trace("test")
    assert site.asked == ["/index.json", CARD, TEST]
    assert (trace.guids, trace.split) == (small_traces()[1].guids, "test")
    np.testing.assert_array_equal(find(NAME, collection).trace("test").labels, trace.labels)
    assert site.asked == ["/index.json", CARD, TEST]
    load_trace(f"{NAME}/test")  # a collection that is opened anew looks at the index
    assert site.asked[3:] == ["/index.json"]
    assert cached(f"{NAME}/test.safetensors").read_bytes() == (site.folder / TEST[1:]).read_bytes()


def test_what_is_in_the_cache_serves_when_the_server_is_gone(site: Site) -> None:
    load_trace(f"{NAME}/test")
    site.close()
    assert load_trace(f"{NAME}/test").guids == small_traces()[1].guids
    with pytest.raises(MissingArtefactError, match=r"validation\.safetensors cannot be read \("):
        load_trace(f"{NAME}/validation")


def test_no_server_and_no_cache_is_told_in_one_line(site: Site) -> None:
    site.close()
    with pytest.raises(MissingArtefactError) as told:
        load_trace(f"{NAME}/test")
    assert f"{site.address}/index.json cannot be read (" in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("asked", [CARD, TEST])
def test_a_file_of_another_digest_is_refused_and_not_kept(asked: str, site: Site) -> None:
    (site.folder / asked[1:]).write_bytes(b"another")
    with pytest.raises(CorruptArtefactError, match=f"{asked[1:]} is not what the collection says"):
        load_trace(f"{NAME}/test")
    assert not list(cache_folder().glob(f"traces/*{asked}"))


def test_a_collection_that_was_made_anew_is_fetched_anew(site: Site) -> None:
    load_trace(f"{NAME}/test")
    small_entry(site.folder / NAME, seed=9)
    write_index(site.folder)
    assert load_trace(f"{NAME}/test").labels.tolist() == small_traces(9)[1].labels.tolist()


def test_a_damaged_cache_is_mended(site: Site) -> None:
    load_trace(f"{NAME}/test")
    kept = cached(f"{NAME}/test.safetensors")
    digest = file_sha256(kept)
    kept.write_bytes(b"damaged")
    load_trace(f"{NAME}/test")
    assert file_sha256(kept) == digest


@pytest.mark.parametrize("name", ["../../../x", "../x/y", "a/../b"])
def test_an_index_that_leads_out_of_the_folder_is_refused(name: str, site: Site) -> None:
    index = {"version": 1, "cards": {name: "0" * 64}}
    (site.folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(CorruptArtefactError, match=r"/index\.json is no index of a trace"):
        Collection.open().names()
    assert not list(cache_folder().rglob("*"))


@pytest.mark.parametrize("content", [b"<html>Please log in</html>", b"[]"])
def test_what_is_no_index_does_not_replace_the_one_that_is_kept(content: bytes, site: Site) -> None:
    load_trace(f"{NAME}/test")
    (site.folder / "index.json").write_bytes(content)
    with pytest.raises(CorruptArtefactError, match=f"{site.address}/index.json is no"):
        load_trace(f"{NAME}/test")
    site.close()
    assert len(load_trace(f"{NAME}/test"))


def test_a_file_that_is_too_large_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_MOST", 2**20)
    (site.folder / "index.json").write_bytes(bytes(2**20 + 1))
    with pytest.raises(CorruptArtefactError, match=r"index\.json has more than 1 MiB"):
        Collection.open().names()


def test_redirects_are_followed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"{site.address}/moved")
    assert load_trace(f"{NAME}/test").split == "test"
    assert site.asked[:2] == ["/moved/index.json", "/index.json"]
    # Another address is another collection, and has its own place in the cache.
    load_trace(f"{NAME}/test")
    assert len(list((cache_folder() / "traces").iterdir())) == 1
    monkeypatch.setenv(VARIABLE, site.address)
    load_trace(f"{NAME}/test")
    assert len(list((cache_folder() / "traces").iterdir())) == 2


@pytest.mark.parametrize(
    ("address", "told"),
    [
        (lambda site: f"{site.address}/none.json", "answers with 404"),
        (lambda _: "http://[::1", "cannot be read"),
        (lambda _: "http:///x", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_told(address: Callable[[Site], str], told: str, site: Site) -> None:
    with pytest.raises(MissingArtefactError, match=told):
        fetch(address(site))


def test_a_name_is_spelt_as_an_address(site: Site) -> None:
    """A name of a model may hold what means something else in an address."""
    name = "some task/tiny#1?x-joint/3"
    small_entry(site.folder / name)
    write_index(site.folder)
    assert load_trace(f"{name}/test").guids == small_traces()[1].guids
