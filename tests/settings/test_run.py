"""A run's settings: checked, kept in a file, and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from dimec.base.errors import ConfigError, CorruptArtefactError, MissingArtefactError
from dimec.settings.data import DataSettings
from dimec.settings.model import ModelSettings
from dimec.settings.run import RunSettings
from dimec.settings.training import TrainingSettings


def _settings(**values: Any) -> RunSettings:
    return RunSettings.of({"data": {"task": "vader/movies"}, **values})


class TestRunSettings:
    def test_the_defaults_are_the_papers_where_the_paper_says(self) -> None:
        settings = _settings()
        assert settings.model.exits is None
        assert settings.training.epochs == 5
        assert settings.training.weight_decay == 0
        assert settings.training.loss_weights is None

    @pytest.mark.parametrize(
        "values",
        [
            {},
            {"seed": 7, "model": {"exits": "all", "tiers": [1, 2, 4]}},
            {"model": {"exits": [1, 2, 4]}, "training": {"loss_weights": [1, 1, 2.5]}},
            {"training": {"patience": 0, "precision": "bf16", "warmup": 0.0}},
            {"training": {"recipe": "two-stage", "record_train": True}},
            {"training": {"recipe": "two-stage", "exit_learning_rate": 1e-3}},
            {"training": {"loss": "depth"}, "data": {"task": "a", "train_rows": "rows.jsonl"}},
            {"data": {"task": "csv:a b.csv", "text_column": 'té"xt\n', "max_train_rows": 10}},
        ],
    )
    def test_a_file_gives_back_what_was_saved(self, tmp_path: Path, values: Any) -> None:
        settings = _settings(**values)
        settings.save(tmp_path / "config.toml")
        assert RunSettings.load(tmp_path / "config.toml") == settings

    def test_a_setting_without_a_value_has_none_by_default(self) -> None:
        """TOML cannot say "none": a file would bring back the default in its place."""
        for group in (DataSettings, ModelSettings, TrainingSettings, RunSettings):
            for name, field in group.model_fields.items():
                if type(None) in get_args(field.annotation):
                    assert field.default is None, name

    def test_all_wrong_settings_are_named_in_one_line(self) -> None:
        values: dict[str, Any] = {"training": {"epochs": 1, "speed": 9}, "seed": -1}
        with pytest.raises(ConfigError) as caught:
            _settings(**values)
        message = str(caught.value)
        assert "\n" not in message
        for word in ("training.epochs", "(got 1)", "training.speed", "seed", "(got -1)"):
            assert word in message

    def test_the_cls_vector_cannot_route(self) -> None:
        with pytest.raises(ConfigError, match="same for every input"):
            _settings(model={"embedding_pooling": "cls"})
        assert _settings(model={"head_pooling": "cls"}).model.head_pooling == "cls"

    @pytest.mark.parametrize(
        ("training", "word"),
        [
            ({"loss": "depth", "loss_weights": [1, 2]}, "leave loss_weights out"),
            ({"recipe": "two-stage", "loss_weights": [1, 2]}, "unweighted"),
            ({"recipe": "two-stage", "loss": "depth"}, "unweighted"),
            ({"exit_learning_rate": 0.01}, "needs the recipe 'two-stage'"),
            ({"recipe": "three-stage"}, "'joint', 'two-stage' or 'own' (got 'three-stage')"),
            ({"loss": "deep"}, "'joint' or 'depth' (got 'deep')"),
        ],
    )
    def test_recipes_and_losses_that_do_not_go_together_are_refused(
        self, training: dict[str, Any], word: str
    ) -> None:
        with pytest.raises(ConfigError) as caught:
            _settings(training=training)
        assert word in str(caught.value)
        assert str(caught.value).startswith("training")
        assert "{" not in str(caught.value)

    def test_a_file_from_before_a_setting_came_is_of_the_same_run(self, tmp_path: Path) -> None:
        path = tmp_path / "config.toml"
        path.write_text('seed = 0\n[data]\ntask = "vader/movies"\n[training]\nepochs = 5\n')
        assert RunSettings.load(path).differences(_settings()) == []

    def test_a_split_column_means_predefined_splits(self, tmp_path: Path) -> None:
        data = {"task": "csv:a.csv", "split_column": "part"}
        settings = RunSettings.of({"data": data})
        assert settings.data.predefined_splits
        settings.save(tmp_path / "config.toml")
        assert RunSettings.load(tmp_path / "config.toml") == settings
        assert RunSettings.of({"data": {**data, "predefined_splits": True}}) == settings
        with pytest.raises(
            ConfigError, match=r"leaves split_column without effect; .* train again"
        ):
            RunSettings.of({"data": {**data, "predefined_splits": False}})

    def test_predefined_splits_of_a_file_need_its_column(self) -> None:
        with pytest.raises(ConfigError, match=r"predefined_splits needs .* with split_column, or"):
            RunSettings.of({"data": {"task": "csv:a.csv", "predefined_splits": True}})
        assert RunSettings.of({"data": {"task": "glue/rte", "predefined_splits": True}})

    def test_settings_cannot_be_changed(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            _settings().seed = 3  # type: ignore[misc]

    def test_what_is_no_settings_file_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "config.toml"
        with pytest.raises(MissingArtefactError, match="dimec train"):
            RunSettings.load(path)
        for content in (b"seed = ", b"seed = 1\n\xff\xfe"):
            path.write_bytes(content)
            with pytest.raises(CorruptArtefactError, match="TOML"):
                RunSettings.load(path)
        path.write_text("seed = 1\n")
        with pytest.raises(ConfigError, match="data"):
            RunSettings.load(path)
        with pytest.raises(CorruptArtefactError, match="cannot be read"):
            RunSettings.load(tmp_path)

    @pytest.mark.parametrize("value", ["[" * 5000, "{a=" * 5000, "9" * 5000, "0x" + "f" * 5000])
    def test_nested_too_deep_or_numbers_too_long(self, tmp_path: Path, value: str) -> None:
        path = tmp_path / "config.toml"
        path.write_text(f'seed = {value}\n[data]\ntask = "vader/movies"\n')
        with pytest.raises((CorruptArtefactError, ConfigError)) as caught:
            RunSettings.load(path)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300

    @pytest.mark.parametrize("value", ["9" * 4000, "inf", "nan", "[[[[[[[[[[[[1]]]]]]]]]]]]"])
    def test_values_that_no_setting_has(self, tmp_path: Path, value: str) -> None:
        path = tmp_path / "config.toml"
        setting = f"[training]\nweight_decay = {value}\n"
        path.write_text(f'seed = 1\n{setting}[data]\ntask = "vader/movies"\n')
        with pytest.raises(ConfigError, match=r"training\.weight_decay") as caught:
            RunSettings.load(path)
        assert len(str(caught.value)) < 300

    def test_differences_are_named_with_both_values(self) -> None:
        one, other = _settings(seed=1), _settings(seed=2, training={"batch_size": 8})
        assert one.differences(one) == []
        assert one.differences(other) == [
            "training.batch_size: 16 here, 8 there",
            "seed: 1 here, 2 there",
        ]


class TestTiers:
    def test_a_table_of_names_keeps_its_order(self, tmp_path: Path) -> None:
        model = {"tiers": {"phone": 1, "box": 3, "dc": 6}}
        settings = RunSettings.of({"data": {"task": "glue/sst2"}, "model": model})
        settings.save(tmp_path / "config.toml")
        again = RunSettings.load(tmp_path / "config.toml")
        assert again == settings
        assert again.model.tier_names == ("phone", "box", "dc")
        assert again.model.tier_layers == (1, 3, 6)

    def test_layers_have_no_names_of_their_own(self) -> None:
        settings = RunSettings.of({"data": {"task": "glue/sst2"}, "model": {"tiers": [2, 6]}})
        assert (settings.model.tier_names, settings.model.tier_layers) == (None, (2, 6))

    def test_other_tiers_differ_as_a_whole(self) -> None:
        one, two = (
            RunSettings.of({"data": {"task": "glue/sst2"}, "model": {"tiers": tiers}})
            for tiers in ({"phone": 1, "dc": 6}, [1, 6])
        )
        assert one.differences(two) == ["model.tiers: {'phone': 1, 'dc': 6} here, [1, 6] there"]

    @pytest.mark.parametrize(
        ("tiers", "word"),
        [
            ([1, 2, 3, 6], "model.tiers: 4 tiers need names"),
            ({"phone": 6, "dc": 1}, "model.tiers: the tiers' exits must be layers"),
            ({"phone": "x"}, "model.tiers: expected the tiers' exits"),
            ("2,6", "model.tiers: expected the tiers' exits"),
        ],
    )
    def test_what_are_no_tiers_is_refused(self, tiers: Any, word: str) -> None:
        with pytest.raises(ConfigError, match=word):
            RunSettings.of({"data": {"task": "glue/sst2"}, "model": {"tiers": tiers}})
