"""A run whose router uses all three tiers, with a long test split, and its bundle."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.offline import Offline
from support.shared import own_copy
from support.tiny import reviews, train_tiny, write_reviews

SPLITS = ["train"] * 300 + ["validation"] * 200 + ["test"] * 1000


@pytest.fixture(scope="session")
def proof_run(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> Path:
    """A trained, fitted and evaluated tiny run with 1,000 test texts."""
    rows = [(*row, split) for row, split in zip(reviews(1500), SPLITS, strict=True)]

    def make(folder: Path) -> None:
        folder.mkdir()
        table = write_reviews(folder / "reviews.csv", rows, ("text", "label", "split"))
        splits = {"split_column": "split", "predefined_splits": True}
        run = train_tiny(table, tiny_backbone, folder / "run", **splits)
        run.fit(lam=0.05)  # so large that every tier gets a good part of the texts
        run.evaluate(draws=10)

    return own_copy(tmp_path_factory, "proof", make) / "run"


@pytest.fixture(scope="session")
def proof_bundle(tmp_path_factory: pytest.TempPathFactory, proof_run: Path) -> Path:
    """The run's bundle; not to be changed."""

    def make(folder: Path) -> None:
        from dimec.runs.run import Run

        Run(proof_run).export(folder)

    return own_copy(tmp_path_factory, "proof-bundle", make)


@pytest.fixture(scope="session")
def offline(proof_bundle: Path) -> Offline:
    """What the bundle's own graphs say."""
    return Offline(proof_bundle)


@pytest.fixture
def bundle(proof_bundle: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(proof_bundle, tmp_path / "bundle"))
