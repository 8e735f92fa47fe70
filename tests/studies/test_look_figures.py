"""The curves of a task, drawn from a stored result."""

from __future__ import annotations

from dimec_studies.look_figures import draw_all, images


def result() -> dict[str, object]:
    def point(name: str, cost: float, accuracy: float) -> dict[str, object]:
        return {"policy": name, "cost": cost, "accuracy": accuracy}

    systems = [
        {"system": "cascade", "title": "Cascade", "front": [[1.0, 0.7], [2.0, 0.8]]},
        {"system": "knn", "title": "KNN", "front": [[1.5, 0.65], [3.0, 0.75]]},
        {"system": "bert-cloud", "title": "BERT", "front": [[9.0, 0.85]]},
        {"system": "single", "title": "Tiers", "front": [[3.0, 0.6], [9.0, 0.85]]},
    ]
    tiers = [point("all-mobile", 3, 0.6), point("all-cloud", 9, 0.85)]
    task = {"systems": systems, "tiers": tiers, "oracle": point("oracle", 4, 0.9)}
    return {"tasks": {"sst2": task, "movies": task}}


def test_a_figure_has_a_line_for_each_system_that_has_a_knob() -> None:
    drawings = draw_all(result())
    assert [one.name for one in drawings] == ["sst2", "movies"]
    one = drawings[0]
    assert one.series.columns == {
        "system": ["cascade", "cascade", "knn", "knn"],
        "cost": [1.0, 2.0, 1.5, 3.0],
        "accuracy": [0.7, 0.8, 0.65, 0.75],
    }
    assert "SST-2" in one.title
    for word in ("Cascade", "KNN", "all-mobile", "oracle"):
        assert word in one.svg
    assert "BERT" not in one.svg  # a point, and that is a tier's
    assert draw_all(result())[0].svg == one.svg


def test_the_page_names_the_files() -> None:
    assert images(result()) == [
        "![Accuracy over cost on SST-2, a line a system](look/sst2.svg)",
        "",
        "![Accuracy over cost on movies, a line a system](look/movies.svg)",
    ]
