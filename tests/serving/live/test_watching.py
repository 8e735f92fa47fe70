"""What is told of the servers: their own counters, and a server that did not start."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import httpx2
import pytest

from dimec.base.errors import ServerError
from dimec.serving.live.watching import TierWatch, counts
from dimec.serving.local import LocalTiers

TOKEN = "a-token-for-tests"


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def test_inferences_count_as_requests_and_nothing_else_does(bundle: Path) -> None:
    with LocalTiers(bundle, TOKEN) as local:
        url = local.urls["edge"]
        ids = [{"name": "input_ids", "datatype": "INT64", "shape": [1, 3], "data": [1, 2, 3]}]
        mask = {"name": "attention_mask", "datatype": "INT64", "shape": [1, 3], "data": [1, 1, 1]}
        headers = {"Authorization": f"Bearer {TOKEN}"}
        asked = [
            httpx2.post(f"{url}/v2/models/edge/infer", json={"inputs": inputs}, headers=headers)
            for inputs in ([*ids, mask], [*ids, mask], ids)
        ]
        assert [answer.status_code for answer in asked] == [200, 200, 400]

        async def look() -> dict[str, object]:
            watch = TierWatch(local, TOKEN)
            try:
                return (await watch.look())["edge"]
            finally:
                await watch.close()

        told = asyncio.run(look())
    mean = told.pop("milliseconds")
    assert isinstance(mean, float)
    assert mean > 0
    assert told == {
        "state": "running",
        "ready": True,
        "requests": 3,
        "failures": 1,
        "inFlight": 0,
        "queued": 0,
    }


def test_of_a_server_that_was_asked_nothing_there_is_no_mean() -> None:
    assert counts("# TYPE dimec_queue_rows gauge\ndimec_queue_rows 3\n") == {
        "requests": 0,
        "failures": 0,
        "inFlight": 0,
        "queued": 3,
        "milliseconds": None,
    }


def test_a_server_that_does_not_start_is_told_as_failed_until_it_does(bundle: Path) -> None:
    graph = bundle / "edge" / "model.onnx"
    sound = graph.read_bytes()

    async def tell(local: LocalTiers) -> list[str]:
        watch, states = TierWatch(local, TOKEN), []
        try:
            await watch.stop("edge")
            states.append(watch.state("edge")["state"])
            graph.write_bytes(sound[:-1])
            with pytest.raises(ServerError, match=r"model\.onnx was altered"):
                await watch.start("edge")
            states.append(watch.state("edge")["state"])
            graph.write_bytes(sound)
            await watch.start("edge")
            await watch.start("edge")  # which does nothing
            states.append(watch.state("edge")["state"])
            assert (await watch.look())["edge"]["ready"] is True
        finally:
            await watch.close()
        return states

    with LocalTiers(bundle, TOKEN) as local:
        assert asyncio.run(tell(local)) == ["stopped", "failed", "running"]
