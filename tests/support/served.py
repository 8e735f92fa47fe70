"""Tier servers in processes of their own, a graph that obeys its input, and ways to talk to them.

The graph is slow on demand and fails on demand, so that what a server does meanwhile can be seen:
a row's ids below 1000 are quick, one of 1000 + n takes n matrix products, one from 2000 on is in
the manifest's vocabulary and not in the graph's, which fails. The highest id is tried at the start
and is taken for 0.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import queue
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import IntArray
from dimec.bundle.folders import file_records, write_manifest
from dimec.bundle.manifest import TierManifest, TierRecord
from dimec.protocol import (
    BINARY_HEADER,
    InferRequest,
    InferResponse,
    decode_response,
    encode_request,
)
from dimec.serving.checks import Rows
from dimec.serving.entries import Probabilities
from dimec.tiers.deployment import Deployment
from support.tiny import environment

VERSION = "41"
INFER = "/v2/models/edge/infer"
SLOW = 1300  # a row with this id takes half a second or more, where others take microseconds
FAILING = 12_345_678  # no id, time or count that a log holds is the same by chance
LONGEST = 40
VOCABULARY = 1 << 24

_GRAPH = """
<ir_version: 9, opset_import: ["": 17]>
tier (int64[B, T] input_ids, int64[B, T] attention_mask) => (float[B, 2] probabilities)
<float[2000] table, float[384, 384] mean, int64[1] first = {1}, int64 thousand = {1000},
 int64 end = {2000},
 int64 last = {16777215}, int64 none = {0}, float nothing = {0}, float one = {1}>
{
    ids = Mul(input_ids, attention_mask)
    highest = Equal(ids, last)
    index = Where(highest, none, ids)
    values = Gather(table, index)
    score = ReduceSum(values, first)
    beyond = Sub(ids, thousand)
    known = Less(ids, end)
    counts = Where(known, beyond, none)
    most = ReduceMax <keepdims = 0> (counts)
    products = Max(most, none)
    on = Constant <value = bool {1}> ()
    matrix = Loop (products, on, mean) <body = product
        (int64 turn, bool before, float[384, 384] left) =>
        (bool after, float[384, 384] right) {
            after = Identity(before)
            right = MatMul(left, mean)
        }>
    sum = ReduceSum <keepdims = 0> (matrix)
    silent = Mul(sum, nothing)
    audible = Add(score, silent)
    other = Sub(one, audible)
    scores = Concat <axis = 1> (audible, other)
    probabilities = Softmax <axis = 1> (scores)
}
"""


def make_tier(folder: Path, tier: str = "edge") -> Path:
    """A tier's bundle with the graph above; returns its folder."""
    import onnx

    folder.mkdir(parents=True)
    graph = onnx.parser.parse_model(_GRAPH)
    weights = {"table": _TABLE, "mean": np.full((384, 384), 1 / 384, np.float32)}
    for name, values in weights.items():
        graph.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    onnx.save(graph, folder / "model.onnx")
    manifest = TierManifest(
        tier=tier,
        tiers=paper_records(mobile="40", edge=VERSION, cloud="42"),
        precision="fp32",
        labels=("negative", "positive"),
        inputs=("input_ids", "attention_mask"),
        vocabulary=VOCABULARY,
        max_tokens=LONGEST,
        padding=0,
        pairs=False,
        width=8,
        provenance={},
        files=file_records(folder),
    )
    write_manifest(folder, manifest)
    return folder


def paper_records(**versions: str) -> tuple[TierRecord, ...]:
    """Tiers of these names at the first of the exits 1, 2 and 4, with the paper's prices."""
    tiers = Deployment.paper((1, 2, 4)[: len(versions)], names=tuple(versions)).tiers
    return tuple(TierRecord(**asdict(tier), version=versions[tier.name]) for tier in tiers)


_TABLE = (np.arange(2000) % 100 / 100).astype(np.float32)


def inputs_of(*rows: tuple[int, ...] | list[int]) -> dict[str, npt.NDArray[np.int64]]:
    """Model inputs of token ids, padded with 0 at the right."""
    width = max(map(len, rows))
    ids = np.array([[*row, *[0] * (width - len(row))] for row in rows], np.int64)
    lengths = np.array([len(row) for row in rows])
    mask = (np.arange(width) < lengths[:, None]).astype(np.int64)
    return {"input_ids": ids, "attention_mask": mask}


def expected(inputs: Mapping[str, npt.NDArray[np.int64]]) -> npt.NDArray[np.float32]:
    """What the graph answers, (B, 2)."""
    score = _TABLE[inputs["input_ids"] * inputs["attention_mask"]].sum(axis=1, keepdims=True)
    powers = np.exp(np.concatenate([score, 1 - score], axis=1))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def message(
    inputs: Mapping[str, npt.NDArray[Any]], *, binary: bool = True, **options: Any
) -> tuple[dict[str, str], bytes]:
    """Headers and body of a request for inference; options as of ``InferRequest``."""
    request = InferRequest(dict(inputs), **{"binary": binary, **options})
    sent = encode_request(request, binary=binary)
    return sent.headers, sent.body


class Answer(NamedTuple):
    """An HTTP answer; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str:
        """The text of an error in Triton's shape, and nothing but it."""
        value = json.loads(self.body)
        assert list(value) == ["error"]
        assert isinstance(value["error"], str)
        return value["error"]

    def json(self) -> Any:
        return json.loads(self.body)

    def decoded(self) -> InferResponse:
        """The response to an inference."""
        assert self.status == 200, self.body
        return decode_response(self.body, self.headers.get(BINARY_HEADER.lower()))


class Server:
    """A tier server in a process of its own; ends with the block.

    Args:
        bundle: a tier's folder.
        settings: of ``ServerSettings``.
    """

    def __init__(self, bundle: Path, log: Path, **settings: Any) -> None:
        self._launch(server_command(bundle, **{"port": 0, "threads": 1, **settings}), log)

    @classmethod
    def by(cls, command: list[str], log: Path, **changes: str) -> Server:
        """The server that a command starts."""
        server = cls.__new__(cls)
        server._launch(command, log, **changes)
        return server

    def _launch(self, command: list[str], log: Path, **changes: str) -> None:
        self._log = log
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                env=environment(**changes),
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"did not start: {log.read_text()}"
        self.ready: dict[str, Any] = json.loads(line)
        self.url: str = self.ready["url"]
        self.port = int(self.url.rpartition(":")[2])

    def connect(self, context: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
        """A connection that stays open over requests."""
        if context is not None:
            return http.client.HTTPSConnection("localhost", self.port, timeout=60, context=context)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def socket(self) -> socket.socket:
        """A connection for bytes of any kind."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers)

    def infer(self, inputs: Mapping[str, npt.NDArray[Any]], **options: Any) -> Answer:
        headers, body = message(inputs, **options)
        return self.ask("POST", INFER, headers, body)

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """One request on a connection of its own."""
        connection = self.connect()
        try:
            return ask(connection, method, path, headers, body)
        finally:
            connection.close()

    def metric(self, name: str, **labels: str) -> float:
        """A value of ``/metrics``; 0 where nothing was counted yet."""
        from prometheus_client.parser import text_string_to_metric_families

        text = self.get("/metrics").body.decode()
        found = (
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )
        return sum(found)

    def wait_for(self, name: str, value: float, **labels: str) -> None:
        """Wait until a metric has a value, or more; the test's time limit ends it."""
        while self.metric(name, **labels) < value:
            time.sleep(0.01)

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        """Ask it to stop and wait; its exit code."""
        if self.process.poll() is None:
            self.signal()
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; its exit code."""
        code = self.process.wait(60)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        return code

    def said(self) -> str:
        """Everything on its standard error so far."""
        return self._log.read_text()

    def logged(self, event: str = "request") -> list[dict[str, Any]]:
        """The lines of its log of one kind; every line has to be JSON."""
        said, _, _ = self.said().rpartition("\n")  # what is being written is not looked at
        lines = [json.loads(line) for line in said.splitlines()]
        return [line for line in lines if line["event"] == event]

    def wait_logged(self, event: str = "request", **fields: Any) -> dict[str, Any]:
        """The first line of its log of a kind with these fields, once it is there."""
        while True:
            for line in self.logged(event):
                if fields.items() <= line.items():
                    return line
            time.sleep(0.01)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.wait()


_SERVE = """
import json, sys
from dimec.bundle.folders import (TierBundle)
from dimec.serving.server import serve
from dimec.serving.settings import ServerSettings
serve(TierBundle.open(sys.argv[1]), ServerSettings.of(**json.loads(sys.argv[2])))
"""


def server_command(bundle: Path, **settings: Any) -> list[str]:
    """The command that serves a tier with settings of which the command line has not all."""
    return [sys.executable, "-c", _SERVE, str(bundle), json.dumps(settings)]


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> Answer:
    """One request on a connection that is there."""
    connection.request(method, path, body or None, dict(headers or {}))
    return read_answer(connection)


def read_answer(connection: http.client.HTTPConnection) -> Answer:
    """The answer to a request that was sent."""
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())


def raw_request(path: str, headers: Mapping[str, str], body: bytes, method: str = "POST") -> bytes:
    """The bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: tier"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def read_raw(sock: socket.socket) -> Iterator[Answer]:
    """The answers on a connection until the server closes it."""
    stream = sock.makefile("rb")
    while line := stream.readline():
        status = int(line.split()[1])
        headers: dict[str, str] = {}
        while (line := stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        yield Answer(status, headers, stream.read(int(headers["content-length"])))


def rows_of(*lengths: int, first: int = 1) -> Rows:
    """Rows of so many tokens; row i's ids are all ``first + i``."""
    width = max(lengths)
    mask = (np.arange(width) < np.array(lengths)[:, None]).astype(np.int64)
    ids = (first + np.arange(len(lengths))[:, None]) * mask
    return Rows({"input_ids": ids, "attention_mask": mask}, mask.sum(axis=1))


def answer_of(inputs: dict[str, IntArray], alone: bool = True) -> Probabilities:
    """A graph that answers with each row's first id and number of tokens."""
    return np.stack(
        [inputs["input_ids"][:, 0], inputs["attention_mask"].sum(axis=1)], axis=1
    ).astype(np.float32)


def in_loop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 60))


class Background:
    """A call in a thread; :meth:`result` waits for it."""

    def __init__(self, call: Any, *arguments: Any, **options: Any) -> None:
        self._results: queue.Queue[Any] = queue.Queue()

        def work() -> None:
            try:
                self._results.put((call(*arguments, **options), None))
            except BaseException as error:
                self._results.put((None, error))

        threading.Thread(target=work, daemon=True).start()

    def result(self) -> Any:
        value, error = self._results.get(timeout=120)
        if error is not None:
            raise error
        return value
