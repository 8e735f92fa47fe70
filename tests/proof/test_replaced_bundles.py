"""A bundle is replaced under a running server: what was checked goes on answering, until SIGHUP."""

from __future__ import annotations

import shutil
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from dimec.bundle.folders import TierBundle, file_records, write_manifest
from dimec.bundle.manifest import MANIFEST
from support.served import INFER, Server, ask, expected, inputs_of, make_tier, message

INPUTS = inputs_of([1, 50, 999])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tier whose weights lie beside the graph, where they are mapped."""
    import onnx

    folder = make_tier(tmp_path / "edge")
    graph = onnx.load(folder / "model.onnx")
    onnx.save(graph, folder / "model.onnx", save_as_external_data=True, location="model.onnx.data")
    bundle = TierBundle.open(make_tier(tmp_path / "plain"))
    write_manifest(folder, bundle.manifest.model_copy(update={"files": file_records(folder)}))
    return folder


def _newer(folder: Path, target: Path) -> Path:
    """The same tier in another version, with other answers."""
    import onnx

    shutil.copytree(folder, target)
    graph = onnx.load(target / "model.onnx")
    for tensor in graph.graph.initializer:
        if tensor.name == "table":
            table = 2 * onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(table, "table"))
    (target / "model.onnx.data").unlink()
    onnx.save(graph, target / "model.onnx", save_as_external_data=True, location="model.onnx.data")
    manifest = TierBundle.open(folder).manifest
    first, edge, last = manifest.tiers
    tiers = (first, edge.model_copy(update={"version": "43"}), last)
    changes = {"tiers": tiers, "files": file_records(target)}
    write_manifest(target, manifest.model_copy(update=changes))
    return target


def _right(server: Server) -> bool:
    answer = server.infer(INPUTS).decoded()
    return bool(np.allclose(answer.outputs["probabilities"], expected(INPUTS), atol=1e-6))


@pytest.mark.parametrize("way", ["emptied", "zeroed", "removed"])
def test_what_was_checked_goes_on_answering(folder: Path, tmp_path: Path, way: str) -> None:
    with Server(folder, tmp_path / "log") as server:
        assert server.get("/v2/health/ready").json() == {"ready": True}
        for name in ("model.onnx.data", "model.onnx", MANIFEST):
            size = (folder / name).stat().st_size
            if way == "removed":
                (folder / name).unlink()
            else:
                (folder / name).write_bytes(b"\0" * size if way == "zeroed" else b"")
        assert _right(server)
        server.wait_logged("bundle changed on disk", level="warning")
        answer = server.get("/v2/health/ready")
        assert (answer.status, answer.json()["ready"]) == (200, True)
        assert answer.json()["bundle"].startswith("changed on disk")
        server.signal(signal.SIGHUP)
        assert server.wait_logged("bundle refused")["reason"]
        assert _right(server)
        assert server.stop() == 0
        assert len(server.logged("bundle changed on disk")) == 1


def test_sighup_takes_the_new_bundle_and_loses_no_request(folder: Path, tmp_path: Path) -> None:
    newer = _newer(folder, tmp_path / "newer")
    stop, statuses, versions = threading.Event(), set(), []
    with Server(folder, tmp_path / "log") as server:

        def client() -> None:
            connection = server.connect()
            while not stop.is_set():
                answer = ask(connection, "POST", INFER, *message(INPUTS))
                statuses.add(answer.status)
                versions.append(answer.decoded().version)
            connection.close()

        threads = [threading.Thread(target=client) for _ in range(3)]
        for thread in threads:
            thread.start()
        for path in newer.iterdir():
            shutil.copyfile(path, folder / path.name)
        server.signal(signal.SIGHUP)
        server.wait_logged("bundle taken", version="43")
        while versions[-1] != "43":
            pass
        stop.set()
        for thread in threads:
            thread.join(60)
        assert statuses == {200}
        assert set(versions) == {"41", "43"}
        assert not _right(server)
        assert server.get("/v2/models/edge").json()["versions"] == ["43"]
        assert server.get("/v2/health/ready").json() == {"ready": True}
        assert server.stop() == 0
