"""A site that runs a bundle's first tier in the browser: a folder for any web server."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dimec.__about__ import __version__
from dimec.base.errors import ConfigError, CorruptArtefactError, quoted, shown
from dimec.base.storage_folders import atomic_folder
from dimec.bundle.folders import open_mobile_bundle
from dimec.bundle.manifest import MANIFEST
from dimec.client.endpoint import check_url
from dimec.web.assets import assets
from dimec.web.links import links

SETUP = "setup.json"
HEADERS = "_headers"
# A page of a static site may ask tiers anywhere, by TLS or on the same machine.
_ANYWHERE = ("https:", "http://localhost:*", "http://127.0.0.1:*")


@dataclass(frozen=True)
class Setup:
    """What a site's page is told, in ``setup.json``.

    Attributes:
        tiers: tier → address of its server; the page asks for those that are not there.
        token: that the servers want; None for none, or where the page is to ask.
        control: whether whoever serves the site takes the page's commands and tells events.
        examples: texts to begin with.
    """

    tiers: Mapping[str, str] = field(default_factory=dict)
    token: str | None = None
    control: bool = False
    examples: Sequence[Any] = ()

    def to_json(self) -> bytes:
        """As the file has it."""
        told = {"bundle": "bundle/", "version": __version__, "links": links(), **asdict(self)}
        return (json.dumps(told, indent=2) + "\n").encode()


@dataclass(frozen=True)
class SiteReport:
    """What was written: its folder, the number of its files and their bytes."""

    path: Path
    files: int
    bytes: int


def policy_of_content(connect: Sequence[str] = ()) -> str:
    """The Content-Security-Policy of a page that may ask these origins besides its own."""
    rules = {
        "default-src": ("'none'",),
        "script-src": ("'self'", "'wasm-unsafe-eval'"),
        "worker-src": ("'self'",),
        "style-src": ("'self'",),
        "img-src": ("'self'", "data:"),
        "connect-src": ("'self'", *connect),
        "base-uri": ("'none'",),
        "form-action": ("'none'",),
    }
    return "; ".join(" ".join((name, *values)) for name, values in rules.items())


def site_files(bundle: Path | str) -> dict[str, bytes]:
    """Path → content, of all of a site but what :class:`Setup` says.

    Args:
        bundle: the first tier's folder, or the one above it. Nothing but the first tier's own files
            is in a site: no other tier's graphs, and no golden vectors, which hold texts.

    Raises:
        ArtefactError: the bundle cannot be used, or dimec came without the files of a site.
    """
    opened = open_mobile_bundle(bundle)
    files = assets()
    for name in opened.manifest.files:
        files[f"bundle/{name}"] = opened.read(name)
    files[f"bundle/{MANIFEST}"] = (opened.path / MANIFEST).read_bytes()
    return files


def write_site(
    bundle: Path | str, out: Path | str, tiers: Mapping[str, str] | None = None
) -> SiteReport:
    """Write a site, whole or not at all; one that is there already is replaced.

    Args:
        bundle: as for :func:`site_files`.
        out: the folder.
        tiers: tier → address of its server.

    Raises:
        ConfigError: ``out`` is something else, or an address is none of a tier of the bundle.
        ArtefactError: as :func:`site_files`.
        StorageError: the disk refuses to write.

    Example (not run, needs a bundle):
        >>> write_site("bundles/mine", "site", {"cloud": "https://cloud.example"})  # doctest: +SKIP
    """
    out, tiers = Path(out), dict(tiers or {})
    check_site(out)
    check_tiers(tiers, open_mobile_bundle(bundle).manifest.names[1:])
    files = site_files(bundle)
    files[SETUP] = Setup(tiers).to_json()
    policy = static_policy(tiers.values())
    files[HEADERS] = _headers(policy)
    if "index.html" in files:
        files["index.html"] = guarded(files["index.html"], policy)
    with atomic_folder(out) as folder:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return SiteReport(out, len(files), sum(map(len, files.values())))


def check_site(out: Path) -> None:
    """Refuse a folder that is something else: nothing of it would be left.

    Raises:
        ConfigError: it is.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ConfigError(f"{out} is no folder; name another one for the site")
    if out.is_dir() and any(out.iterdir()) and not _is_site(out):
        raise ConfigError(
            f"{out} is there already and is no site of dimec's (it has no {SETUP} of one), so it "
            "is left alone; name another folder"
        )


def _is_site(folder: Path) -> bool:
    """Others have files of that name too, so it has to say what a site's says."""
    try:
        told = json.loads((folder / SETUP).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and told.keys() >= json.loads(Setup().to_json()).keys()


def check_tiers(tiers: Mapping[str, str], served: Sequence[str]) -> None:
    """Refuse addresses that no page could ask.

    Args:
        tiers: tier → address.
        served: names of the bundle's tiers with a server.

    Raises:
        ConfigError: no tier of that name, or no address of a server.
    """
    for tier, address in tiers.items():
        if tier not in served:
            raise ConfigError(
                f"an address was given for {quoted(tier, 40)}; the bundle's tiers with a server "
                f"are {', '.join(map(shown, served)) or 'none'}"
            )
        check_url(tier, address)
    static_policy(tiers.values())


def static_policy(addresses: Iterable[str] = ()) -> str:
    """The Content-Security-Policy of a site on any web server, with its tiers at these addresses.

    Raises:
        ConfigError: an address holds what would end a rule of the policy.
    """
    # Of an address with a path a policy would take just that path.
    named = {"{0.scheme}://{0.netloc}".format(urlsplit(address)) for address in addresses}
    for origin in named:
        if not re.fullmatch(r"[A-Za-z0-9.:/\[\]_-]+", origin):
            raise ConfigError(
                f"{quoted(origin, 80)} cannot stand in a Content-Security-Policy; give the address "
                "of a server by letters, digits, '.', '-' and a port"
            )
    return policy_of_content((*_ANYWHERE, *sorted(named)))


def guarded(page: bytes, policy: str) -> bytes:
    """The page with its policy of content at the begin of its head: the server may be anybody's.

    Raises:
        CorruptArtefactError: the page has no head before all that could load something.
    """
    text = page.decode("utf-8")
    end = _Head(text).end
    if end is None:
        raise CorruptArtefactError(
            "expected a page that begins with a <head>, where its Content-Security-Policy has to "
            f"stand; got {quoted(text, 60)}; install dimec again"
        )
    rule = f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy, False)}" />'
    return f"{text[:end]}\n    {rule}{text[end:]}".encode()


class _Head(HTMLParser):
    """Where the start tag of a page's head ends; None where anything else stands before it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.end: int | None = None
        self._missed = False
        self._lines = page.split("\n")  # as the parser counts them
        self.feed(" " + page[1:] if page.startswith("\ufeff") else page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Note the end of the first one, unless another has begun the body."""
        if tag == "head" and self.end is None and not self._missed:
            line, column = self.getpos()
            before = sum(len(one) + 1 for one in self._lines[: line - 1])
            self.end = before + column + len(self.get_starttag_text() or "")
        self._missed |= tag != "html"

    def handle_data(self, data: str) -> None:
        """Text begins the body."""
        self._missed |= bool(data.strip(" \t\n\f\r"))  # what HTML calls white space


def _headers(policy: str) -> bytes:
    """The file by which Netlify, Cloudflare Pages and others like them send headers.

    A worker takes its policy from its own headers, and from no page's.
    """
    headers = {
        "Content-Security-Policy": f"{policy}; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return "".join(("/*\n", *(f"  {k}: {v}\n" for k, v in headers.items()))).encode()
