from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from dimec.bundle.folders import TierBundle
from dimec.serving.metrics import Metrics


def test_what_is_counted_is_told(tier: Path) -> None:
    waiting = [3.0]
    metrics = Metrics(TierBundle.open(tier).manifest, lambda: waiting[0], lambda: 2.0)
    metrics.count_request("ok", 200)
    metrics.count_request("ok", 200)
    metrics.count_request("invalid", 400)
    metrics.observe_inference("ok", 0.003)
    metrics.observe_inference("deadline", 7.0)
    metrics.observe_queue(0.2)
    metrics.observe_run(3, 0.02)
    waiting[0] = 5.0
    text = metrics.render().decode()
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["dimec_requests_total", ("outcome", "ok"), ("status", "200")] == 2
    assert found["dimec_requests_total", ("outcome", "invalid"), ("status", "400")] == 1
    bucket = "dimec_infer_seconds_bucket"
    assert found[bucket, ("le", "0.0025"), ("outcome", "ok")] == 0
    assert found[bucket, ("le", "0.005"), ("outcome", "ok")] == 1
    assert found["dimec_infer_seconds_sum", ("outcome", "deadline")] == 7
    assert found["dimec_queue_seconds_count",] == 1
    assert found["dimec_batch_rows_sum",] == 3
    assert found["dimec_run_seconds_sum",] == 0.02
    assert found["dimec_queue_rows",] == 5
    assert found["dimec_runs_active",] == 2
    assert ("model_version", "41") in next(key for key in found if key[0] == "dimec_build_info")
    assert found["process_resident_memory_bytes",] > 0
    totals = metrics.totals
    assert (totals.answered, totals.failed, totals.rows, totals.runs) == (1, 1, 3, 1)
    assert (totals.answered_seconds, totals.failed_seconds) == (0.003, 7.0)


def test_two_servers_in_one_process_count_apart(tier: Path) -> None:
    first, second = (
        Metrics(TierBundle.open(tier).manifest, lambda: 0, lambda: 0) for _ in range(2)
    )
    first.count_request("ok", 200)
    assert b"dimec_requests_total{" in first.render()
    assert b"dimec_requests_total{" not in second.render()
