from __future__ import annotations

import pytest
from pydantic import BaseModel, Field, SecretStr

from dimec.base.errors import ConfigError, CorruptArtefactError, typed_options
from dimec.base.validating import from_file, from_options


class Part(BaseModel):
    bytes: int
    token: SecretStr = Field(SecretStr("none"), min_length=4)


class Whole(BaseModel):
    parts: dict[str, Part]


def test_what_is_stored_is_read_or_refused_where_it_first_differs() -> None:
    remedy = "make it again"
    found = from_file(Whole, {"parts": {"a": {"bytes": 3}}}, "a.json is no whole", remedy)
    assert found.parts["a"].bytes == 3
    with pytest.raises(
        CorruptArtefactError,
        match=r"^a\.json is no whole that this version of dimec reads \(parts\.a\.bytes: Input "
        r"should be a valid integer.*\); make it again$",
    ):
        from_file(Whole, {"parts": {"a": {"bytes": "many"}, "b": {}}}, "a.json is no whole", remedy)
    with pytest.raises(CorruptArtefactError, match=r"reads \(the whole: "):
        from_file(Whole, [1], "a.json is no whole", remedy)


def test_a_long_name_of_a_field_does_not_fill_the_message() -> None:
    with pytest.raises(CorruptArtefactError) as refused:
        from_file(Whole, {"parts": {"x" * 9999: {}}}, "a.json is no whole", "make it again")
    assert len(str(refused.value)) < 200


def test_an_option_is_named_as_it_is_given_and_its_value_is_not_told() -> None:
    with typed_options({"token": "--token-file"}), pytest.raises(ConfigError) as refused:
        from_options(Part, {"bytes": 1, "token": "abc"})
    assert str(refused.value).startswith("--token-file: ")
    assert "abc" not in str(refused.value)
    with pytest.raises(ConfigError, match=r"^bytes: Field required$"):
        from_options(Part, {})
