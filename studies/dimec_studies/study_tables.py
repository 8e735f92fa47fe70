"""The studies beside the tables in numbers and sentences: streams, human raters, selections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean

from dimec.report.wording import join, percent
from dimec_studies.figure_tables import Entry, grouped, seeds_of
from dimec_studies.markdown import MISSING, Statistic, bounded, count, sizes, span, table
from dimec_studies.titles import system_title

CORRELATIONS: Mapping[str, str] = {
    "spearman_confidence": "confidence",
    "spearman_variance": "variance",
    "spearman_pool": "pool (easy, medium, hard)",
    "spearman_mobile_confidence": "the mobile's own confidence",
}


def stream_table(cells: Sequence[Entry]) -> str:
    """Each pair of domains: every policy's accuracy and reduction, and Ours-D minus Ours-F."""
    policies = list(dict.fromkeys(name for cell in cells for name in cell["policies"]))
    rows = []
    for cell in cells:
        told = []
        for name in policies:
            found = cell["policies"].get(name)
            told.append(
                MISSING
                if found is None
                else f"{percent(found['accuracy']['mean'])}, {percent(found['reduction']['mean'])}"
            )
        rows.append(
            [
                pair_name(cell),
                ", ".join(map(str, cell["seeds"])),
                sizes(cell["samples"]),
                *told,
                bounded(advantage(cell, "accuracy"), digits=2),
                bounded(advantage(cell, "cost"), 1, 2),
            ]
        )
    header = ["trained on → stream", "seeds", "rows", *map(system_title, policies)]
    return table([*header, "D - F, points", "D - F, λ"], rows, texts=2)


def pair_name(cell: Entry) -> str:
    """``"movies → tweets"``."""
    return f"{cell['train']} → {cell['stream']}"


def advantage(cell: Entry, key: str) -> Statistic:
    """Ours-D minus Ours-F in ``accuracy`` or ``cost``, with its interval."""
    found: Statistic = cell["adaptive_minus_fixed"][key]
    return found


def stream_findings(cells: Sequence[Entry]) -> list[str]:
    """Whether Ours-D follows a shift of domain better than Ours-F, and by how much."""
    told = []
    for words, chosen in (
        ("of different domains", [cell for cell in cells if cell["train"] != cell["stream"]]),
        ("of a domain with itself", [cell for cell in cells if cell["train"] == cell["stream"]]),
    ):
        if not chosen:
            continue
        accuracy = [advantage(cell, "accuracy") for cell in chosen]
        cost = [float(advantage(cell, "cost")["mean"]) for cell in chosen]
        middles = [float(one["mean"]) for one in accuracy]
        better = sum(one["low"] > 0 for one in accuracy)
        worse = sum(one["high"] < 0 for one in accuracy)
        told.append(
            f"Over {count(len(chosen), 'pair')} {words} Ours-D is {100 * mean(middles):+.2f} "
            f"points more accurate than Ours-F on average ({span(middles, digits=2)}), at "
            f"{mean(cost):+.2f}λ an answer. The 95 % interval of the difference lies above 0 for "
            f"{better} and below 0 for {worse}."
        )
    return told


def raters_table(raters: Sequence[Entry]) -> str:
    """Rank correlations with the raters' disagreement, by domain, mean over the seeds."""
    rows = []
    for (domain,), entries in grouped(raters, "domain").items():
        found = [bounded(correlation(entries, key), 1, 3) for key in CORRELATIONS]
        samples = sizes([entry["samples"] for entry in entries])
        rows.append([domain, seeds_of(entries), samples, *found])
    return table(["domain", "seeds", "rows", *CORRELATIONS.values()], rows, texts=2)


def correlation(entries: Sequence[Entry], key: str) -> dict[str, float]:
    """One rank correlation: means over the seeds of its value and of its interval's ends."""
    found = [entry[key] for entry in entries]
    return {
        "mean": mean(float(one["value"]) for one in found),
        "low": mean(float(one["low"]) for one in found),
        "high": mean(float(one["high"]) for one in found),
    }


def raters_findings(raters: Sequence[Entry]) -> list[str]:
    """For each of dimec's measures, whether it goes with the raters' disagreement."""
    domains = grouped(raters, "domain")
    told = []
    for key, name in CORRELATIONS.items():
        found = [correlation(entries, key) for entries in domains.values()]
        away = sum(one["low"] > 0 or one["high"] < 0 for one in found)
        told.append(
            f"{name[0].upper()}{name[1:]}: ρ = {span([one['mean'] for one in found], 1, 3)}; the "
            f"interval leaves out 0 in {away} of {count(len(found), 'domain')}."
        )
    return told


def selection_accuracies(rows: Sequence[Entry]) -> dict[str, dict[str, list[float]]]:
    """Kind of training rows → split or domain → accuracy of each seed."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        places = found.setdefault(row["kind"], {})
        places.setdefault("the own test split", []).append(float(row["accuracy"]))
        for name, other in row["others"].items():
            places.setdefault(name, []).append(float(other["accuracy"]))
    return found


def selection_table(rows: Sequence[Entry]) -> str:
    """Accuracy of the last exit by what it was trained on: means, and the seeds' range."""
    accuracies = selection_accuracies(rows)
    places = list(dict.fromkeys(place for one in accuracies.values() for place in one))
    by_kind = grouped(rows, "kind")
    body = []
    for kind, found in accuracies.items():
        told = [_with_range(found.get(place, [])) for place in places]
        body.append([kind, sizes([row["train_rows"] for row in by_kind[(kind,)]]), *told])
    return table(["rows trained on", "how many", *(f"{place} %" for place in places)], body)


def _with_range(values: Sequence[float]) -> str:
    """``"81.2 (80.9 to 81.6)"``: the mean and the seeds' smallest and largest."""
    if not values:
        return MISSING
    return bounded({"mean": mean(values), "low": min(values), "high": max(values)})


def selection_findings(rows: Sequence[Entry]) -> str:
    """Which selection generalises best, at home and elsewhere."""
    accuracies = selection_accuracies(rows)
    places = list(dict.fromkeys(place for one in accuracies.values() for place in one))
    told = []
    for place in places:
        means = {
            kind: mean(found[place])
            for kind, found in accuracies.items()
            if kind != "all" and place in found
        }
        if means:
            best = max(means, key=lambda kind: means[kind])
            told.append(f"{best} on {place} ({percent(means[best])} %)")
    return f"The most accurate selection, mean over the seeds: {join(told)}."
