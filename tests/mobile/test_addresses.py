"""The two ways to give a tier's address."""

from __future__ import annotations

import pytest

from dimec.base.errors import ConfigError
from dimec.mobile.addresses import named_urls


def test_addresses_come_by_name_or_by_the_papers_names() -> None:
    assert named_urls(None, None, None) == {}
    assert named_urls({"box": "http://b"}, "http://e", "http://c") == {
        "box": "http://b",
        "edge": "http://e",
        "cloud": "http://c",
    }


def test_the_mapping_that_was_given_stays_as_it_is() -> None:
    given = {"box": "http://b"}
    named_urls(given, "http://e", None)
    assert given == {"box": "http://b"}


@pytest.mark.parametrize("tier", ["edge", "cloud"])
def test_a_tier_has_one_address(tier: str) -> None:
    with pytest.raises(ConfigError, match=f"the tier {tier} was given an address twice"):
        named_urls({tier: "http://a"}, "http://e", "http://c")
