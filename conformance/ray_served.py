"""A cluster of Ray in processes of its own, and tiers that it serves."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ray_setup import set_up
from setup_env import venv_python
from support.served import Server
from support.tiny import environment

_NODES = Path(__file__).with_name("ray_nodes.py")


def ray_command(tier: Path, *options: str) -> list[str]:
    """``dimec serve --ray`` of a tier, by the Python that has Ray."""
    python = str(venv_python(set_up()))
    return [python, "-m", "dimec", "serve", str(tier), "--ray", *options]


class RayCluster:
    """Three nodes on this machine; ends with the block.

    Args:
        log: file for what its driver says.

    Attributes:
        address: of its head.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                [str(venv_python(set_up())), str(_NODES)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
                env=environment(PYTHONPATH=""),
            )
        self._port = 0
        self.address: str = self._heard()["address"]

    def _heard(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the cluster's driver has ended: {self._log.read_text()[-3000:]}"
        return json.loads(line)

    def _told(self, **command: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._heard()

    def wait(self, least: int, most: int) -> int:
        """Wait until so many replicas run; how many do."""
        found: int = self._told(wait=[least, most])
        return found

    def lose_a_node(self) -> int:
        """Kill the node with most replicas; how many were there."""
        found: int = self._told(remove=True)
        return found

    @contextmanager
    def serving(self, tier: Path, log: Path, *options: str, **changes: str) -> Iterator[Server]:
        """``dimec serve --ray`` of a tier on this cluster, which ends in order.

        The cluster keeps its proxies from one to the next, so all take one port.
        """
        where = ("--ray-address", self.address, "--port", str(self._port))
        command = ray_command(tier, *where, *options)
        with Server.by(command, log, **{"PYTHONPATH": "", **changes}) as server:
            self._port = server.port
            yield server
            assert server.stop() == 0, server.said()[-3000:]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
