"""What training is given, read and looked through before torch is loaded: :func:`take_in`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from dimec.config import DataSettings, RunSettings, absolute_data
from dimec.data import Splits, packaged_backbone
from dimec.data.counting import token_counter, tokenizer_file
from dimec.data.survey import Counter, Survey, describe, describe_lengths, measure, survey
from dimec.errors import ConfigError, MissingArtefactError
from dimec.progress import Progress
from dimec.storage import write_json
from dimec.workspace import RunDirectory, data_fingerprint, divide, read_dataset


@dataclass(frozen=True, eq=False)
class Intake:
    """The rows of a run.

    Attributes:
        data: where they come from, with paths that hold from any working directory.
        max_tokens: the longest text that training takes.
        splits: the rows as training takes them.
        fingerprint: what ``data.sha256`` holds.
        survey: what there is to say of them.
    """

    data: DataSettings
    max_tokens: int
    splits: Splits
    fingerprint: str
    survey: Survey

    def keep(self, run: RunDirectory) -> None:
        """Write what was found beside the run's other files."""
        write_json(run.survey_path, asdict(self.survey))


def take_in(settings: RunSettings, progress: Progress, *, lengths: bool = True) -> Intake:
    """Read and divide a run's rows, and say what they are.

    The encoder is fetched where it is a package: its tokenizer tells how long the texts are. For
    an encoder whose tokenizer is not at hand the lengths are measured later, see
    :func:`with_lengths`.

    Args:
        settings: of the run.
        progress: where to say it.
        lengths: whether to measure them: among several processes, one does.

    Raises:
        ConfigError: a setting that does not go with the data.
        DataError: the data, or a packaged encoder, cannot be read or divided.
        StorageError: the cache of fetched files cannot be written.
    """
    data, max_tokens = absolute_data(settings.data), settings.model.max_tokens
    dataset = read_dataset(data)
    splits = divide(dataset, settings.model_copy(update={"data": data}))
    found = survey(splits, len(dataset))
    backbone = settings.model.backbone
    path = tokenizer_file(str(packaged_backbone(backbone) or backbone))
    count = token_counter(path) if path is not None and lengths else None
    if count is not None:
        found = replace(found, lengths=measure(splits, count, max_tokens))
    for line in describe(found):
        progress.say(line)
    return Intake(data, max_tokens, splits, data_fingerprint(dataset, data), found)


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
    data = run.data_path.read_text().strip() if run.data_path.exists() else fingerprint
    if data != fingerprint:
        differences.append(f"the rows of {settings.data.task} have changed since")
    if differences:
        raise ConfigError(
            f"{run.path} holds a run with other settings ({'; '.join(differences)}); choose "
            "another --out, or discard that run with --overwrite"
        )
