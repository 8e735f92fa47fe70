"""Run the benchmarks: ``python benchmarks/run.py [NAME ...] [--out FILE]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that it can be started by its path, from anywhere

from benchmarks import (  # noqa: E402
    against,
    browser,
    busy,
    collection,
    decision,
    fleet,
    imports,
    ledger,
    looking,
    memory,
    network,
    policies,
    protocol,
    queues,
    reading,
    routing,
    score,
    segments,
    serving,
    thresholds,
    tiers,
    training,
)
from benchmarks.bundles import PRECISIONS  # noqa: E402
from benchmarks.harness import WorkerError, circumstances, say  # noqa: E402
from benchmarks.results import Result, table  # noqa: E402
from dimec.base.storage import write_json  # noqa: E402


@dataclass(frozen=True)
class Benchmark:
    """Its default sizes, and what runs it."""

    sizes: Any
    run: Callable[[Any, int], Result]


BENCHMARKS = {
    "imports": Benchmark(imports.Sizes(), imports.run),
    "reading": Benchmark(reading.Sizes(), reading.run),
    "thresholds": Benchmark(thresholds.Sizes(), thresholds.run),
    "routing": Benchmark(routing.Sizes(), routing.run),
    "fleet": Benchmark(fleet.Sizes(), fleet.run),
    "ledger": Benchmark(ledger.Sizes(), ledger.run),
    "policies": Benchmark(policies.Sizes(), policies.run),
    "collection": Benchmark(collection.Sizes(), collection.run),
    "training": Benchmark(training.Sizes(), training.run),
    "busy": Benchmark(busy.Sizes(), busy.run),
    "decision": Benchmark(decision.Sizes(), decision.run),
    "looking": Benchmark(looking.Sizes(), looking.run),
    "tiers": Benchmark(tiers.Sizes(), tiers.run),
    "segments": Benchmark(segments.Sizes(), segments.run),
    "serving": Benchmark(serving.Sizes(), serving.run),
    "queues": Benchmark(queues.Sizes(), queues.run),
    "network": Benchmark(network.Sizes(), network.run),
    "memory": Benchmark(memory.Sizes(), memory.run),
    "score": Benchmark(score.Sizes(), score.run),
    "browser": Benchmark(browser.Sizes(), browser.run),
    "protocol": Benchmark(protocol.Sizes(), protocol.run),
    "against": Benchmark(against.Sizes(), against.run),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; the exit code is 1 where a benchmark could not be run."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in BENCHMARKS]:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    report = {**circumstances(options.seed), "benchmarks": {}}
    failed = []
    for name in options.names or BENCHMARKS:
        benchmark = BENCHMARKS[name]
        sizes = _chosen(benchmark.sizes, vars(options))
        say(f"{name} ...")
        try:
            result = benchmark.run(sizes, options.seed)
        except WorkerError as error:
            say(str(error))
            failed.append(name)
            continue
        print(table(name, result), flush=True)
        report["benchmarks"][name] = {"sizes": _recorded(sizes), **result.to_dict()}
        if options.out is not None:
            write_json(options.out, report)  # after each: a long one may be stopped
    if options.out is not None:
        say(f"written: {options.out}")
    if failed:
        say(f"could not be run: {', '.join(failed)}")
    return 1 if failed else 0


def _chosen(default: Any, given: Mapping[str, Any]) -> Any:
    """The default sizes with those that were given laid over them."""
    known = {field.name for field in fields(default)}
    chosen = {key: value for key, value in given.items() if key in known and value is not None}
    return replace(default, **chosen)


def _recorded(sizes: Any) -> dict[str, Any]:
    """The sizes as JSON; of a folder only its name, since a path is of one machine."""
    fields = asdict(sizes)
    return fields | {key: Path(fields[key]).name for key in ("run", "against") if key in fields}


def _folder(text: str) -> str:
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is no folder; name that of a fitted run")
    return str(Path(text).resolve())


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {value}")
    return value


def _rows(text: str) -> int:
    return training.ALL_ROWS if text == "all" else _positive(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Measure time and memory against the goals. Figures mean something on a quiet "
        "machine only; ratios within one run hold up better than seconds."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"any of {', '.join(BENCHMARKS)}; default all"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures there as JSON")
    parser.add_argument("--seed", type=int, default=0)
    sizes = parser.add_argument_group("sizes, in place of each benchmark's own")
    for option, text in {
        "repeats": "measurements of each kind",
        "megabytes": "reading: of each file",
        "mobiles": "fleet: of the whole one",
        "samples": "score: texts in files; thresholds, routing, ledger, policies, against: number "
        "of samples",
        "fitted-on": "policies, against: samples of the validation split",
        "width": "routing, ledger, policies, against: of the embeddings; decision, looking: of "
        "the larger encoder",
        "draws": "ledger: of the bootstrap",
        "slow-draws": "ledger: of the row-by-row bootstrap",
        "epochs": "training: at least 2",
        "steps": "busy: of training in a measurement",
        "batch-size": "training, busy",
        "max-tokens": "training",
        "texts": "decision, looking, tiers, segments, serving, network, memory, protocol: in a "
        "measurement; against, score: in a turn; queues: different ones; fleet: of a mobile in "
        "a day",
        "few": "decision, looking: texts of the larger encoder; tiers, segments, score: texts to "
        "warm up with",
        "layers": "decision, looking: of the larger encoder",
        "threads": "tiers: the larger number; serving: of our server, and instances of Triton's",
        "clients": "serving, against: the larger number",
        "requests": "against: to a server in a turn; queues: at each load",
        "rounds": "against: of four turns each, in a repeat",
    }.items():
        sizes.add_argument(f"--{option}", type=_positive, metavar="N", help=text)
    sizes.add_argument(
        "--rows", type=_rows, metavar="N", help="training: training rows, or 'all' of the split"
    )
    sizes.add_argument("--precision", choices=PRECISIONS, help="against: one alone; default both")
    parser.add_argument(
        "--run",
        type=_folder,
        metavar="FOLDER",
        help="decision, looking, tiers, serving, queues, network, memory, protocol, against, "
        "score: a fitted run on single texts; by default a small one is trained, once, in "
        "benchmarks/out",
    )
    parser.add_argument(
        "--against",
        metavar="COMMIT",
        help=f"against: the other tree, a commit or a folder; by default {against.BEFORE}",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
