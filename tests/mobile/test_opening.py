"""Opening a mobile: what it takes, what it refuses, and the state that it goes on from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dimec
from dimec.base.errors import (
    ConfigError,
    CorruptArtefactError,
    MissingArtefactError,
    StateBusyError,
)
from dimec.bundle.folders import TierBundle
from dimec.mobile import Mobile
from dimec.routing import CentroidRouter
from support.stored import store_router
from support.tiers import (
    Tier,
    offline_routes,
    one_pool_bundle,
    texts,
)

OpenMobile = Callable[..., Mobile]
Tiers = dict[str, Tier]


class TestOpening:
    def test_tells_what_it_takes(self, bundle: Path, tmp_path: Path) -> None:
        with dimec.Mobile.open(bundle / "mobile", state=tmp_path / "s.sqlite") as mobile:
            info = mobile.info()
            disk = sum(f.stat().st_size for f in (bundle / "mobile").iterdir())
            assert 0 < info.start_seconds < 60
            assert info.disk_bytes == disk - (bundle / "mobile" / "manifest.json").stat().st_size
            assert 1 << 20 < info.memory_base_bytes <= info.memory_bytes * 2
            assert info.state == str(tmp_path / "s.sqlite")
            assert info.version == TierBundle.open(bundle / "mobile").manifest.version
            assert not info.adaptive

    def test_the_state_has_a_place_of_its_own(
        self, bundle: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        for path in (bundle, tiny_bundle):
            with Mobile.open(path) as mobile:
                mobile.predict("the film")
        assert len(list(tmp_path.glob("dimec/*/state.sqlite"))) == 2

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"edge": "not an address"}, "edge: expected an address such as"),
            ({"cloud": "ftp://host"}, "cloud: expected an address such as"),
            ({"edge": "http://h:99999"}, "edge: expected an address"),
            ({"timeout": 0}, "expected a timeout above 0"),
            ({"timeout": float("nan")}, "expected a timeout above 0"),
            ({"fallback": "speed"}, "fallback must be one of accuracy, cost"),
            ({"token": "secret-token"}, "would travel unencrypted"),
            ({"edge": "https://edge.test", "ca": "none.pem"}, "cannot read certificates"),
        ],
    )
    def test_settings_that_cannot_work(
        self, open_mobile: OpenMobile, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ConfigError, match=message) as caught:
            open_mobile(**{**options, "transports": None})
        assert "secret-token" not in str(caught.value)
        open_mobile()  # the state was let go of

    def test_of_what_is_no_bundle(self, bundle: Path, tmp_path: Path) -> None:
        with pytest.raises(MissingArtefactError, match="no bundle folder"):
            Mobile.open(tmp_path / "nowhere")
        with pytest.raises(MissingArtefactError):
            Mobile.open(tmp_path)
        with pytest.raises(CorruptArtefactError, match="the edge tier, expected the mobile"):
            Mobile.open(bundle / "edge")

    def test_with_another_models_router(self, bundle: Path, tmp_path: Path) -> None:
        folder = one_pool_bundle(bundle, tmp_path / "bundle")
        manifest = json.loads((folder / "manifest.json").read_text())
        router = CentroidRouter().fit(np.zeros((3, 5)), np.arange(3))
        store_router(router, folder)
        from dimec.bundle.folders import file_records, write_manifest
        from dimec.bundle.manifest import TierManifest

        manifest["files"] = {
            name: record.model_dump() for name, record in file_records(folder).items()
        }
        write_manifest(folder, TierManifest.model_validate(manifest))
        with pytest.raises(CorruptArtefactError, match=r"cannot decide .* 32 values .* make"):
            Mobile.open(folder, state=":memory:")

    def test_twice(self, open_mobile: OpenMobile) -> None:
        open_mobile()
        with pytest.raises(StateBusyError, match="in use by another dimec process"):
            open_mobile()

    def test_what_an_adaptive_mobile_learnt_is_there_again(
        self, open_mobile: OpenMobile, bundle: Path
    ) -> None:
        some = texts(200)
        first = open_mobile(adaptive=True)
        routes = [a.route for a in first.predict_many(some[:100])]
        first.close()
        second = open_mobile(adaptive=True)
        routes += [a.route for a in second.predict_many(some[100:])]
        assert routes == offline_routes(bundle, second, some, adaptive=True)
        second.close()
        fixed = open_mobile()
        routes = [a.route for a in fixed.predict_many(some)]
        assert routes == offline_routes(bundle, fixed, some, adaptive=False)
        ledger = fixed.ledger()
        assert ledger.answers == 400
        assert ledger.mean_cost is not None
        assert ledger.reduction == pytest.approx(
            1 - ledger.mean_cost / fixed.engine.deployment.prices[-1]
        )
