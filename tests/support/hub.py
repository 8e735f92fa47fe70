"""A small hub over HTTP on this machine, which the real client pushes to and pulls from.

It speaks what the client of huggingface_hub asks for: repositories, branches, commits of plain and
of large files, sizes and hashes, ranges, and who may see what. It can break off, hold, or lie.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

OWNER = "hf_owner"  # the one token that may write, and see what is private
_LARGE = (".safetensors", ".onnx", ".data", ".png")
_API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/([a-z-]+)/([^/]+))?")
_RESOLVE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_BATCH = re.compile(r"/(datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch")


@dataclass
class Repo:
    """A repository: its branches' commits, and what each commit holds."""

    private: bool
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, tuple[bytes, bool]]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def at(self, revision: str) -> str | None:
        """The commit that a revision stands for."""
        commit = self.branches.get(revision, revision)
        return commit if commit in self.commits else None


@dataclass
class FakeHub:
    """What the hub has, what it was asked, and how it misbehaves.

    Attributes:
        repos: ``models/ORG/NAME`` or ``datasets/ORG/NAME`` → the repository.
        large: SHA-256 → large files that were sent.
        asked: method, path and headers of every request.
        cut: file → after how many bytes its next answer is broken off.
        hold: file → after how many bytes its answer stands still, until the client has gone.
        holding: set once an answer stands still.
        instead: file → what is sent in place of it, however long.
        fail_commit: whether the next commit is refused, its large files being there.
    """

    repos: dict[str, Repo] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    cut: dict[str, int] = field(default_factory=dict)
    hold: dict[str, int] = field(default_factory=dict)
    holding: threading.Event = field(default_factory=threading.Event)
    instead: dict[str, bytes] = field(default_factory=dict)
    fail_commit: bool = False
    url: str = ""

    def files(self, repo: str, revision: str = "main") -> dict[str, bytes]:
        """The files of a repository, ``models/ORG/NAME``."""
        found = self.repos[repo]
        commit = found.at(revision)
        assert commit is not None
        return {name: content for name, (content, _) in found.commits[commit].items()}

    def change(self, repo: str, files: dict[str, bytes]) -> str:
        """Commit files by hand, as somebody does on the hub's page; returns the commit."""
        found = self.repos[repo]
        tree = dict(found.commits[found.branches["main"]])
        tree |= {name: (content, _is_large(name)) for name, content in files.items()}
        return _commit(found, "main", tree, "by hand")

    def gets(self, file: str) -> list[dict[str, str]]:
        """The headers of each time that a file was asked for."""
        return [
            headers for way, path, headers in self.asked if way == "GET" and path.endswith(file)
        ]

    async def answer(self, request: Request) -> Response:
        path = request.scope["raw_path"].decode("ascii")
        self.asked.append((request.method, unquote(path), dict(request.headers)))
        if path == "/api/repos/create":
            return await self._create(request)
        if path == "/api/validate-yaml":
            return JSONResponse({"errors": [], "warnings": []})
        if path.startswith("/large/"):
            return await self._take(request, path.removeprefix("/large/"))
        if found := _BATCH.fullmatch(path):
            return self._visible(request, bool(found[1]), found[2]) or await self._batch(request)
        if found := _RESOLVE.fullmatch(path):
            away = self._visible(request, bool(found[1]), found[2])
            return away or self._resolve(request, *(unquote(one or "") for one in found.groups()))
        if found := _API.fullmatch(path):
            data = found[1] == "datasets"
            repo, word, revision = found[2], found[3] or "", unquote(found[4] or "main")
            away = self._visible(request, data, repo)
            return away or await self._of_repo(request, f"{found[1]}/{repo}", word, revision)
        return _missing("EntryNotFound")

    def _visible(self, request: Request, data: bool, repo: str) -> Response | None:
        """None where who asks may see it; else what the hub says: it does not tell which it is."""
        found = self.repos.get(f"{'datasets' if data else 'models'}/{repo}")
        may = _token(request) == OWNER
        if found is not None and (may or not found.private):
            if request.method == "POST" and not may and "paths-info" not in request.url.path:
                return JSONResponse({"error": "not yours"}, 403)
            return None
        if _token(request) is None:
            return JSONResponse({"error": "Invalid username or password."}, 401)
        return _missing("RepoNotFound")

    async def _create(self, request: Request) -> Response:
        if _token(request) != OWNER:
            return JSONResponse({"error": "no token"}, 401)
        told = await request.json()
        name = f"{told.get('type', 'model')}s/{told['organization']}/{told['name']}"
        if name in self.repos:
            return JSONResponse(
                {"error": "You already created this repo", "url": f"{self.url}/{name}"}, 409
            )
        self.repos[name] = repo = Repo(told.get("visibility") == "private")
        _commit(repo, "main", {}, "initial commit")
        return JSONResponse({"url": f"{self.url}/{name.removeprefix('models/')}"})

    async def _of_repo(self, request: Request, name: str, word: str, revision: str) -> Response:
        repo = self.repos[name]
        if word == "branch":
            if revision in repo.branches:
                return JSONResponse({"error": "Reference already exists"}, 409)
            repo.branches[revision] = repo.branches["main"]
            return Response(status_code=201)
        if (commit := repo.at(revision)) is None:
            return _missing("RevisionNotFound")
        tree = repo.commits[commit]
        if word == "preupload":
            files = (await request.json())["files"]
            modes = [
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if _is_large(one["path"]) else "regular",
                    "shouldIgnore": False,
                }
                for one in files
            ]
            return JSONResponse({"files": modes})
        if word == "paths-info":
            paths = parse_qs((await request.body()).decode())["paths"]
            return JSONResponse([_info(path, *tree[path]) for path in paths if path in tree])
        if word == "commit":
            return await self._commit(request, repo, revision, dict(tree))
        id_ = name.partition("/")[2]
        return JSONResponse({"id": id_, "sha": commit, "private": repo.private, "siblings": []})

    async def _commit(
        self, request: Request, repo: Repo, branch: str, tree: dict[str, tuple[bytes, bool]]
    ) -> Response:
        if self.fail_commit:
            self.fail_commit = False
            return JSONResponse({"error": "not now"}, 400)
        message = ""
        for line in (await request.body()).splitlines():
            one = json.loads(line)
            value: dict[str, Any] = one["value"]
            if one["key"] == "header":
                message = value["summary"]
            elif one["key"] == "file":
                tree[value["path"]] = (base64.b64decode(value["content"]), False)
            elif one["key"] == "lfsFile":
                tree[value["path"]] = (self.large[value["oid"]], True)
            else:
                del tree[value["path"]]
        commit = _commit(repo, branch, tree, message)
        return JSONResponse({"commitUrl": f"{self.url}/c/{commit}", "commitOid": commit})

    async def _batch(self, request: Request) -> Response:
        objects = []
        for one in (await request.json())["objects"]:
            there = one["oid"] in self.large
            upload = {"upload": {"href": f"{self.url}/large/{one['oid']}"}}
            objects.append({**one, **({} if there else {"actions": upload})})
        return JSONResponse({"transfer": "basic", "objects": objects})

    async def _take(self, request: Request, oid: str) -> Response:
        content = await request.body()
        if hashlib.sha256(content).hexdigest() != oid:
            return JSONResponse({"error": "other bytes"}, 400)
        self.large[oid] = content
        return Response()

    def _resolve(
        self, request: Request, data: str, name: str, revision: str, file: str
    ) -> Response:
        repo = self.repos[f"{data or 'models/'}{name}"]
        if (commit := repo.at(revision)) is None:
            return _missing("RevisionNotFound")
        if file not in repo.commits[commit]:
            return _missing("EntryNotFound")
        content, large = repo.commits[commit][file]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{_etag(content, large)}"'}
        if file in self.instead:
            # In pieces, so that nothing says beforehand how long it is.
            return StreamingResponse(self._send(file, self.instead[file]), headers=headers)
        start = 0
        if wanted := request.headers.get("range"):
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        headers["Content-Length"] = str(len(content) - start)
        status = 206 if wanted else 200
        return StreamingResponse(self._send(file, content[start:]), status, headers)

    async def _send(self, file: str, body: bytes) -> AsyncIterator[bytes]:
        if file in self.cut:
            yield body[: self.cut.pop(file)]
            raise ConnectionAbortedError("as it was asked to")
        if file in self.hold:
            yield body[: self.hold.pop(file)]
            self.holding.set()
            await asyncio.Event().wait()  # it is cancelled once the client has gone
        yield body


def _token(request: Request) -> str | None:
    value = request.headers.get("authorization")
    return None if value is None else value.removeprefix("Bearer ")


def _missing(code: str) -> Response:
    return JSONResponse({"error": code}, 404, {"X-Error-Code": code, "X-Error-Message": code})


def _is_large(name: str) -> bool:
    return name.endswith(_LARGE)


def _blob(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def _etag(content: bytes, large: bool) -> str:
    return hashlib.sha256(content).hexdigest() if large else _blob(content)


def _info(path: str, content: bytes, large: bool) -> dict[str, Any]:
    told = {"type": "file", "path": path, "size": len(content), "oid": _blob(content)}
    if large:
        oid = hashlib.sha256(content).hexdigest()
        told |= {"lfs": {"oid": oid, "size": len(content), "pointerSize": 134}}
    return told


def _commit(repo: Repo, branch: str, tree: dict[str, tuple[bytes, bool]], message: str) -> str:
    past = f"{len(repo.commits)} {branch} {message}".encode()
    content = b"".join(name.encode() + one for name, (one, _) in sorted(tree.items()))
    commit = hashlib.sha1(past + content).hexdigest()
    repo.commits[commit] = tree
    repo.branches[branch] = commit
    repo.messages.append(message)
    return commit


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """Serve an empty hub on this machine while the block lasts."""
    hub = FakeHub()
    methods = ["GET", "HEAD", "POST", "PUT"]
    app = Starlette(routes=[Route("/{path:path}", hub.answer, methods=methods)])
    listening = socket.create_server(("127.0.0.1", 0))
    hub.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield hub
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
