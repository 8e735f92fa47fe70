"""The table of exit 0 by itself."""

from __future__ import annotations

from dimec_studies.exit0_table import exit0_table


def test_a_row_a_task_with_the_best_in_bold() -> None:
    methods = {"tokens": {"accuracy": 0.5}, "exit 0": {"accuracy": 0.755}}
    row = {"task": "glue/sst2", "train_rows": 20000, "test_rows": 872, "methods": methods}
    lines = exit0_table({"rows": [row]})["exit0-alone"].splitlines()
    assert lines[0] == "| task | rows to learn | rows to judge | tokens | exit 0 |"
    assert lines[2] == "| glue/sst2 | 20,000 | 872 | 50.0 | **75.5** |"
