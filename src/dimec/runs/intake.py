"""What training is given, read and looked through before torch is loaded: :func:`take_in`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dimec.base.errors import ConfigError, MissingArtefactError
from dimec.base.progress import Progress
from dimec.base.storage import atomic_path, write_json
from dimec.data import Dataset, Splits, load_task
from dimec.data.backbones import backbone_source, check_model
from dimec.data.counting import token_counter, tokenizer_file
from dimec.data.dataset import SPLITS
from dimec.data.survey import Counter, Survey, describe, describe_lengths, measure, survey
from dimec.runs.rows import data_fingerprint, divide, prepared, read_dataset, same_rows
from dimec.runs.workspace import RunDirectory
from dimec.settings.data import DataSettings, absolute_data
from dimec.settings.run import RunSettings

# What is said of a table where it is read; a table that was kept needs none of it.
_COLUMNS = ("text_column", "pair_column", "label_column", "split_column")
_READING = (*_COLUMNS, "data_dir", "delimiter", "encoding", "header")


@dataclass(frozen=True, eq=False)
class Intake:
    """The rows of a run.

    Attributes:
        data: where they come from, with paths that hold from any working directory.
        max_tokens: the longest text that training takes.
        splits: the rows as training takes them.
        fingerprint: what ``data.sha256`` holds.
        survey: what there is to say of them.
        table: the rows as they are to be kept, where they were given in memory.
    """

    data: DataSettings
    max_tokens: int
    splits: Splits
    fingerprint: str
    survey: Survey
    table: Dataset | None = None

    def keep(self, run: RunDirectory) -> None:
        """Write what was found, and rows that were given in memory, beside the run's other files.

        Rows of another run that the directory held go.
        """
        kept = Path((self.data.task or "").partition(":")[2])
        if self.table is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            _write_table(kept, self.table)
        if kept != run.table_path.resolve():
            run.table_path.unlink(missing_ok=True)
        write_json(run.survey_path, asdict(self.survey))


def take_in(
    settings: RunSettings,
    progress: Progress,
    *,
    table: Dataset | None = None,
    lengths: bool = True,
) -> Intake:
    """Read and divide a run's rows, and say what they are.

    The encoder is fetched where it is a package: its tokenizer tells how long the texts are. For
    an encoder whose tokenizer is not at hand the lengths are measured later, see
    :func:`with_lengths`.

    Args:
        settings: of the run.
        progress: where to say it.
        table: the rows of :func:`table_settings`, which are written when the run is begun.
        lengths: whether to measure them: among several processes, one does.

    Raises:
        ConfigError: a setting that does not go with the data, or with the encoder.
        DataError: the data, or a packaged encoder, cannot be read or divided.
        StorageError: the cache of fetched files cannot be written.
    """
    check_model(settings)
    data, max_tokens = absolute_data(settings.data), settings.model.max_tokens
    dataset = read_dataset(data) if table is None else prepared(table, data)
    splits = divide(dataset, settings.model_copy(update={"data": data}))
    found = survey(splits, len(dataset))
    path = tokenizer_file(backbone_source(settings.model.backbone))
    count = token_counter(path) if path is not None and lengths else None
    if count is not None:
        found = replace(found, lengths=measure(splits, count, max_tokens))
    for line in describe(found):
        progress.say(line)
    if dataset.source_rows:
        progress.say(dataset.source_rows)
    if found.lengths is None:
        progress.say("tokens a text: counted once the encoder is loaded")
    return Intake(data, max_tokens, splits, data_fingerprint(dataset, data), found, table)


def take_in_table(
    table: Any,
    values: Mapping[str, Any],
    seed: int,
    run: RunDirectory,
    progress: Progress,
    settings_of: Callable[[dict[str, Any], int], RunSettings],
) -> tuple[RunSettings, Intake]:
    """Settings and rows of a training on a table in memory, which the run directory is to keep.

    Args:
        table: as :func:`dimec.data.load_task` takes it.
        values: the other settings by their flat names; None leaves one at its default.
        seed: of the run.
        run: where it will be.
        progress: where to say what the rows are.
        settings_of: makes settings of flat names.

    Raises:
        DimecError: as :func:`take_in`; or the table cannot be read.
    """
    given = [split for split in SPLITS if values.get(split) is not None]
    if given:
        raise ConfigError(
            f"give either task or files for each split, not both (got {given[0]} too)"
        )
    columns = {name: values[name] for name in _READING if values.get(name) is not None}
    rest = {name: value for name, value in values.items() if name not in _READING}
    dataset = load_task(table, metric=values.get("metric"), **columns)
    where, dataset = table_settings(dataset, run)
    settings = settings_of({**rest, **where}, seed)
    return settings, take_in(settings, progress, table=dataset)


def table_settings(table: Dataset, run: RunDirectory) -> tuple[dict[str, Any], Dataset]:
    """Settings that read rows given in memory again, and the rows as they are then.

    They lie in the run directory, as JSON lines with ``text``, ``pair``, ``label`` and ``split``.
    """
    values: dict[str, Any] = {"task": f"jsonl:{run.table_path.resolve()}"}
    if table.pairs is not None:
        values["pair_column"] = "pair"
    if table.predefined is not None:
        values["split_column"] = "split"
    guids = tuple(f"row-{row}" for row in range(len(table)))
    return values, replace(table, task=values["task"], guids=guids)


def _write_table(path: Path, table: Dataset) -> None:
    columns: dict[str, Sequence[str]] = {
        "text": table.texts,
        "label": [table.label_names[code] for code in table.labels.tolist()],
    }
    if table.pairs is not None:
        columns["pair"] = table.pairs
    if table.predefined is not None:
        columns["split"] = table.predefined
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for cells in zip(*columns.values(), strict=True):
            row = dict(zip(columns, cells, strict=True))
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def with_lengths(intake: Intake, count: Counter, progress: Progress) -> Intake:
    """The same with the lengths of its texts, which are said; as it is where it has them."""
    if intake.survey.lengths is not None:
        return intake
    lengths = measure(intake.splits, count, intake.max_tokens)
    progress.say(describe_lengths(lengths, sum(intake.survey.rows.values())))
    return replace(intake, survey=replace(intake.survey, lengths=lengths))


def check_claim(run: RunDirectory, settings: RunSettings, fingerprint: str) -> None:
    """Refuse a directory that holds another run.

    Raises:
        ConfigError: it holds a run with other settings or other data.
        ArtefactError: it holds a run whose settings are missing or damaged.
    """
    if not run.config_path.exists():
        if run.training_path.exists() or run.checkpoint_path.exists():
            raise MissingArtefactError(
                f"{run.path} holds a run without its {run.config_path.name}; choose another "
                "--out, or discard that run with --overwrite"
            )
        return
    differences = run.settings().differences(settings)
    data = run.data_path.read_text("utf-8") if run.data_path.exists() else fingerprint
    if not same_rows(data, fingerprint):
        differences.append(f"the rows of {settings.data.name} have changed since")
    if differences:
        raise ConfigError(
            f"{run.path} holds a run with other settings ({'; '.join(differences)}); choose "
            "another --out, or discard that run with --overwrite"
        )
