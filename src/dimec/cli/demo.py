"""``dimec demo``: the whole method on real text, down to three processes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dimec.cli.common import (
    AsJson,
    print_json,
    progress_bar,
    results_console,
    shell_line,
    show_curves,
    show_ledger,
)
from dimec.cli.train import train_from

if TYPE_CHECKING:
    from dimec.base.progress import Progress
    from dimec.mobile import Prediction
    from dimec.runs.run import Run

DEMO = {"task": "vader/movies", "exits": (2, 3, 6), "max_train_rows": 3000, "max_tokens": 96}
BESIDE = ("cascade",)  # what stands beside the paper's routers
_SHOWN = 2  # texts for each tier


def demo(
    out: Annotated[Path, typer.Option(help="The run directory.")] = Path("runs/demo"),
    as_json: AsJson = False,
) -> None:
    """Do it all on real movie reviews: train, fit, evaluate, report, export, serve.

    A 6-layer encoder with exits 2, 3 and 6 learns the sentiment of review snippets (Hutto and
    Gilbert 2014). To take minutes on two cores, it trains on a sample of 3,000 rows; validation
    and test are whole. The cascade, which looks again once a tier has spoken, stands beside the
    paper's routers. At the end some texts of the test split are answered by a mobile, an edge
    and a cloud that are three processes. Run again, it reuses what is there.
    """
    run, _ = train_from(DEMO, None, None, out, grid=False, overwrite=False)
    from dimec.runs.fitting import describe_fit

    lines = describe_fit(run.fit())
    ledger = run.evaluate(systems=BESIDE)
    with progress_bar() as progress:
        page = run.report(progress=progress)
        bundle = _bundle_of(run, progress)
        progress.say("starting edge and cloud, two more processes")
        texts, right, predictions = _answer_some(run, bundle)
    if as_json:
        answers = [prediction.to_dict() for prediction in predictions]
        shown = {"report": str(page), "bundle": str(bundle), "ledger": ledger.to_dicts()}
        print_json({**shown, "answers": answers})
        return
    print("\n".join(lines))
    show_ledger(ledger)
    show_curves(run.report_path)
    _show_answers(texts, right, predictions)
    print(f"report: {page}")
    print(f"bundle: {bundle}; try it with: {shell_line('dimec', 'up', bundle)}")


def _bundle_of(run: Run, progress: Progress) -> Path:
    """The run's bundle, exported unless the one that is there is of the same model and router."""
    from dimec.base.errors import ArtefactError
    from dimec.base.storage import file_sha256
    from dimec.bundle.folders import verify_bundle

    path = run.path / "bundle"
    try:
        manifest, tiers = verify_bundle(path)
        policy = tiers[manifest.names[0]].manifest.files["policy.safetensors"]
        same = manifest.provenance.get("model") == run.training()["model"]
        if same and policy.sha256 == file_sha256(run.path / "policy.safetensors"):
            return path
    except (ArtefactError, KeyError):
        pass  # none there, or one that was damaged: it is made anew
    run.export(path, overwrite=True, progress=progress)
    return path


def _answer_some(run: Run, bundle: Path) -> tuple[list[str], list[str], list[Prediction]]:
    """The first test texts that go to each tier, their right labels, and their answers.

    Chosen by the router and not by the answers, so that all three processes have work.
    """
    from dimec.mobile import Mobile
    from dimec.serving.local import LocalTiers

    test, routes = run.splits().test, run.router().route(run.trace("test").embeddings)
    rows = [int(row) for tier in range(3) for row in (routes == tier).nonzero()[0][:_SHOWN]]
    texts = [test.texts[row] for row in rows]
    right = [test.label_names[test.labels[row]] for row in rows]
    with (
        LocalTiers(bundle) as tiers,
        # Patient: on a busy machine a demonstration should not end in fallbacks.
        Mobile.open(
            bundle,
            edge=tiers.urls["edge"],
            cloud=tiers.urls["cloud"],
            state=":memory:",
            timeout=10.0,
        ) as mobile,
    ):
        return texts, right, [mobile.predict(text) for text in texts]


def _show_answers(texts: list[str], right: list[str], predictions: list[Prediction]) -> None:
    from dimec.cli.answers import answer_table

    print(f"the first {_SHOWN} test texts of each route, through three processes:")
    results_console().print(answer_table(texts, predictions))
    hits = sum(p.label == label for p, label in zip(predictions, right, strict=True))
    print(f"{hits} of {len(texts)} are right; the ledger above counts the whole test split")
