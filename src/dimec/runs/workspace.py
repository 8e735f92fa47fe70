"""The run directory: where each artefact of a run lies, and who may work in it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dimec.base.errors import (
    ConfigError,
    CorruptArtefactError,
    MismatchError,
    MissingArtefactError,
)
from dimec.base.storage import (
    read_json,
    storage_errors,
)
from dimec.base.storage_folders import take_lock
from dimec.policies.kinds import StoredPolicy
from dimec.policies.routed import RouterPolicy
from dimec.routing import CentroidRouter
from dimec.runs.paths import OUT_OF_FOLD
from dimec.runs.rows import data_fingerprint, divide, read_dataset, same_rows
from dimec.runs.run_records import RunRecords
from dimec.tiers.deployment import Deployment
from dimec.tiers.latency import ModelShape
from dimec.tiers.names import tier_names
from dimec.traces.trace import Trace

if TYPE_CHECKING:
    from dimec.data import Splits
    from dimec.settings.data import DataSettings


def fitted_deployment(stored: StoredPolicy) -> Deployment:
    """The tiers that a stored policy was fitted for.

    Raises:
        CorruptArtefactError: it does not say.
    """
    try:
        fitted_on = stored.fitted_on
        costs, pricing = fitted_on.get("costs"), fitted_on.get("pricing")
        return Deployment.of_json(fitted_on["tiers"], costs, pricing)
    except (KeyError, ConfigError) as error:
        raise CorruptArtefactError(
            f"the fitted policy names no tiers ({error}); fit it again with: dimec fit"
        ) from None


class RunDirectory(RunRecords):
    """Paths, readers and the lock of one run."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run directory; the operating system lets go of it when the process dies.

        Where the work fails before it has written anything, folders that were made here go again.

        Raises:
            RunBusyError: another process holds it.
            StorageError: the directory cannot be written.
        """
        made = [path for path in (self.path, *self.path.parents) if not path.exists()]
        with storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = take_lock(
                self.path / ".lock",
                f"{self.path} is in use by another dimec process; wait for it to end, or choose "
                "another run directory",
            )
        try:
            # Half-written files of a process that was killed; nobody else writes here now.
            for path in self.path.rglob(".*.tmp"):
                if path.is_file():
                    path.unlink(missing_ok=True)
            yield
        except BaseException:
            if made:
                self._remove_if_unused(made)
            raise
        finally:
            lock.release()

    def _remove_if_unused(self, made: Sequence[Path]) -> None:
        """Remove the folders of a run directory that holds nothing but its lock."""
        with suppress(OSError):
            if [path.name for path in self.path.iterdir()] == [".lock"]:
                (self.path / ".lock").unlink()
                for path in made:
                    path.rmdir()

    def tier_names(self, count: int) -> tuple[str, ...]:
        """What the tiers of its settings are called.

        Args:
            count: how many its traces have.

        Raises:
            MismatchError: the settings name other tiers than the traces have.
        """
        named = self._tier_names
        if named is not None and len(named) != count:
            raise MismatchError(
                f"{self.config_path} names the tiers {', '.join(named)}, the traces have {count}; "
                f"train again with: dimec train --out {self.typed} --overwrite"
            )
        return named or tier_names(count)

    @property
    def _tier_names(self) -> tuple[str, ...] | None:
        if not self.config_path.exists():
            recorded = self.recorded() if self.training_path.exists() else None
            return None if recorded is None else tuple(one["name"] for one in recorded["tiers"])
        settings = self.settings()
        return tuple(tier.name for tier in settings.tier) or settings.model.tier_names

    def tier_runs(self) -> dict[str, RunDirectory]:
        """The run directory of each tier's own model by the tier's name, nearest first.

        Empty where the tiers are cut out of one model.
        """
        own = self.settings().tier if self.config_path.exists() else ()
        return {tier.name: RunDirectory(self.tiers_path / tier.name, self) for tier in own}

    def require_one_model(self, purpose: str) -> None:
        """Refuse a run whose tiers have a model each.

        Raises:
            ConfigError: they have; names what needs one model.
        """
        if own := self.tier_runs():
            raise ConfigError(
                f"{purpose} needs one model that is cut into tiers, and the tiers of {self.path} "
                f"have a model each; take that of one tier: {self.tiers_path / next(iter(own))}"
            )

    def splits(self) -> Splits:
        """The labelled rows, read again and divided as training divided them.

        Raises:
            DataError: the data can no longer be read.
            MismatchError: its rows have changed since the run was trained.
        """
        settings = self.settings()
        dataset = read_dataset(self._where_it_is(settings.data))
        recorded = self.data_path.read_text("utf-8")
        if not same_rows(recorded, data_fingerprint(dataset, settings.data)):
            raise MismatchError(
                f"the rows of {settings.data.name} have changed since {self.path} was trained; "
                "bring the old ones back, or train again"
            )
        return divide(dataset, settings)

    def _where_it_is(self, data: DataSettings) -> DataSettings:
        """A table that is kept with the run goes with it when it is moved."""
        file = Path((data.task or "").partition(":")[2])
        kept = file.name == self.table_path.name and self.table_path.exists()
        if not kept or file.exists():
            return data
        return data.model_copy(update={"task": f"jsonl:{self.table_path.resolve()}"})

    def fit_record(self) -> dict[str, Any]:
        """What ``dimec fit`` wrote down."""
        record: dict[str, Any] = read_json(self.fit_path, f"dimec fit {self.typed}")
        return record

    def cross_fit(self) -> dict[str, Any] | None:
        """What cross-fitting wrote down, likeness and all; None where the settings want none.

        Raises:
            MissingArtefactError: they want it, and it was not finished.
        """
        record: dict[str, Any] | None = self.training().get("cross_fit")
        wanted = self.config_path.exists() and self.settings().distillation.cross_fit
        if record is None and wanted:
            raise MissingArtefactError(
                f"{self.path} is trained and not yet cross-fitted; go on with: dimec train "
                f"--config {shlex.quote(str(self.config_path))} --out {self.typed}"
            )
        return record

    def out_of_fold(self) -> Trace | None:
        """What models of cross-fitting say of training rows that they have not seen.

        Of all training rows, in their order; the column ``fold`` says which model spoke. None where
        the settings want no cross-fitting. Whether it is like what the final model would say of
        rows that it has not seen, :meth:`cross_fit` tells.

        Raises:
            ArtefactError: cross-fitting was not finished, or its trace is missing, damaged or of
                another model.
        """
        return None if self.cross_fit() is None else self.trace(OUT_OF_FOLD)

    def shape(self) -> ModelShape:
        """Widths of the encoder's layers, which tell how many operations a layer takes.

        Raises:
            ConfigError: it holds recorded traces whose card does not say.
        """
        self.require_model()
        encoder = read_json(self.model_path / "config.json", f"dimec train --out {self.typed}")
        encoder = encoder.get("encoder", encoder)  # a classifier taken as it is has its own form
        # BERT's words for it, and most others'; DistilBERT's; T5's.
        width = int(_first(encoder, "hidden_size", "dim", "d_model"))
        inner = _first(encoder, "intermediate_size", "hidden_dim", "d_ff") or 4 * width
        return ModelShape(width=width, intermediate=int(inner))

    def shapes(self) -> dict[str, ModelShape]:
        """Of the model behind each source of the run's traces: of each tier's, or of the only one.

        The sources are the tiers' names where each has a model of its own, and else ``""``. Empty
        where traces are recorded and nobody knows.
        """
        if (recorded := self.recorded()) is not None:
            return {name: ModelShape(**one) for name, one in recorded["shapes"].items()}
        own = {name: run.shape() for name, run in self.tier_runs().items()}
        return own or {"": self.shape()}

    def stored_policy(self) -> StoredPolicy:
        """The fitted policy and what it was fitted on, checked to be of this run's model."""
        fingerprint = self.training()["model"]
        stored = StoredPolicy.load(self.path)
        if stored.fitted_on.get("model") != fingerprint:
            raise MismatchError(
                f"{self.policy_path} was fitted on another model than the one in {self.path}; "
                f"fit it again with: dimec fit {self.typed}"
            )
        return stored

    def deployment(self) -> Deployment:
        """The tiers that the policy was fitted for."""
        return fitted_deployment(self.stored_policy())

    def router(self) -> CentroidRouter:
        """The router of the fitted policy.

        Raises:
            ConfigError: the fitted policy is of another kind.
        """
        policy = self.stored_policy().policy
        if not isinstance(policy, RouterPolicy) or not isinstance(policy.router, CentroidRouter):
            raise ConfigError(f"{self.path} has a fitted policy, {policy.name}, that is no router")
        return policy.router


def _first(config: Mapping[str, Any], *names: str) -> Any:
    """The value of the first of these names that a configuration has; 0 where it has none."""
    return next((config[name] for name in names if config.get(name)), 0)
