"""Policies with a contract, a last tier that has drifted away from it, and audits done by hand."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import httpx2

from dimec.bundle.folders import TierBundle, file_records, write_manifest
from dimec.contract.monitor import Monitor
from dimec.contract.promise import STORED, Calibrated, Promise
from dimec.mobile import Mobile, Prediction
from dimec.policies.kinds import StoredPolicy
from dimec.protocol import InferRequest, InferResponse, encode_response
from support.tiers import Tier

CALIBRATED = Calibrated(2000, True, 0.001, 0.004, 0.02, 0.3, 5.0, 5.2, 0.5)
DIFFERENT = Promise(None, 20.0, None, 0.95, "exact", CALIBRATED, 3000, "validation", 9, 4)
DROP = Promise(10.0, None, None, 0.9, "exact", CALIBRATED, 3000, "validation", 9, 4)


def promised(bundle: Path, folder: Path, promise: Promise) -> Path:
    """A copy of a bundle whose policy was fitted for a contract."""
    shutil.copytree(bundle, folder)
    path = folder / "mobile"
    manifest = TierBundle.open(path).manifest
    stored = StoredPolicy.load(path)
    StoredPolicy(stored.policy, {**stored.fitted_on, STORED: promise.to_json()}).save(path)
    write_manifest(path, manifest.model_copy(update={"files": file_records(path)}))
    return folder


class Opposite(Tier):
    """A tier that says the opposite of what its model says."""

    def answer(self, asked: InferRequest) -> httpx2.Response:
        """The classes' probabilities, the other way round."""
        (probabilities,) = self.graph(**asked.inputs)
        manifest = self._bundle.manifest
        outputs = {"probabilities": probabilities[:, ::-1].copy()}
        response = InferResponse(manifest.tier, manifest.version, asked.id, outputs)
        message = encode_response(response, binary=True)
        headers = {**message.headers, "X-Request-Id": asked.id, "Server": "dimec/0"}
        return httpx2.Response(200, headers=headers, content=message.body)


def cloud_labels(mobile: Mobile, cloud: Tier, some: Sequence[str]) -> list[str]:
    """What the cloud's model says, asked without a network."""
    core, labels = mobile.engine.core, mobile.engine.core.labels
    return [labels[int(cloud.graph(**core.tokenise(text))[0].argmax())] for text in some]


def by_hand(answers: Sequence[Prediction], references: Sequence[str], bound: float) -> Monitor:
    """A monitor of all these answers, in their order."""
    monitor = Monitor.of_differences(bound / 100, 1 - 0.95)
    pairs = zip(answers, references, strict=True)
    monitor.extend([int(answer.label != reference) for answer, reference in pairs])
    return monitor


def known(mobile: Mobile) -> str:
    """What the monitor of differences knows, to the last bit."""
    watch = mobile.engine.state.watch
    assert watch is not None
    assert not watch.line.waiting
    return watch.differences.to_json()
