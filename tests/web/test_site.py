"""A site's folder: it takes the place of a site, and of nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dimec.base.errors import ConfigError, CorruptArtefactError
from dimec.web.assets import CHECKOUT
from dimec.web.links import links
from dimec.web.site import SETUP, check_site, write_site

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
