"""The tier server against a real Triton: the same graph, the same requests, the same machine.

One process generates the load for both, with raw sockets (:mod:`benchmarks.load`) and requests that
are made beforehand, as the mobile makes them. The two servers take turns.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bare import Bare, bare_graph
from benchmarks.bundles import PRECISIONS, first_folder, read_texts, scene
from benchmarks.harness import available_cores, in_fresh_process, say
from benchmarks.load import Answered, closed_loop, post
from benchmarks.results import PER_SECOND, RATIO, Figure, Result

TIER = "edge"
OURS, TRITON, BARE = "dimec", "Triton", "the bare graph"
_WARM_UP = 40  # requests that are not counted
_TURNS = 3  # of each configuration of Triton
_OF_BARE = 0.9  # what a server on all cores should give of the bare graph's texts a second
_CLOSE = 1e-4  # how far two servers' probabilities may lie apart: one may run a batch


@dataclass(frozen=True)
class Sizes:
    """``run``: see :func:`benchmarks.bundles.scene`; ``texts`` are sent once in each measurement.

    ``clients``: at a time; both it and 1 are measured. ``threads``: processor threads of our
    server, and instances of Triton's model; 0 for as many as there are cores.
    """

    run: str = ""
    texts: int = 300
    clients: int = 16
    threads: int = 0
    repeats: int = 5


def run(sizes: Sizes, seed: int) -> Result:
    """Both precisions, each in a process of its own that starts both servers."""
    found = scene(sizes.run, seed)
    threads = sizes.threads or available_cores()
    figures: list[Figure] = []
    runs: dict[str, Any] = {}
    for precision in PRECISIONS:
        say(f"serving: {precision}")
        runs[precision] = in_fresh_process(
            measure,
            bundle=found.bundle(precision),
            texts_from=found.bundle("fp32"),
            texts=sizes.texts,
            clients=sizes.clients,
            threads=threads,
            repeats=sizes.repeats,
        ).value
        figures += _figures(precision, runs[precision])
    notes = (
        found.note,
        f"the {TIER} tier; our server with {threads} workers; {runs['fp32']['triton']} with the "
        "same onnxruntime, one thread an instance, by its Python backend, since this build has no "
        "backend for ONNX graphs; of " + _options_tried(threads) + " the one was taken that gave "
        "the most answers a second: "
        + ", ".join(f"{name} {runs[name]['option']}" for name in PRECISIONS),
        f"closed loop: each client sends its next request once it has its answer; "
        f"{sizes.texts} requests a measurement; binary tensors, one text a request, as the mobile "
        "sends them; generator and server share the machine",
        "processor time: of the server's processes, an answer; the load generator's is not in it",
        f"{BARE}: a process a core, and of one client one process, each with its share of the "
        "texts and one thread of onnxruntime; no load generator runs meanwhile",
        "ratios are taken pair by pair",
    )
    return Result(tuple(figures), notes, runs)


def _figures(precision: str, found: Mapping[str, Any]) -> list[Figure]:
    figures = []
    for clients, measured in found["measured"].items():
        name = f"{precision}, {clients} client{'s' if clients != '1' else ''}"
        for server, rows in measured.items():
            figures.append(
                Figure.of(f"{name}: {server}", [row["rate"] for row in rows], PER_SECOND)
            )
            if server == BARE:
                continue
            for part, title in (("p50", "p50"), ("p99", "p99"), ("cpu", "processor time")):
                figures.append(Figure.of(f"{name}: {server}, {title}", [row[part] for row in rows]))
        for part, title, goal, at_least in (
            ("rate", "answers a second", 1.0, True),
            ("p50", "p50", None, False),
            ("p99", "p99", 1.0, False),
            ("cpu", "processor time", None, False),
        ):
            if not all(row[part] for row in measured[TRITON]):
                continue  # less than the clock of processor time can tell
            pairs = zip(measured[OURS], measured[TRITON], strict=True)
            figures.append(
                Figure.of(
                    f"{name}: {OURS} / {TRITON}, {title}",
                    [ours[part] / theirs[part] for ours, theirs in pairs],
                    RATIO,
                    goal,
                    at_least,
                )
            )
        pairs = zip(measured[OURS], measured[BARE], strict=True)
        figures.append(
            Figure.of(
                f"{name}: {OURS} / {BARE}, answers a second",
                [ours["rate"] / theirs["rate"] for ours, theirs in pairs],
                RATIO,
                _OF_BARE if clients != "1" else None,
                True,
            )
        )
    return figures


def measure(
    bundle: str,
    texts_from: str,
    texts: int,
    clients: int,
    threads: int,
    repeats: int,
) -> dict[str, Any]:
    """Rates and quantiles of each measurement, by number of clients and server."""
    from triton_server import TritonServer

    bodies = messages(bundle, texts_from, texts)
    with tempfile.TemporaryDirectory() as folder:
        repositories = _repositories(bundle, threads, Path(folder))
        option = _best_option(repositories, bodies, clients)
        model = Path(bundle) / TIER / "model.onnx"
        with (
            our_server(bundle, threads) as ours,
            TritonServer(repositories[option]) as triton,
            bare_graph(model, token_ids(bundle, texts_from, texts), threads) as bare,
        ):
            urls = {OURS: ours[0], TRITON: triton.url}
            pids = {OURS: ours[1], TRITON: triton.pid}
            requests = {server: requests_of(url, bodies) for server, url in urls.items()}
            _check_agreement(urls, requests, clients)
            measured = _by_turns(urls, pids, requests, sorted({1, clients}), repeats, bare)
            name = _triton_name(triton.url)
    return {"measured": measured, "option": option, "triton": name}


def _by_turns(
    urls: Mapping[str, str],
    pids: Mapping[str, int],
    requests: Mapping[str, Sequence[bytes]],
    counts: Sequence[int],
    repeats: int,
    bare: Bare,
) -> dict[str, dict[str, list[dict[str, float]]]]:
    measured: dict[str, dict[str, list[dict[str, float]]]] = {
        str(count): {server: [] for server in (*urls, BARE)} for count in counts
    }
    for repeat in range(repeats):
        # Who begins changes from one repeat to the next.
        order = list(urls) if repeat % 2 == 0 else list(urls)[::-1]
        for count in counts:
            for server in order:
                before = processor_seconds(pids[server])
                answers, wall = closed_loop(urls[server], requests[server], count)
                spent = (processor_seconds(pids[server]) - before) / len(answers)
                measured[str(count)][server].append(_summary(answers, wall) | {"cpu": spent})
            # As many processes as there are clients, and no more than there are cores.
            measured[str(count)][BARE].append({"rate": bare.rate(count)})
    return measured


def processor_seconds(pid: int) -> float:
    """What a process and its children have used so far."""
    import psutil

    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return float(sum(time.user + time.system for time in times))


def _summary(answers: Sequence[Answered], wall: float) -> dict[str, float]:
    import numpy as np

    p50, p99 = np.quantile([answer.seconds for answer in answers], (0.5, 0.99)).tolist()
    return {"rate": len(answers) / wall, "p50": p50, "p99": p99}


_Message = tuple[str, dict[str, str], bytes]


def messages(bundle: str, texts_from: str, count: int) -> list[_Message]:
    """Path, headers and body of a request for each text, as the mobile's client makes them."""
    import numpy as np

    from dimec.bundle.folders import TierBundle
    from dimec.protocol import InferRequest, encode_request

    manifest = TierBundle.open(Path(bundle) / TIER, TIER).manifest
    path = f"/v2/models/{TIER}/versions/{manifest.version}/infer"
    messages = []
    for number, found in enumerate(token_ids(bundle, texts_from, count)):
        ids = np.array([found], np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        request = InferRequest(inputs, id=str(number), outputs=("probabilities",), binary=True)
        message = encode_request(request, binary=True)
        messages.append((path, dict(message.headers), message.body))
    return messages


def token_ids(bundle: str, texts_from: str, count: int) -> list[list[int]]:
    """The token ids of each text."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(first_folder(bundle) / "tokenizer.json"))
    return [list(tokenizer.encode(text).ids) for text in read_texts(texts_from, count)]


@contextlib.contextmanager
def our_server(bundle: str, threads: int) -> Iterator[tuple[str, int]]:
    """``dimec serve`` as a process of its own; yields its URL and the number of the process."""
    command = [sys.executable, "-m", "dimec", "serve", str(Path(bundle) / TIER), "--port", "0"]
    command += ["--threads", str(threads), "--stop-with-stdin"]
    server = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield str(json.loads(server.stdout.readline())["url"]), server.pid
    finally:
        server.stdin.close()  # which tells it to stop
        server.wait(30)
        server.stdout.close()


def _options(threads: int) -> dict[str, tuple[int, bool]]:
    """Configurations of Triton: number of instances, and whether it batches."""
    return {
        f"{instances} instance{'s' if instances > 1 else ''}, {text}": (instances, batching)
        for instances in sorted({1, threads})
        for text, batching in (("no batching", False), ("dynamic batching", True))
    }


def _options_tried(threads: int) -> str:
    return "; ".join(_options(threads))


def _repositories(bundle: str, threads: int, folder: Path) -> dict[str, Path]:
    """A model repository for each configuration."""
    from dimec.bundle.triton import write_triton_repository

    repositories = {}
    for number, (name, (instances, batching)) in enumerate(_options(threads).items()):
        repositories[name] = folder / str(number)
        write_triton_repository(bundle, repositories[name], backend="python", instances=instances)
        if batching:
            _let_it_batch(repositories[name] / TIER / "config.pbtxt")
    return repositories


def _let_it_batch(config: Path) -> None:
    """Let Triton hand several requests at once to its backend, of different lengths too."""
    text = config.read_text("utf-8")
    ragged = text.replace("dims: [ -1 ]", "dims: [ -1 ] allow_ragged_batch: true")
    config.write_text(ragged + "dynamic_batching { }\n", "utf-8")


def _best_option(repositories: Mapping[str, Path], bodies: Sequence[_Message], clients: int) -> str:
    """The configuration of Triton that gives the most answers a second.

    All run side by side and take turns; the best of each one's turns counts, since whatever else
    the machine does can only slow a server down.
    """
    from triton_server import TritonServer

    rates: dict[str, list[float]] = {name: [] for name in repositories}
    with contextlib.ExitStack() as stack:
        servers = {
            name: stack.enter_context(TritonServer(path)) for name, path in repositories.items()
        }
        for turn in range(_TURNS + 1):
            for name, server in servers.items():
                requests = requests_of(server.url, bodies if turn else bodies[:_WARM_UP])
                answers, wall = closed_loop(server.url, requests, clients)
                if turn:
                    rates[name].append(len(answers) / wall)
    return max(rates, key=lambda name: max(rates[name]))


def requests_of(url: str, bodies: Sequence[_Message]) -> list[bytes]:
    return [post(f"{url}{path}", headers, body) for path, headers, body in bodies]


def _check_agreement(
    urls: Mapping[str, str], requests: Mapping[str, Sequence[bytes]], clients: int
) -> None:
    """All must get the same answers, one by one and many at once; it warms both servers up."""
    import numpy as np

    found = {
        f"{server}, {count} at a time": _probabilities(closed_loop(url, requests[server], count)[0])
        for server, url in urls.items()
        for count in (1, clients)
    }
    expected = next(iter(found.values()))
    for name, values in found.items():
        if (apart := float(np.abs(values - expected).max())) > _CLOSE:
            raise RuntimeError(
                f"{name}: probabilities {apart:.2g} from those of {next(iter(found))}"
            )


def _probabilities(answers: Sequence[Answered]) -> Any:
    """(N, C) probabilities in the order of the requests."""
    import numpy as np

    from dimec.protocol import decode_response

    rows = []
    for answer in sorted(answers, key=lambda answer: answer.request):
        length = _header(answer.head, b"inference-header-content-length")
        rows.append(decode_response(answer.body, length).outputs["probabilities"][0])
    return np.stack(rows)


def _header(head: bytes, name: bytes) -> str | None:
    for line in head.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip().decode("ascii")
    return None


def _triton_name(url: str) -> str:
    from urllib.request import urlopen

    with urlopen(f"{url}/v2") as response:
        said = json.load(response)
    return f"Triton {said['version']}"
