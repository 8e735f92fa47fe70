"""The models that the benchmarks of the tiers run: a trained run's, exported in two precisions."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, in_fresh_process, say

PRECISIONS = ("fp32", "int8")
# What is trained where no run is named: enough for a router with all three pools.
TASK, BACKBONE, EXITS = "vader/movies", "minilm-l6", (2, 3, 6)
_TRAIN_ROWS, _EPOCHS, _MAX_TOKENS = 600, 2, 96


@dataclass(frozen=True)
class Scene:
    """Bundles and texts, and where they come from.

    Attributes:
        folder: holds ``fp32/`` and ``int8/``, bundles, and ``texts.json``.
        model: folder of the trained model.
        source: a JSON object: task, backbone, exits, rows trained on, texts.
    """

    folder: Path
    model: str
    source: dict[str, Any]

    def bundle(self, precision: str) -> str:
        """Folder of the bundle in ``"fp32"`` or ``"int8"``."""
        return str(self.folder / precision)

    @property
    def note(self) -> str:
        """What the figures rest on, for their reader."""
        s = self.source
        return (
            f"{s['backbone']} with exits {tuple(s['exits'])}, {s['train_rows']:,} training rows of "
            f"{s['task']}, texts of its test split ({s['tokens_mean']:.0f} tokens on average, "
            f"{s['tokens_max']} at most)"
        )


@cache
def scene(run: str, seed: int) -> Scene:
    """Export a run, or a small one that is trained for it, once for all benchmarks.

    Args:
        run: folder of a fitted run; "" trains one in ``benchmarks/out`` and keeps it there.
        seed: of that training.
    """
    keeper = tempfile.TemporaryDirectory(prefix="dimec-bench-")
    _KEPT.append(keeper)  # until this process ends
    say("exporting the tiers ..." if run else "training a small model and exporting its tiers ...")
    source = in_fresh_process(make_scene, run=run, seed=seed, out=keeper.name).value
    return Scene(Path(keeper.name), source.pop("model"), source)


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


def make_scene(
    run: str, seed: int, out: str, precisions: Sequence[str] = PRECISIONS
) -> dict[str, Any]:
    """Write the bundles of these precisions and the texts; returns where they come from."""
    from dimec.runs.run import Run

    trained = Run(run) if run else _train(seed)
    folder = Path(out)
    names = trained.deployment().names
    for precision in precisions:
        int8 = names if precision == "int8" else ()
        trained.export(folder / precision, int8=int8, force=bool(int8))
    texts = _test_texts(trained)
    (folder / "texts.json").write_text(json.dumps(texts), "utf-8")
    training = trained.training()
    lengths = _lengths(folder / precisions[0] / names[0] / "tokenizer.json", texts)
    return {
        "model": str(trained.model_path.resolve()),
        "task": training["task"],
        "backbone": Path(training["backbone"]).name,
        "tiers": list(names),
        "exits": list(trained.deployment().exits),
        "train_rows": training["rows"]["train"],
        "texts": len(texts),
        "tokens_mean": sum(lengths) / len(lengths),
        "tokens_max": max(lengths),
    }


def _train(seed: int) -> Any:
    """The small run; a finished one is taken as it is."""
    import dimec

    run = dimec.train(
        task=TASK,
        backbone=BACKBONE,
        exits=EXITS,
        epochs=_EPOCHS,
        max_train_rows=_TRAIN_ROWS,
        max_tokens=_MAX_TOKENS,
        seed=seed,
        out=ROOT / "benchmarks" / "out" / f"run-{_TRAIN_ROWS}-{_EPOCHS}-{seed}",
    )
    if not run.policy_path.exists():
        run.fit()
    return run


def _test_texts(run: Any) -> list[str]:
    from dimec.data import split_dataset
    from dimec.runs.rows import read_dataset

    settings = run.settings()
    splits = split_dataset(
        read_dataset(settings.data),
        seed=settings.seed,
        predefined=settings.data.predefined_splits,
        max_train_rows=settings.data.max_train_rows,
    )
    return list(splits.test.texts)


def _lengths(tokenizer: Path, texts: list[str]) -> list[int]:
    from tokenizers import Tokenizer

    encodings = Tokenizer.from_file(str(tokenizer)).encode_batch(texts)
    return [len(encoding.ids) for encoding in encodings]


def read_texts(bundle: str, count: int) -> list[str]:
    """The first ``count`` texts that go with a bundle; over again where there are fewer."""
    texts = json.loads((Path(bundle).parent / "texts.json").read_text("utf-8"))
    return [texts[i % len(texts)] for i in range(count)]


def with_route(bundle: str, tier: int, out: Path) -> Path:
    """A bundle of the first tier like this one whose router sends every input to one tier.

    All pools but its own are empty, and an empty pool's tier gets no traffic.
    """
    import numpy as np

    from dimec.bundle.folders import TierBundle, file_records, write_manifest
    from dimec.bundle.manifest import MANIFEST
    from dimec.policies.kinds import ARRAYS, POLICY, StoredPolicy
    from dimec.policies.routed import RouterPolicy
    from dimec.routing import CentroidRouter

    first = TierBundle.open(first_folder(bundle))
    out.mkdir(parents=True)
    for name in first.manifest.files:
        if name not in (POLICY, ARRAYS):
            _place(first.path / name, out / name)
    stored = StoredPolicy.load(first.path)
    fitted = stored.policy.router  # type: ignore[attr-defined]  # the scene's runs fit a router
    counts = np.where(np.arange(len(first.manifest.tiers)) == tier, 1, 0)
    mean = fitted.sums.sum(axis=0) / fitted.counts.sum()
    router = CentroidRouter.from_state(mean * counts[:, None], counts)
    StoredPolicy(RouterPolicy(stored.policy.name, router), stored.fitted_on).save(out)
    manifest = first.manifest.model_copy(update={"files": file_records(out)})
    write_manifest(out, manifest)
    assert (out / MANIFEST).exists()
    return out


def first_folder(bundle: str) -> Path:
    """The folder of a bundle's first tier, which has the name of that tier."""
    from dimec.bundle.folders import read_manifest

    return Path(bundle) / read_manifest(bundle).names[0]


def _place(source: Path, target: Path) -> None:
    """The same file under another name; a copy where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
