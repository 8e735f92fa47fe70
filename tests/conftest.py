"""Settings and fixtures that every test shares."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from support.shared import made_once, own_copy
from support.surroundings import settle

if TYPE_CHECKING:
    from support.builders import TraceFactory
    from support.hub import FakeHub
    from support.tiny import Said

settle()

# Derandomised: the same examples on every run, so that a failure is never a matter of luck. No
# deadline and no complaint of slowness: a busy machine is not a bug.
settings.register_profile(
    "dimec",
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("dimec")


# The files that take longest, the longest first: see the hook below.
LONGEST = (
    "training/export/test_graphs.py",
    "training/export/test_own_tiers.py",
    "proof/test_faults.py",
    "proof/test_kills.py",
    "benchmarks/test_tier_benchmarks.py",
    "benchmarks/test_against.py",
    "training/test_resume.py",
    "policies/test_battery.py",
    "training/export/test_bundles.py",
    "cli/test_tiers.py",
    "cli/test_end_to_end.py",
    "repository/test_tutorial.py",
    "studies/test_workshop.py",
    "web/test_package.py",
    "web/test_network.py",
    "web/browser/test_state.py",
    "web/browser/test_page.py",
    "cli/test_other_package.py",
    "examples/test_template.py",
    "proof/test_agreement.py",
    "proof/test_browser.py",
    "studies/test_items.py",
    "policies/test_policy_costs.py",
    "runs/test_contract_fit.py",
    "cli/test_terminals.py",
    "serving/test_server.py",
    "serving/live/test_running.py",
    "web/browser/test_site.py",
    "web/browser/test_live.py",
    "training/test_processes.py",
    "mobile/test_ready_tiers.py",
    "cli/test_up.py",
    "mobile/state/test_hold.py",
    "repository/test_archive.py",
    "cli/test_streams.py",
    "data/test_fetching.py",
    "proof/test_hostile_manifests.py",
    "tools/test_chaos_proxy.py",
    "mobile/test_kill.py",
    "training/test_recipes.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give workers the longest files first, so that none is left with one when the others end.

    They hand out whole files in this order, with ``--no-loadscope-reorder``; without workers the
    order stays that of the files.
    """
    if hasattr(config, "workerinput"):
        places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
        if gone := [str(path) for path in places if not path.exists()]:
            raise pytest.UsageError(f"LONGEST names files that are not there: {', '.join(gone)}")
        items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def small_trace() -> TraceFactory:
    """The factory of small random traces, :func:`builders.make_trace`."""
    from support.builders import make_trace

    return make_trace


# What several workers need is made once, by the first that asks, and each works on a copy: a run
# and a bundle are locked by whoever works in them.


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random BERT encoder of 4 layers, with dropout, and its tokenizer."""
    from support.tiny import make_backbone

    return made_once(tmp_path_factory, "backbone", make_backbone)


@pytest.fixture(scope="session")
def tiny_reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV file of 240 short reviews."""
    from support.tiny import reviews, write_reviews

    def make(folder: Path) -> None:
        folder.mkdir()
        write_reviews(folder / "reviews.csv", reviews(240))

    return made_once(tmp_path_factory, "reviews", make) / "reviews.csv"


@pytest.fixture(scope="session")
def finished_run(
    tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path, tiny_reviews: Path
) -> Path:
    """A trained, fitted and evaluated tiny run; not to be changed, see :func:`run_copy`."""

    def make(folder: Path) -> None:
        from support.tiny import train_tiny

        run = train_tiny(tiny_reviews, tiny_backbone, folder)
        run.fit()
        run.evaluate(draws=50, curves=False)

    return own_copy(tmp_path_factory, "finished", make)


@pytest.fixture(scope="session")
def own_backbones(
    tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path
) -> tuple[Path, Path]:
    """Folders of two random encoders with other tokenizers and widths."""
    from support.tiny import make_own_backbones

    def make(folder: Path) -> None:
        folder.mkdir()
        make_own_backbones(folder, tiny_backbone)

    return tiny_backbone, made_once(tmp_path_factory, "own-backbones", make) / "large"


@pytest.fixture(scope="session")
def own_run(
    tmp_path_factory: pytest.TempPathFactory,
    own_backbones: tuple[Path, Path],
    tiny_reviews: Path,
) -> Path:
    """A trained tiny run with a model for each of three tiers; not to be changed."""

    def make(folder: Path) -> None:
        from support.tiny import train_own_tiny

        train_own_tiny(tiny_reviews, own_backbones, folder)

    return own_copy(tmp_path_factory, "own", make)


@pytest.fixture(scope="session")
def one_trace() -> Iterator[None]:
    """From here on, exports of the same model in this process take one trace of it."""
    from support.traced import traced_once

    with traced_once():
        yield


@pytest.fixture(scope="session")
def tiny_bundle(
    tmp_path_factory: pytest.TempPathFactory, finished_run: Path, one_trace: None
) -> Path:
    """The finished tiny run, exported: exits 1, 2 and 4, fp32; not to be changed."""

    def make(folder: Path) -> None:
        from dimec.runs.run import Run

        Run(finished_run).export(folder)

    return own_copy(tmp_path_factory, "tiny", make)


@pytest.fixture(scope="session")
def cut_bundle(
    tmp_path_factory: pytest.TempPathFactory, finished_run: Path, one_trace: None
) -> Path:
    """The same run, all layers on the mobile, which can stop at 1, 2 and 4; not to be changed."""

    def make(folder: Path) -> None:
        from dimec.runs.run import Run

        run = Run(shutil.copytree(finished_run, folder / "run"))
        run.fit(tiers=(4, 4, 4))
        run.export(folder / "bundle")

    return own_copy(tmp_path_factory, "cut", make) / "bundle"


@pytest.fixture(scope="session")
def two_tier_bundle(
    tmp_path_factory: pytest.TempPathFactory, finished_run: Path, one_trace: None
) -> Path:
    """The same run on two tiers, mobile=2 and cloud=4; not to be changed. Its run is beside it."""

    def make(folder: Path) -> None:
        from support.named import TWO, named_run

        named_run(finished_run, folder / "run", TWO).export(folder / "bundle")

    return own_copy(tmp_path_factory, "two", make) / "bundle"


@pytest.fixture(scope="session")
def named_bundle(
    tmp_path_factory: pytest.TempPathFactory, finished_run: Path, one_trace: None
) -> Path:
    """The same run on phone=1, gateway=2, box=2 and dc=4; not to be changed. As above."""

    def make(folder: Path) -> None:
        from support.named import FOUR, named_run

        named_run(finished_run, folder / "run", FOUR).export(folder / "bundle")

    return own_copy(tmp_path_factory, "named", make) / "bundle"


@pytest.fixture(scope="session")
def pair_run(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> Path:
    """A trained and fitted tiny run on pairs of texts; not to be changed."""

    def make(folder: Path) -> None:
        from support.tiny import train_tiny_pairs

        train_tiny_pairs(folder, tiny_backbone).fit()

    return own_copy(tmp_path_factory, "pair-run", make) / "run"


@pytest.fixture(scope="session")
def pair_bundle(tmp_path_factory: pytest.TempPathFactory, pair_run: Path, one_trace: None) -> Path:
    """A tiny run on pairs of texts, exported; not to be changed. Its run is beside it."""

    def make(folder: Path) -> None:
        from dimec.runs.run import Run

        Run(shutil.copytree(pair_run, folder / "run")).export(folder / "bundle")

    return own_copy(tmp_path_factory, "pairs", make) / "bundle"


@pytest.fixture(scope="session")
def own_bundle(tmp_path_factory: pytest.TempPathFactory, own_run: Path, one_trace: None) -> Path:
    """The run of tiers with a model each, exported; not to be changed. Its run is beside it."""

    def make(folder: Path) -> None:
        from support.own_tiers import fitted_own

        fitted_own(own_run, folder / "run").export(folder / "bundle")

    return own_copy(tmp_path_factory, "own-bundle", make) / "bundle"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """A small hub on this machine, which the client in this process may ask; a cache of its own."""
    from huggingface_hub import constants

    from support.hub import OWNER, fake_hub

    with fake_hub() as hub:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", OWNER)
        monkeypatch.setenv("DIMEC_CACHE", str(tmp_path / "cache"))
        yield hub


@pytest.fixture
def run_copy(finished_run: Path, tmp_path: Path) -> Callable[..., Path]:
    """``run_copy("name")``: a copy of the finished tiny run that a test may damage."""

    def copy(name: str = "run") -> Path:
        return Path(shutil.copytree(finished_run, tmp_path / name))

    return copy


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """``cli("fit", path)``: the command line's own ``main`` in this process; what it said."""
    from dimec.cli import main
    from support.tiny import Said

    def run(*arguments: object) -> Said:
        monkeypatch.setattr("sys.argv", ["dimec", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return run
