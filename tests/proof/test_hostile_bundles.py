"""Bundles from strangers: whatever they hold, ``serve`` and ``predict`` say one line and stop.

A careful attacker signs: the manifest's sizes and hashes fit the hostile files. So the hashes are
no defence here, only the checks behind them are.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dimec.base.errors import DimecError
from dimec.bundle.manifest import MANIFEST
from support.tampering import (
    TAMPERINGS,
    Cli,
    a_folder,
    change,
    device,
    link,
    missing,
    noise_and_signed,
    pipe,
    predict,
    serve,
    sign,
    started,
)


class TestFilesOfABundle:
    @pytest.mark.parametrize("tamper", TAMPERINGS)
    def test_serve_says_one_line(self, bundle: Path, tamper: Callable[[Path, str], None]) -> None:
        tamper(bundle / "edge", "model.onnx")
        assert "model.onnx" in started(*serve(bundle / "edge")).complaint()

    @pytest.mark.parametrize("tamper", TAMPERINGS)
    @pytest.mark.parametrize(
        "name",
        ["embed.onnx", "layers-1.onnx", "tokenizer.json", "policy.json", "policy.safetensors"],
    )
    def test_predict_says_one_line(
        self, bundle: Path, cli: Cli, tamper: Callable[[Path, str], None], name: str
    ) -> None:
        tamper(bundle / "mobile", name)
        assert name in cli(*predict(bundle / "mobile")).complaint()

    @pytest.mark.parametrize("tamper", [link, device, pipe, a_folder, missing])
    def test_a_manifest_is_a_plain_file_too(
        self, bundle: Path, cli: Cli, tamper: Callable[[Path, str], None]
    ) -> None:
        """Neither waited for nor read without end, whoever asks."""
        for folder in (bundle / "edge", bundle / "mobile", bundle):
            tamper(folder, MANIFEST)
        for words in (
            serve(bundle / "edge"),
            predict(bundle / "mobile"),
            ["inspect", bundle / "mobile"],
            ["inspect", bundle],
        ):
            said = started(*words).complaint() if words[0] == "serve" else cli(*words).complaint()
            assert MANIFEST in said or "no bundle" in said

    def test_the_command_itself_says_one_line(self, bundle: Path) -> None:
        """As a process, since a library may print on its own from below Python."""
        noise_and_signed(bundle / "mobile", "layers-1.onnx")
        assert "layers-1.onnx" in started(*predict(bundle / "mobile")).complaint()

    def test_nothing_outside_the_folder_is_read(self, bundle: Path) -> None:
        """Weights of a graph may lie in files beside it, and a path to them may climb."""
        import onnx

        (bundle.parent / "secret.bin").write_bytes(np.zeros(1000, np.float32).tobytes())
        path = bundle / "edge" / "model.onnx"
        model = onnx.load(path)
        weight = next(w for w in model.graph.initializer if len(w.raw_data) in range(64, 4000))
        size = len(weight.raw_data)
        weight.ClearField("raw_data")
        weight.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", "../../secret.bin"), ("offset", "0"), ("length", size)):
            weight.external_data.add(key=key, value=str(value))
        path.write_bytes(model.SerializeToString())
        sign(bundle / "edge")
        assert "model.onnx" in started(*serve(bundle / "edge")).complaint()

    def test_weights_that_the_manifest_does_not_name(self, bundle: Path, cli: Cli) -> None:
        """They lie beside the graph, and no hash vouches for them."""
        for tier, name in (("edge", "model.onnx"), ("mobile", "layers.onnx")):
            files = json.loads((bundle / tier / MANIFEST).read_text())["files"]
            assert files.pop(f"{name}.data")
            change(bundle / tier, files=files)
        assert "model.onnx.data" in started(*serve(bundle / "edge")).complaint()
        assert "layers.onnx.data" in cli(*predict(bundle / "mobile")).complaint()

    def test_what_else_lies_in_the_folder_is_nobodys_business(self, bundle: Path, cli: Cli) -> None:
        (bundle / "mobile" / ".DS_Store").write_bytes(b"x")
        (bundle / "mobile" / "notes").mkdir()
        assert cli(*predict(bundle / "mobile")).code == 0


def test_an_error_of_a_bundle_is_one_that_the_user_can_act_on(bundle: Path) -> None:
    """The library raises within its own tree, whatever the command line makes of it."""
    import dimec

    noise_and_signed(bundle / "mobile", "embed.onnx")
    with pytest.raises(DimecError):
        dimec.Mobile.open(bundle, state=":memory:")
