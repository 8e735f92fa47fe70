"""What an audit knows lies in the state file, and goes on from there to the last bit."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dimec.base.errors import CorruptArtefactError
from dimec.mobile import Mobile
from support.promised import by_hand, cloud_labels, known
from support.tiers import Tier, full_disk, texts

OpenMobile = Callable[..., Mobile]
Tiers = dict[str, Tier]
BOUND = 20.0  # points


class TestTheState:
    def test_goes_on_to_the_last_bit(self, open_mobile: OpenMobile, tmp_path: Path) -> None:
        some = texts(60)
        options: dict[str, Any] = {"audit": 1.0, "audit_bound": 50.0}
        whole = open_mobile(state=tmp_path / "whole.sqlite", **options)
        list(whole.predict_many(some))
        for start in range(0, 60, 20):
            part = open_mobile(**options)
            list(part.predict_many(some[start : start + 20]))
            after = known(part)
            part.close()
        assert after == known(whole)

    def test_gives_up_what_a_stream_left_behind(
        self, open_mobile: OpenMobile, tiers: Tiers
    ) -> None:
        mobile = open_mobile(audit=1.0, audit_bound=50.0)
        stream = mobile.predict_many(texts(60), workers=2)
        next(stream)
        stream.close()
        left = mobile.ledger().audited
        mobile.predict("the film is moving")
        assert f'"rows": {left + 1},' in known(mobile)

    def test_gives_up_a_text_that_got_no_answer(
        self, open_mobile: OpenMobile, tiers: Tiers
    ) -> None:
        mobile = open_mobile(audit=1.0, audit_bound=50.0)

        def broken(request: httpx2.Request) -> httpx2.Response:
            raise KeyboardInterrupt

        tiers["cloud"].behaviour = broken
        with pytest.raises(KeyboardInterrupt):
            mobile.predict("the film is moving")
        tiers["cloud"].behaviour = None
        mobile.predict("the film is moving")
        assert '"rows": 1,' in known(mobile)

    def test_of_an_earlier_version_is_read(self, open_mobile: OpenMobile, tmp_path: Path) -> None:
        mobile = open_mobile()
        before = mobile.predict("the film is moving", id="one")
        mobile.close()
        with contextlib.closing(sqlite3.connect(tmp_path / "state.sqlite")) as database:
            for statement in (
                "DROP TABLE audits",
                "DROP TABLE watch",
                "ALTER TABLE answers DROP COLUMN safe",
            ):
                database.execute(statement)
        mobile = open_mobile(audit=1.0, audit_bound=BOUND)
        assert mobile.predict("", id="one") == before
        mobile.predict("the film is moving", id="two")
        assert (mobile.ledger().answers, mobile.ledger().audited) == (2, 1)

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE watch SET state = replace(state, 'rows', 'row')",
            "UPDATE watch SET check_sum = check_sum + 1",
            "UPDATE watch SET state = x'00'",
        ],
    )
    def test_that_was_altered_is_refused(
        self, open_mobile: OpenMobile, tmp_path: Path, change: str
    ) -> None:
        mobile = open_mobile(audit=1.0, audit_bound=BOUND)
        mobile.predict("the film is moving")
        mobile.close()
        with contextlib.closing(sqlite3.connect(tmp_path / "state.sqlite")) as database:
            database.execute(change)
            database.commit()
        with pytest.raises(CorruptArtefactError, match="what the audit knows was altered"):
            open_mobile()

    def test_takes_in_what_a_full_disk_held_up(
        self, open_mobile: OpenMobile, tiers: Tiers, tmp_path: Path
    ) -> None:
        some = texts(30)
        mobile = open_mobile(audit=1.0, audit_bound=50.0)
        with full_disk(1):
            answers = [mobile.predict(text) for text in some[:20]]
        assert not any(answer.recorded for answer in answers)
        answers += [mobile.predict(text) for text in some[20:]]
        references = cloud_labels(mobile, tiers["cloud"], some)
        assert known(mobile) == by_hand(answers, references, 50.0).to_json()

    def test_that_was_replaced_begins_its_own(
        self, open_mobile: OpenMobile, tmp_path: Path
    ) -> None:
        mobile = open_mobile(audit=1.0, audit_bound=50.0)
        for _ in range(3):
            mobile.predict("the film is moving")
        for path in tmp_path.glob("state.sqlite*"):
            path.unlink()
        mobile.predict("the film is moving")  # drawn while the old one was there
        mobile.predict("the film is moving")
        assert '"rows": 1,' in known(mobile)
        assert mobile.ledger().audited == 1
