"""Section III: training on the share of the rows that a data map calls ambiguous, easy or hard."""

from __future__ import annotations

from typing import Any

from dimec.runs.run import Run
from dimec.runs.selection import select_rows, write_selection
from dimec.settings.data import DataSettings
from dimec_studies.runs import RunSpec, Workshop
from dimec_studies.study import deployment_of, header

Record = dict[str, Any]


def cartography(workshop: Workshop) -> Record:
    """Train on all rows, and on each selection; test on the same split, and on other domains."""
    plan = workshop.plan
    task, share = plan.selection.train, plan.selection.share
    mapped = [RunSpec(task, "joint", seed) for seed in plan.seeds]
    workshop.train(mapped)
    chosen = [_selected(workshop, spec, kind) for spec in mapped for kind in plan.selection.kinds]
    workshop.train(chosen)
    record = header(
        "cartography",
        plan,
        deployment_of(plan, workshop.run(mapped[0])),
        [workshop.run(spec) for spec in (*mapped, *chosen)],
    )
    record |= {"task": task, "share": share}
    record["rows"] = [
        _accuracies(workshop, spec, spec.label or "all") for spec in (*mapped, *chosen)
    ]
    return record


def _selected(workshop: Workshop, mapped: RunSpec, kind: str) -> RunSpec:
    """The run on a selection; the selection is written beside the runs, once."""
    plan = workshop.plan
    path = workshop.folder / f"{mapped.task}-{kind}-seed{mapped.seed}.jsonl"
    if not path.exists():
        run = workshop.run(mapped)
        chosen = select_rows(run, by=kind, share=plan.selection.share, seed=mapped.seed)
        write_selection(chosen, path)
    # The same number of steps as on all rows would favour the small sets, the same number of
    # epochs the whole: as in the original, epochs are the same.
    return RunSpec(
        mapped.task, "joint", mapped.seed, kind, data={"train_rows": str(path.resolve())}
    )


def _accuracies(workshop: Workshop, spec: RunSpec, kind: str) -> Record:
    """Accuracy of the last exit on the test split, and on every other domain."""
    from dimec.training.transfer import record_other

    plan = workshop.plan
    run: Run = workshop.run(spec)
    test = run.trace("test")
    others = {}
    for name, domain in plan.domains.items():
        if domain.task != test.task:
            data = DataSettings(task=domain.task)
            workshop.progress.say(f"cartography: {spec.folder} on {name}")
            trace = record_other(run, data, rows="all", limit=plan.stream_rows, seed=spec.seed)
            others[name] = {"accuracy": _last(trace), "samples": len(trace)}
    return {
        "kind": kind,
        "seed": spec.seed,
        "train_rows": run.training()["rows"]["train"],
        "accuracy": _last(test),
        "samples": len(test),
        "others": others,
    }


def _last(trace: Any) -> float:
    return float(trace.correct[:, -1].mean())
