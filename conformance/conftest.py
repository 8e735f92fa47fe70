"""A real Triton server beside dimec's own, both with the tiers of a tiny run; a cluster of Ray.

Not part of the default tests: ``make conformance`` installs Triton and Ray first.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dimec.bundle.triton import write_triton_repository
from dimec.serving.local import LocalTiers
from ray_served import RayCluster
from support.served import make_tier
from support.surroundings import settle
from support.tiers import balanced
from support.tiny import FAST, dimec, make_backbone, reviews, write_reviews
from triton_server import TritonServer

settle()
_ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run, trained and fitted."""
    folder = tmp_path_factory.mktemp("trained")
    data = write_reviews(folder / "reviews.csv", reviews(240))
    backbone, run = make_backbone(folder / "backbone"), folder / "run"
    options = (*FAST, "--epochs", "3", "--backbone", backbone, "--out", run)
    for words in (("train", "--task", f"csv:{data}", *options), ("fit", run)):
        said = dimec(*words)
        assert said.code == 0, said
    return run


@pytest.fixture(scope="session")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The bundle of the run and its Triton repository."""
    folder = tmp_path_factory.mktemp("exported")
    bundle, models = folder / "bundle", folder / "models"
    said = dimec("export", run, bundle)
    assert said.code == 0, said
    # This build of Triton has its Python backend only.
    write_triton_repository(bundle, models, backend="python", instances=2)
    return bundle, models


@pytest.fixture(scope="session")
def bundle(exported: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle with a router that sends a third of the reviews to each tier."""
    return balanced(exported[0], tmp_path_factory.mktemp("balanced") / "bundle")


@pytest.fixture(scope="session")
def triton(exported: tuple[Path, Path]) -> Iterator[TritonServer]:
    """A Triton that serves both tiers; not to be stopped by a test."""
    with TritonServer(exported[1]) as server:
        yield server


@pytest.fixture
def own_triton(exported: tuple[Path, Path]) -> Iterator[TritonServer]:
    """A Triton that a test may kill and start again."""
    with TritonServer(exported[1]) as server:
        yield server


@pytest.fixture(scope="session")
def ours(bundle: Path) -> Iterator[dict[str, str]]:
    """dimec's own servers: tier → address."""
    with LocalTiers(bundle) as tiers:
        yield tiers.urls


@pytest.fixture(scope="session")
def tier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an edge tier whose graph is slow or fails as its input asks."""
    return make_tier(tmp_path_factory.mktemp("tier") / "edge")


@pytest.fixture
def ray_python() -> str:
    """A Python that has Ray: that of ``.ray/``, or else this one."""
    own = _ROOT / ".ray" / "bin" / "python"
    if own.exists():
        return str(own)
    if importlib.util.find_spec("ray") is None:
        pytest.skip(f"there is no Ray in {own.parents[1]} (make conformance), nor beside dimec")
    return sys.executable


@pytest.fixture(scope="session")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """A cluster of three nodes; no test takes one away."""
    with RayCluster(tmp_path_factory.mktemp("ray") / "log") as cluster:
        yield cluster


@pytest.fixture
def own_ray(tmp_path: Path) -> Iterator[RayCluster]:
    """A cluster of three nodes, of which a test may take one away."""
    with RayCluster(tmp_path / "ray.log") as cluster:
        yield cluster
