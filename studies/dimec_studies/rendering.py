"""``docs/reproduction.md`` and its figures, from the stored results and from nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dimec.base.errors import CorruptArtefactError, MissingArtefactError
from dimec.base.storage import atomic_write, read_json
from dimec.report.style import Drawing
from dimec_studies.facts import paper_facts
from dimec_studies.findings import table_findings
from dimec_studies.markdown import anchor
from dimec_studies.paper import Paper, load_paper
from dimec_studies.plan import PAGE_ITEMS, PROFILES, Plan
from dimec_studies.sections import Section, bullets, section
from dimec_studies.tables import limits_sentence, overview, systems_table
from dimec_studies.titles import ITEMS as ITEM_TITLES

Results = Mapping[str, Mapping[str, Mapping[str, Any]]]  # study profile → item → stored result

_TABLES = ("table1", "table2")
_FIGURES = "reproduction"  # folder of the figures, beside the page

_INTRODUCTION = """\
# The paper's tables and figures, reproduced

Every system that the paper names replays the same traces at the same prices. This page and its
figures are generated from the JSON files under `results/studies/` by `dimec reproduce docs`;
no number in it is typed in by hand, and each is given whichever way it falls. The JSON itself is
made by `dimec reproduce ITEM --profile PROFILE`. The paper: D. J. Bajpai and M. K. Hanawal,
*Distributed Inference on Mobile Edge and Cloud: A Data-Cartography based Clustering Approach*; what
it leaves open is settled in [paper.md](paper.md)."""

_HOW_TO_READ = [
    "Accuracy, drop and reduction are in percent and points. A drop above 0 is less accurate than "
    "the reference, a reduction above 0 is cheaper. The reference is the whole model in the cloud, "
    "from a plain fine-tuning with one exit or from the model with all exits, whichever is more "
    "accurate on the task, so that training for the early exits cannot flatter itself.",
    "Brackets hold 95 % bootstrap intervals of the mean over the seeds: the test samples are drawn "
    "anew, the trained models stay. ± is the standard deviation over the seeds: split, "
    "initialisation and order.",
    "`random@NAME`, here *Random, shares of …*, is random routing with the same tier shares as "
    "that row, as an expected value; the gain is the accuracy above it: what it is worth to know "
    "*which* inputs go where.",
    "Costs are in units of λ, the price of a layer at the edge; the shares are those of the "
    "answers that mobile, edge and cloud give.",
    "*Own recipe* means that the model was trained as that system's authors train it: in two "
    "stages (DeeBERT), or with a loss weighted by depth (PABEE). All other rows replay the traces "
    "of one model whose exits are trained together, unless the table of systems says otherwise.",
    "The oracle sees the labels: a bound, not something that can be deployed.",
]


def render(results_folder: Path, docs_folder: Path) -> list[Path]:
    """Write ``reproduction.md`` and, into ``reproduction/``, its figures.

    The same results give the same bytes. Nothing is written before everything is drawn.

    Args:
        results_folder: with ``PROFILE/ITEM.json``.
        docs_folder: created where it is missing.

    Returns:
        The paths written, the page first.

    Raises:
        MissingArtefactError: no result at all is stored there.
        CorruptArtefactError: a result is not what its name says.
        MissingExtraError: matplotlib is not installed.
        StorageError: the disk is full or refuses to write.
    """
    results = read_results(Path(results_folder))
    text, drawings = compose(results, load_paper(), Path(results_folder))
    page = Path(docs_folder) / "reproduction.md"
    paths = [page]
    for drawing in drawings:
        paths.append(Path(docs_folder) / _FIGURES / f"{drawing.name}.svg")
        atomic_write(paths[-1], drawing.svg)
    atomic_write(page, text)
    return paths


def read_results(folder: Path) -> Results:
    """Every stored result, by study profile and item: packaged ones first, then by name.

    Raises:
        MissingArtefactError: there is none.
        CorruptArtefactError: a file is not the result that its path says.
    """
    stored = {path.parent.name for path in folder.glob("*/*.json") if path.stem in PAGE_ITEMS}
    profiles = [name for name in PROFILES if name in stored]
    profiles += sorted(stored - set(profiles))
    results = {profile: _read_profile(folder, profile) for profile in profiles}
    if not results:
        raise MissingArtefactError(
            f"{folder} holds no result of a reproduction; make one with: dimec reproduce table1"
        )
    return results


def _read_profile(folder: Path, profile: str) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for item in PAGE_ITEMS:
        path = folder / profile / f"{item}.json"
        if not path.exists():
            continue
        found[item] = result = read_json(path, command(item, profile))
        named = (
            (result.get("item"), result.get("profile")) if isinstance(result, dict) else "no object"
        )
        if named != (item, profile):
            raise CorruptArtefactError(
                f"{path}: expected the result {item} of the study profile {profile}, got {named}; "
                f"make it again with: {command(item, profile)}"
            )
    return found


def command(item: str, profile: str) -> str:
    """The command that makes an item; a study profile of the user's own has options of its own."""
    known = f" --profile {profile}" if profile in PROFILES else ", with the options of that profile"
    return f"dimec reproduce {item}{known}"


def compose(results: Results, paper: Paper, folder: Path) -> tuple[str, list[Drawing]]:
    """The whole page and its figures.

    Args:
        results: by profile and item.
        paper: its figures, to stand beside.
        folder: where the results were read from, for the messages of errors.

    Raises:
        CorruptArtefactError: a result lacks something, or holds something else.
    """
    sections: dict[tuple[str, str], Section] = {}
    glances, differences = [], []
    for profile, items in results.items():
        for item, result in items.items():
            try:
                sections[profile, item] = section(result, paper)
                if item in _TABLES:
                    glances.append(_glance(profile, item, result, paper))
                    differences.append(_differences(profile, item, result, paper))
            except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
                raise CorruptArtefactError(
                    f"{folder / profile / item}.json is not a result of {item} "
                    f"({type(error).__name__}: {error}); make it again with: "
                    f"{command(item, profile)}"
                ) from error
    blocks = [_INTRODUCTION, "## How to read it", bullets(_HOW_TO_READ)]
    if glances:
        blocks += ["## At a glance", _GLANCE, *glances]
    blocks += ["## Where ours differ from the paper, and why"]
    blocks += ["### From the paper's own prices and tables", *paper_facts(paper), *differences]
    for profile in [*results, *(name for name in _for_the_page() if name not in results)]:
        own = {item: one for (of, item), one in sections.items() if of == profile}
        blocks += _profile(profile, own)
    tables = [items[item] for items in results.values() for item in _TABLES if item in items]
    if tables:
        blocks += ["## Systems, trainings and sources", systems_table(tables)]
    blocks.insert(1, _contents(blocks))
    drawings = [drawing for one in sections.values() for drawing in one.drawings]
    return "\n\n".join(blocks) + "\n", drawings


_GLANCE = (
    "The paper's tables, with our figures under theirs. A cell holds the score (GLUE's metric of "
    "the task, times 100; the paper's column is headed Acc) and the change of cost against the "
    "reference."
)


def _glance(profile: str, item: str, result: Mapping[str, Any], paper: Paper) -> str:
    heading = f"### {_number(item)} at a glance ({profile})"
    table = overview(result, paper.tables.get(item))
    return f"{heading}\n\n{limits_sentence(result)}\n\n{table}"


def _differences(profile: str, item: str, result: Mapping[str, Any], paper: Paper) -> str:
    heading = f"### {_number(item)} ({profile}) beside the paper's"
    return "\n\n".join([heading, *table_findings(result, paper)])


def _number(item: str) -> str:
    return ITEM_TITLES[item].partition(":")[0]


def _profile(profile: str, sections: Mapping[str, Section]) -> list[str]:
    """All sections of a study profile by item, and what is absent; what they share is said once."""
    blocks = [f"## Profile {profile}"]
    expected = Plan.load(profile).items if profile in PROFILES else PAGE_ITEMS
    absent = [item for item in PAGE_ITEMS if item in expected and item not in sections]
    if absent:
        blocks.append(_absent(profile, absent))
    common = ""
    for item, one in sections.items():
        if not common:
            common = one.deployment
            blocks.append(common)
        blocks.append(f"### {ITEM_TITLES[item]} ({profile})")
        if one.deployment != common:
            blocks.append(one.deployment)
        blocks += [_image(block) if isinstance(block, Drawing) else block for block in one.blocks]
    return blocks


def _for_the_page() -> list[str]:
    """The packaged profiles that are for an item of the page."""
    return [name for name in PROFILES if set(PAGE_ITEMS) & set(Plan.load(name).items)]


def _absent(profile: str, items: Iterable[str]) -> str:
    """What is not stored, each with the command that makes it."""
    if profile not in PROFILES:
        names = ", ".join(items)
        return f"Not stored for this profile: {names}; `dimec reproduce` with its options makes it."
    return "Not stored yet:\n\n" + "\n".join(
        f"- {ITEM_TITLES[item]}: absent; `{command(item, profile)}` makes it." for item in items
    )


def _image(drawing: Drawing) -> str:
    words = drawing.description.replace("[", "(").replace("]", ")")
    return f"![{words}]({_FIGURES}/{drawing.name}.svg)\n\n*{drawing.title}.* {drawing.caption}"


def _contents(blocks: Iterable[str]) -> str:
    """Links to the headings of the second and third level."""
    lines = []
    for block in blocks:
        heading = block.partition("\n")[0]
        for mark, indent in (("## ", ""), ("### ", "  ")):
            if heading.startswith(mark):
                title = heading.removeprefix(mark)
                lines.append(f"{indent}- [{title}](#{anchor(title)})")
    return "\n".join(lines)
