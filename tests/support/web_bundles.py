"""Bundles of every kind of policy with golden vectors, and cases of parts, for web/'s tests."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from dimec.bundle.exit0 import POWERS
from dimec.bundle.folders import (
    TierBundle,
    file_records,
    read_manifest,
    verify_bundle,
    write_manifest,
)
from dimec.bundle.manifest import FileRecord, TierManifest
from dimec.policies.kinds import StoredPolicy
from dimec.policies.routed import RouterPolicy
from dimec.routing import SingleTierRouter
from dimec.runs.run import Run
from dimec.runs.workspace import RunDirectory
from dimec.tiers.deployment import Deployment
from dimec.training.export.golden import golden_of
from dimec.training.export.parity_rows import load_rows
from dimec.training.export.plan import Export
from support.exit0 import VOCABULARY, WIDTH, make_exit0
from support.tiny import make_tokenizer, reviews

SINGLE = "all-cloud"  # no system of its own: what a contract falls back on
# System → its settings that are set, of those whose policies go from the device to other tiers.
TO_TIERS: dict[str, dict[str, Any]] = {
    SINGLE: {},
    "dimec": {},
    "dimec-adaptive-paper": {},
    "cascade": {},
    "bert-cloud": {},
    "max-softmax-tiers": {"threshold": 0.9},
    "exit0-class-cascade": {},
    "exit0-deferral": {},
    "cats": {},
    "knn": {},
}
# Of those that stay on the device.
ON_DEVICE: dict[str, dict[str, Any]] = {
    "bert-mobile": {},
    "max-softmax": {"threshold": 0.8},
    "uee-ucb": {},
    "lee": {},
    "dee": {},
    "ceebert": {},
}
# Of those that have the whole model to themselves, at the last tier: here the only one.
ALONE: dict[str, dict[str, Any]] = {"deebert": {"threshold": 0.5}, "pabee": {"patience": 1}}


def refitted(
    bundle: Path, run: Path, out: Path, fit: Callable[[Run], object], tiers: Mapping[str, int]
) -> None:
    """A copy of a bundle with another policy, and golden vectors of it: no graph is made anew.

    Args:
        bundle: of the run, with these tiers first; others are left out.
        run: which is fitted.
        out: where the copy goes.
        fit: fits it for these tiers.
        tiers: name → layer.
    """
    fit(Run(run))
    export = Export.of(RunDirectory(run), (), None)
    for name in tiers:
        shutil.copytree(bundle / name, out / name)
    export.stored.save(out / export.first)
    manifests = {name: TierBundle.open(bundle / name).manifest for name in tiers}
    records = export.records({manifest.tier: manifest.takes for manifest in manifests.values()})
    files: dict[str, FileRecord] = {}
    for name, manifest in manifests.items():
        manifests[name] = own = TierManifest(
            **{**dict(manifest), "tiers": records, "files": file_records(out / name)}
        )
        write_manifest(out / name, own)
        of_tier = file_records(out / name, manifest=True)
        files |= {f"{name}/{file}": record for file, record in of_tier.items()}
    rows = load_rows(export.parts[0].run, next(iter(manifests.values())).max_tokens)
    golden_of(export, out, manifests, rows).save(out)
    whole = read_manifest(bundle).model_copy(
        update={"tiers": records, "files": files | file_records(out)}
    )
    write_manifest(out, whole)
    verify_bundle(out)


def fit_single(run: Run, tiers: Mapping[str, int]) -> None:
    """The last of these tiers answers everything."""
    deployment = Deployment.paper(tuple(tiers.values()), names=tuple(tiers))
    fitted_on = {
        "model": run.training()["model"],
        "lam": 0.02,
        "tiers": deployment.to_json(),
        "costs": asdict(deployment.costs),
    }
    policy = RouterPolicy(SINGLE, SingleTierRouter(deployment.last))
    StoredPolicy(policy, fitted_on).save(run.path)


def tokenizer_cases() -> list[dict[str, Any]]:
    """What tokenizers of three kinds make of texts and pairs of many lengths, cut on each side."""
    words = ["the", "film", "is", "dull", "charming", "and", "of", "no", "use"]
    rng = np.random.default_rng(0)
    texts = ["", " ", "naïve 漢字 \u00df\u0131 e\u0301", "[SEP] said <s> twice", "x" * 120]
    texts += [" ".join(rng.choice(words, size)) for size in (1, 2, 3, 4, 5, 6, 7, 8, 9, 30)]
    pairs = list(itertools.product(texts, texts))
    found = []
    for name, tokenizer in _tokenizers().items():
        for limit, direction in ((8, "right"), (9, "right"), (9, "left")):
            tokenizer.enable_truncation(limit, strategy="longest_first", direction=direction)
            cases = [
                {"text": text, "ids": one.ids, "types": one.type_ids}
                for text, one in (
                    *((text, tokenizer.encode(text)) for text in texts),
                    *((pair, tokenizer.encode(*pair)) for pair in pairs),
                )
            ]
            told = json.loads(tokenizer.to_str())
            found.append({"name": name, "limit": limit, "tokenizer": told, "cases": cases})
    return found


def _tokenizers() -> dict[str, Tokenizer]:
    texts = [text for text, _ in reviews(60)]
    bytes_ = Tokenizer(models.BPE())
    bytes_.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bytes_.train_from_iterator(texts, trainer)
    bytes_.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    bare = Tokenizer.from_str(bytes_.to_str())
    bare.post_processor = processors.ByteLevel(trim_offsets=False)
    word_piece = Tokenizer.from_str(make_tokenizer(texts).backend_tokenizer.to_str())
    return {"WordPiece": word_piece, "byte-level BPE": bytes_, "without special tokens": bare}


def exit0_cases(folder: Path) -> list[dict[str, Any]]:
    """Files of random weights in the folder, and what each says of random token ids."""
    rng = np.random.default_rng(1)
    found = []
    for pairs, classes, power in itertools.product((False, True), (2, 5), POWERS):
        exit0 = make_exit0(pairs=pairs, classes=classes, power=power)
        name = f"{'pairs' if pairs else 'texts'}-{classes}-{power}.safetensors"
        exit0.save(folder / name)
        cases = []
        for size in (0, 1, 2, 5, 12, 30):
            ids = rng.integers(0, VOCABULARY, size)
            pooled = rng.standard_normal(WIDTH).astype(np.float32)
            said = exit0.one(ids, pooled)
            cases.append({"ids": ids.tolist(), "pooled": pooled.tolist(), "said": said.tolist()})
        found.append({"file": name, "cases": cases})
    return found


def write_json(path: Path, value: object) -> None:
    """A case file."""
    path.write_text(json.dumps(value), "utf-8")
