"""A site's folder: it takes the place of a site, and of nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dimec.base.errors import ConfigError, CorruptArtefactError
from dimec.web.assets import CHECKOUT
from dimec.web.links import links
from dimec.web.site import HEADERS, SETUP, check_site, guarded, static_policy, write_site

DOCS = Path(__file__).resolve().parents[2] / "docs"

pytestmark = pytest.mark.skipif(
    not (CHECKOUT / "node_modules").is_dir(), reason="the packages of web/ are not fetched"
)


def policy(site: Path) -> dict[str, list[str]]:
    """The policy of content that a site's page has in itself: rule → what it lets."""
    page = (site / "index.html").read_text("utf-8")
    head, _, rest = page.partition('http-equiv="Content-Security-Policy" content="')
    assert "<script" not in head  # what stands before it is under no policy
    assert "<link" not in head
    rules = [rule.split() for rule in rest.partition('"')[0].split(";")]
    return {name: values for name, *values in rules}


def test_the_page_may_ask_the_tiers_that_are_named_wherever_they_are(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    tiers = {"edge": "http://10.0.0.5:8001", "cloud": "https://cloud.example/tiers/"}
    write_site(tiny_bundle, tmp_path / "site", tiers)
    rules = policy(tmp_path / "site")
    assert {"'self'", "https:", "http://10.0.0.5:8001"} <= set(rules["connect-src"])
    assert rules["script-src"] == ["'self'", "'wasm-unsafe-eval'"]
    assert rules["default-src"] == ["'none'"]
    write_site(tiny_bundle, tmp_path / "site")
    assert "http://10.0.0.5:8001" not in policy(tmp_path / "site")["connect-src"]


@pytest.mark.parametrize(
    "page",
    [
        "<head>{}<title>x</title></head>",
        "<!doctype html>\n<HTML lang=en>\n <Head\n class='a>b'>{}<script src=x></script>",
        "\ufeff<!-- <head> \u2028 --><html>\r\n<head data-x>{}</head><body><head></body>",
    ],
)
def test_the_policy_stands_at_the_begin_of_whatever_head(page: str) -> None:
    found = guarded(page.format("").encode(), "default-src 'none'").decode()
    rule = """<meta http-equiv="Content-Security-Policy" content="default-src 'none'" />"""
    assert found == page.format(f"\n    {rule}")


@pytest.mark.parametrize(
    "page",
    [
        "",
        "<!doctype html><title>no head</title>",
        "<!-- <head> --><p>none</p>",
        "<script src=x></script><head></head>",
        "text<head></head>",
        "<header></header>",
    ],
)
def test_a_page_whose_policy_would_not_hold_is_refused(page: str) -> None:
    with pytest.raises(CorruptArtefactError, match=r"expected a page that begins with a <head>"):
        guarded(page.encode(), "default-src 'none'")


@pytest.mark.parametrize("host", ["a;script-src", 'a"b', "a,b"])
def test_an_address_cannot_add_a_rule_to_the_policy(
    tiny_bundle: Path, tmp_path: Path, host: str
) -> None:
    with pytest.raises(ConfigError):
        write_site(tiny_bundle, tmp_path / "site", {"cloud": f"https://{host}"})
    assert not (tmp_path / "site").exists()
    with pytest.raises(ConfigError, match="cannot stand in a Content-Security-Policy"):
        static_policy([f"https://{host}"])


def test_the_headers_are_written_for_hosts_that_read_them(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    tiers = {"cloud": "https://cloud.example/tiers/"}
    write_site(tiny_bundle, tmp_path / "site", tiers)
    first, *lines = (tmp_path / "site" / HEADERS).read_text("ascii").splitlines()
    assert first == "/*"
    assert all(line.startswith("  ") and len(line) < 2000 for line in lines)  # Cloudflare's limit
    headers = dict(line.strip().split(": ", 1) for line in lines)
    assert headers["Content-Security-Policy"] == (
        f"{static_policy(tiers.values())}; frame-ancestors 'none'"
    )
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_docs_give_that_header_for_other_servers() -> None:
    docs = (DOCS / "serving.md").read_text("utf-8")
    policy = f"{static_policy()}; frame-ancestors 'none'"
    assert f'add_header Content-Security-Policy "{policy}" always;' in docs
    assert f'header Content-Security-Policy "{policy}"' in docs


@pytest.mark.parametrize("content", ["{}", '{"bundle": "mine", "version": 1}', "[]", "no JSON"])
def test_a_folder_with_a_file_of_that_name_is_no_site_yet(tmp_path: Path, content: str) -> None:
    (tmp_path / SETUP).write_text(content)
    with pytest.raises(ConfigError, match="no site of dimec's"):
        check_site(tmp_path)


def test_an_empty_folder_is_taken_and_a_link_or_a_file_is_not(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    write_site(tiny_bundle, tmp_path / "empty")
    check_site(tmp_path / "empty")
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(ConfigError, match="is no folder"):
            write_site(tiny_bundle, tmp_path / name)


def test_a_bundle_that_cannot_be_used_leaves_the_old_site(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    write_site(tiny_bundle, site)
    with pytest.raises(CorruptArtefactError, match="expected the mobile tier's"):
        write_site(tiny_bundle / "edge", site)
    check_site(site)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["site"]


def test_the_setup_has_the_links_of_the_scenarios(tiny_bundle: Path, tmp_path: Path) -> None:
    write_site(tiny_bundle, tmp_path / "site")
    told = json.loads((tmp_path / "site" / SETUP).read_text("utf-8"))
    assert told["links"] == links()
    assert told["token"] is None
    assert told["examples"] == []
    trips = [link["roundTrip"] for link in links().values()]
    assert trips == sorted(trips, reverse=True)
