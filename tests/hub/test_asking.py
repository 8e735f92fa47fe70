"""Errors of the hub that a user can act on."""

from __future__ import annotations

import pytest

from dimec.base.errors import HubUnreachableError
from dimec.hub.asking import hub_errors
from dimec.hub.names import HubName


def test_a_push_to_a_hub_that_does_not_answer_names_the_switch_of_xet() -> None:
    """The client tries Xet for minutes wherever hf_xet is installed, and is not waited for here."""
    message = r"does not answer .*HF_HUB_DISABLE_XET=1 .*not sent again"
    with (
        pytest.raises(HubUnreachableError, match=message),
        hub_errors(HubName.parse("me/reviews"), "https://hub.example", sending=True),
    ):
        raise RuntimeError("reqwest") from ConnectionResetError("by peer")
