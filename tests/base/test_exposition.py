from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from dimec.base.exposition import Family, exposition


def test_is_what_prometheus_reads() -> None:
    families = [
        Family(
            "a_total",
            "counter",
            "A\nline, a \\.",
            ("x", "y"),
            {("1", ""): 3, ("2", "z"): 0.25},
        ),
        Family("none", "gauge", "Nothing.", ("x",), {}),
        Family("b", "gauge", "B.", (), {(): True}),
    ]
    text = exposition(families)
    assert text.splitlines() == [
        r"# HELP a_total A\nline, a \\.",
        "# TYPE a_total counter",
        'a_total{x="1",y=""} 3',
        'a_total{x="2",y="z"} 0.25',
        "# HELP b B.",
        "# TYPE b gauge",
        "b 1",
    ]
    read = list(text_string_to_metric_families(text))
    assert [(f.type, f.documentation) for f in read] == [
        ("counter", "A\nline, a \\."),
        ("gauge", "B."),
    ]


@given(st.dictionaries(st.tuples(st.text(max_size=9)), st.floats() | st.integers(), max_size=3))
def test_labels_and_numbers_come_back_as_they_were(samples: dict[tuple[str, ...], float]) -> None:
    text = exposition([Family("a", "gauge", "", ("x",), samples)])
    read: dict[tuple[str, ...], float] = {
        (sample.labels["x"],): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert read.keys() == samples.keys()
    for key, value in samples.items():
        assert read[key] == value or (math.isnan(value) and math.isnan(read[key]))
