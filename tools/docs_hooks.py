"""What MkDocs does beyond its own work on the site: the files around ``docs/`` join it.

On GitHub a page of ``docs/`` points at ``../web/README.md`` or at a stored result, and the README
is the first page. The site has all of them: README.md is its index, other Markdown files become
pages under ``repository/``, and whatever else a page points at is copied there. So every link
works in both places, and one that leads nowhere stops the build.

Loaded by MkDocs (``hooks`` in mkdocs.yml), in the environment that ``tools/docs_setup.py`` makes.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
INDEX = "README.md"
# The Markdown files outside docs/ that are pages of the site.
PAGES = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "benchmarks/README.md",
    "web/README.md",
)
BESIDE = "repository"

_FENCE = re.compile(r"^( *)(```+|~~~+).*?^\1\2 *$", re.MULTILINE | re.DOTALL)
_TICKS = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_LINK = re.compile(r"(\]\()([^)\s]+)(\))")
_NESTED = re.compile(r"^( +)(?=[-*] |\d+\. )", re.MULTILINE)


def place_of(source: str) -> str:
    """Where a file of the repository lies in the site: both are paths with ``/``."""
    if source == INDEX:
        return "index.md"
    if source.startswith("docs/"):
        return source.removeprefix("docs/")
    return f"{BESIDE}/{source}"


def source_of(place: str) -> str:
    """The file of the repository behind a place in the site; the inverse of ``place_of``."""
    if place == "index.md":
        return INDEX
    if place.startswith(f"{BESIDE}/"):
        return place.removeprefix(f"{BESIDE}/")
    return f"docs/{place}"


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """The text with what is neither a fenced block nor between backticks changed."""

    def inline(part: str) -> str:
        return "".join(_apart(_TICKS, part, change))

    return "".join(_apart(_FENCE, text, inline))


def _apart(pattern: re.Pattern[str], text: str, change: Callable[[str], str]) -> Iterator[str]:
    """The pieces of a text by turns: changed, and, where the pattern matches, as they are."""
    end = 0
    for match in pattern.finditer(text):
        yield change(text[end : match.start()])
        yield match.group()
        end = match.end()
    yield change(text[end:])


def is_outside(link: str) -> bool:
    """Whether it leads to the web, to mail, or to a heading of the same page."""
    return bool(re.match(r"[a-z][a-z0-9+.-]*:|#", link))


def target_of(source: str, link: str) -> str:
    """The file of the repository that a relative link in a file of it means, without its anchor."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link.partition("#")[0]))


def links_of(text: str) -> list[str]:
    """The links of a Markdown text to other files, as written."""
    found: list[str] = []

    def collect(part: str) -> str:
        found.extend(link for _, link, _ in _LINK.findall(part) if not is_outside(link))
        return part

    outside_code(text, collect)
    return found


def for_site(text: str, source: str) -> str:
    """A Markdown text of the repository as the site's renderer reads it.

    Links lead to the places in the site. Lists are nested by four columns in place of two.
    """
    here = posixpath.dirname(place_of(source))

    def placed(match: re.Match[str]) -> str:
        before, link, after = match.groups()
        if is_outside(link):
            return match.group()
        _, mark, anchor = link.partition("#")
        way = posixpath.relpath(place_of(target_of(source, link)), here or ".")
        return f"{before}{way}{mark}{anchor}{after}"

    def change(part: str) -> str:
        return _NESTED.sub(lambda found: 2 * found[1], _LINK.sub(placed, part))

    return outside_code(text, change)


def others(root: Path, pages: tuple[str, ...]) -> list[str]:
    """The files outside docs/ that pages point at and that are no pages: paths from the root."""
    found: set[str] = set()
    for source in pages:
        for link in links_of((root / source).read_text(encoding="utf-8")):
            target = target_of(source, link)
            if not target.startswith(("docs/", "..")) and (root / target).is_file():
                found.add(target)
    return sorted(found - {INDEX, *pages})


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """MkDocs has listed docs/: the files of the rest of the repository join them."""
    from mkdocs.structure.files import File

    ours = tuple(f"docs/{file.src_uri}" for file in files.documentation_pages())
    pages = (INDEX, *PAGES)
    for source in (*pages, *others(ROOT, (*pages, *ours))):
        made = File.generated(config, place_of(source), abs_src_path=str(ROOT / source))
        files.append(made)
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """MkDocs has read a page."""
    return for_site(markdown, source_of(page.file.src_uri))
