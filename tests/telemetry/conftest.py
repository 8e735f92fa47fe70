"""A bundle whose policy asks every tier, with its servers and a collector of their spans."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from dimec.bundle.folders import TierBundle, file_records, write_manifest
from dimec.policies.kinds import StoredPolicy
from dimec.policies.literature.dimee import MaxSoftmaxTiersPolicy
from support.served import Server
from support.spans import Collector
from support.tiny import command


@dataclass(frozen=True)
class Site:
    """Servers that tell a collector of what they do.

    Attributes:
        bundle: of three tiers; its policy is never sure, and so goes through all of them.
        collector: where their spans are.
        servers: edge, with two workers, and cloud.
    """

    bundle: Path
    collector: Collector
    servers: dict[str, Server]

    @property
    def urls(self) -> dict[str, str]:
        return {tier: server.url for tier, server in self.servers.items()}


@pytest.fixture(scope="session")
def unsure_bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unsure") / "bundle"
    shutil.copytree(tiny_bundle, folder)
    path = folder / "mobile"
    manifest = TierBundle.open(path).manifest
    fitted_on = {"model": manifest.provenance["model"]}
    StoredPolicy(MaxSoftmaxTiersPolicy(1.0), fitted_on).save(path)
    write_manifest(path, manifest.model_copy(update={"files": file_records(path)}))
    return folder


@pytest.fixture(scope="session")
def site(unsure_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with ExitStack() as stack:
        collector = stack.enter_context(Collector())
        servers = {}
        for tier, workers in (("edge", 2), ("cloud", 1)):
            words = ("--port", "0", "--otel", "--threads", "2", "--workers", str(workers))
            told = command("serve", unsure_bundle / tier, *words)
            servers[tier] = stack.enter_context(
                Server.by(told, folder / f"{tier}.log", **collector.environment)
            )
        yield Site(unsure_bundle, collector, servers)
        for server in servers.values():
            assert server.stop() == 0
            assert not server.logged("library")
