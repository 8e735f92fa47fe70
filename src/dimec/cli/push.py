"""``dimec push`` and ``dimec pull``: runs, bundles and traces, to the hub and from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dimec.base.errors import shown
from dimec.cli.common import AsJson, print_json, print_next, progress_bar, show_columns
from dimec.cli.tokens import read_token

if TYPE_CHECKING:
    from dimec.publishing import Prepared

TokenFile = Annotated[
    Path | None,
    typer.Option(
        help="A file with the hub's token; else HF_TOKEN, or the login of the hub's client."
    ),
]


def push(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="A run directory, a bundle, or traces with their card."
        ),
    ],
    name: Annotated[
        str,
        typer.Argument(metavar="ORG/NAME[@BRANCH]", help="Where to; made where it is not there."),
    ],
    private: Annotated[
        bool, typer.Option("--private", help="Only for those whom the hub lets in.")
    ] = False,
    texts: Annotated[
        bool,
        typer.Option(
            "--texts",
            help="Take along the texts of your rows that export compares models on, and a "
            "bundle's golden vectors.",
        ),
    ] = False,
    license_: Annotated[
        str | None,
        typer.Option("--license", help="For the card, as the hub names it: apache-2.0."),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(help="For the card: what was trained on, by its name on the hub."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="Of a bundle: the run whose ledger and figure the card shows."),
    ] = None,
    message: Annotated[str | None, typer.Option(help="Of the commit.")] = None,
    token_file: TokenFile = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show the files and the card; send nothing, ask nobody."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Push a run, a bundle or traces to the hub, with a card made from the ledger.

    Texts of your rows, checkpoints and folders of this machine stay here. A model or a bundle
    becomes a model of the hub, traces a data set. HF_ENDPOINT names another hub.

    Examples:

        dimec push runs/mine me/reviews --dry-run

        dimec push bundles/mine me/reviews-bundle --run runs/mine --private --license apache-2.0
    """
    from dimec.hub.names import HubName
    from dimec.publishing import CardOptions, prepared
    from dimec.publishing import push as push_it

    token = None if token_file is None else read_token(token_file)
    options = CardOptions(license_, tuple(dataset or ()), run)
    with prepared(folder, HubName.parse(name), texts=texts, card=options) as ready:
        if dry_run:
            _show(ready, as_json)
            return
        with progress_bar() as progress:
            for note in ready.card.notes:
                progress.say(note)
            done = push_it(ready, private=private, token=token, message=message, progress=progress)
        left_out = dict(ready.listing.left_out)
    if as_json:
        sizes = {"private": done.private, "files": done.files, "bytes": done.bytes}
        told = {"name": str(done.name), "commit": done.commit, "url": done.url}
        print_json({**told, **sizes, "left_out": left_out})
        return
    seen = "private" if done.private else "public: anyone can read it"
    print(f"{done.url}: {done.files} files, {done.bytes / 1e6:,.1f} MB ({seen})")
    print(f"commit: {done.commit}")
    _show_left_out(left_out)
    print_next("pull", str(done.name), done.name.repo.partition("/")[2])


def _show(ready: Prepared, as_json: bool) -> None:
    sizes = {file: path.stat().st_size for file, path in ready.files.items()}
    left_out = dict(ready.listing.left_out)
    if as_json:
        told = {"name": str(ready.name), "holds": ready.listing.holds, "bytes": ready.size}
        print_json({**told, "files": sizes, "left_out": left_out, "card": ready.card.text})
        return
    from dimec.report.blocks import Column

    show_columns(
        Column("file", list(sizes), words=True),
        Column("bytes", [f"{size:,}" for size in sizes.values()]),
        title=f"{ready.listing.holds}, {ready.size / 1e6:,.1f} MB, to {ready.name}",
    )
    _show_left_out(left_out)
    for note in ready.card.notes:
        print(note)
    print(f"\n{ready.card.text}", end="")


def _show_left_out(left_out: dict[str, str]) -> None:
    for file, why in left_out.items():
        print(f"left out: {shown(file, 120)}: {why}")


def pull(
    name: Annotated[
        str,
        typer.Argument(
            metavar="[datasets/]ORG/NAME[@REVISION]",
            help="A branch, a tag or a commit; datasets/ for traces.",
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A folder that is not there yet.")],
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Pull what dimec push pushed: whole and checked, or not at all.

    The commit is printed and written into hub.json, to be pinned. After an interruption the same
    command goes on behind the last byte.

    Examples:

        dimec pull me/reviews runs/reviews

        dimec pull datasets/me/my-traces@v1 my-traces
    """
    from dimec.hub.names import HubName
    from dimec.hub.pulling import as_json as to_json
    from dimec.hub.pulling import pull as pull_it

    token = None if token_file is None else read_token(token_file)
    with progress_bar() as progress:
        done = pull_it(HubName.parse(name), out, token=token, progress=progress)
    if as_json:
        print_json(to_json(done))
        return
    there = "is there already" if done.there else "pulled"
    print(f"{out}: {done.holds}, {done.files} files, {done.bytes / 1e6:,.1f} MB, {there}")
    print(f"commit: {done.commit}; pinned it is {done.name}")
    if done.holds == "run":
        print_next("evaluate", out)
    elif done.holds == "bundle":
        print_next("predict", out, "a moving film")
    else:
        print_next("traces", "show", out)
