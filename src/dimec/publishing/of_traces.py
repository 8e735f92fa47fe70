"""What is pushed of traces: those of one training with their card, or a collection of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dimec.publishing.of_run import Files
from dimec.publishing.private import without_path, without_paths
from dimec.traces.card import FILE, SPLITS, Card
from dimec.traces.collection import INDEX, Entry, Folder, write_entry, write_index

_MADE_BY = "dimec trace import"


def traces_files(folder: Path, workspace: Path, texts: bool) -> Files:
    """Name on the hub → file, of traces that are checked; and what is left out.

    Args:
        folder: with a card, or a collection of such folders.
        workspace: where files go that are written anew.
        texts: of no account; there are none in traces.

    Raises:
        ArtefactError: a trace or a card is damaged.
    """
    files: dict[str, Path] = {}
    if (folder / FILE).is_file():
        _add(
            files,
            Entry(str(folder), folder, Card.load(folder, _MADE_BY), Folder(folder)),
            "",
            workspace,
        )
        return files, _rest(folder, set(files))
    source = Folder(folder)
    names = source.names()
    for name in names:
        entry = Entry(name, folder / name, Card.load(folder / name, _MADE_BY), source)
        _add(files, entry, f"{name}/", workspace)
    # Written of the cards as they are pushed.
    shadow = workspace / "index"
    for name in names:
        (shadow / name).mkdir(parents=True)
        (shadow / name / FILE).write_bytes(files[f"{name}/{FILE}"].read_bytes())
    files[INDEX] = write_index(shadow)
    return files, _rest(folder, {name.partition("/")[0] for name in names} | {INDEX})


def _add(files: dict[str, Path], entry: Entry, prefix: str, workspace: Path) -> None:
    """One training's two traces and their card, without what they say of this machine."""
    validation, test = (entry.trace(split) for split in SPLITS)
    told = entry.card.model_dump(mode="json")
    home = entry.folder
    names = (*(f"{split}.safetensors" for split in SPLITS), FILE)
    linked = any((home / name).is_symlink() for name in names)  # whoever packs refuses it
    if not linked and (without_paths(told) != told or without_path(test.task) != test.task):
        home = workspace / "traces" / prefix
        home.mkdir(parents=True)
        card = Card.model_validate(without_paths(told))
        shortened = [replace(trace, task=without_path(trace.task)) for trace in (validation, test)]
        write_entry(home, card, *shortened)
    for name in names:
        files[prefix + name] = home / name


def _rest(folder: Path, taken: set[str]) -> dict[str, str]:
    others = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    return {name: "no card names it" for name in others if name not in taken}
