"""ExecuTorch: what it makes of a part of the model, and how it runs here.

All that knows the package ``executorch``, which has no types, stands here.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dimec.base.arrays import Float32Array
from dimec.base.errors import ConfigError, MissingExtraError
from dimec.bundle.exit0 import Exit0
from dimec.bundle.phone import PhoneManifest
from dimec.training.export.graphs import quiet, reason_of

PACKAGE = "executorch"
_BACKEND = "XnnpackBackend"


def require_executorch() -> None:
    """Raise MissingExtraError unless ExecuTorch is installed; it is not imported, which is slow."""
    from importlib.util import find_spec

    if find_spec(PACKAGE) is None:
        raise MissingExtraError(PACKAGE, PACKAGE, "exporting for a phone")


def executorch_version() -> str:
    """Of the installed package."""
    return version(PACKAGE)


def lower(program: Any) -> tuple[bytes, tuple[str, ...]]:
    """An exported program as ExecuTorch's file has it, for its XNNPACK backend.

    Args:
        program: a ``torch.export.ExportedProgram``.

    Returns:
        The content of the ``.pte`` file, and the operators that are left to kernels.

    Raises:
        ConfigError: ExecuTorch cannot take it.
    """
    try:
        with quiet(), _quiet_below():
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import (
                XnnpackPartitioner,
            )
            from executorch.exir import to_edge_transform_and_lower

            edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
            made = edge.to_executorch()
            (plan,) = made.executorch_program.execution_plan
            used = {f"{one.name}.{one.overload or 'default'}" for one in plan.operators}
            return bytes(made.buffer), tuple(sorted(used))
    except Exception as error:
        raise ConfigError(
            f"ExecuTorch {executorch_version()} cannot take the model ({reason_of(error)}); leave "
            "out --executorch"
        ) from None


class PhonePrograms:
    """The programs of a phone folder, run by ExecuTorch's runtime on this machine.

    It answers as a tier does in :mod:`dimec.training.export.parity`, one text at a time.

    Args:
        folder: the one that goes into the app.
        manifest: of it, or what will be.
        exit0: the classifier on the embedding layer alone, where there is one.

    Raises:
        ConfigError: the runtime cannot load a program.
    """

    in_segments = True

    def __init__(self, folder: Path, manifest: PhoneManifest, exit0: Exit0 | None) -> None:
        self.exits = tuple(manifest.segments)
        self.exit0 = exit0
        self._names = manifest.inputs
        try:
            with quiet(), _quiet_below():
                from executorch.runtime import Runtime

                runtime = Runtime.get()
                if not runtime.backend_registry.is_available(_BACKEND):
                    raise ConfigError(f"the runtime on this machine has no {_BACKEND}")
                # A method holds what is its program's, and a program what is its file's.
                self._programs = [
                    runtime.load_program(folder / program.file) for program in manifest.programs
                ]
                self._methods = [program.load_method("forward") for program in self._programs]
        except Exception as error:
            raise ConfigError(
                f"ExecuTorch {executorch_version()} cannot run what it made ({reason_of(error)}); "
                "leave out --executorch"
            ) from None

    def __call__(
        self, inputs: dict[str, npt.NDArray[np.int64]]
    ) -> tuple[list[Float32Array], Float32Array]:
        """What each exit says of one text, and its pooled embedding.

        Args:
            inputs: name → (1, T).

        Returns:
            (1, C) class probabilities at each exit, and (1, D).

        Raises:
            ConfigError: a program does not take it.
        """
        given = [torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in self._names]
        embed, *segments = self._methods
        hidden, pooled = self._run(embed, given)
        said = []
        for segment in segments:
            probabilities, *rest = self._run(segment, [hidden])
            said.append(probabilities.numpy())
            hidden = rest[0] if rest else hidden
        return said, pooled.numpy()

    @staticmethod
    def _run(method: Any, given: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        try:
            # Outputs lie in the method's own memory, which its next run takes again.
            return [value.clone() for value in method.execute(given)]
        except Exception as error:
            raise ConfigError(
                f"ExecuTorch {executorch_version()} cannot run what it made on "
                f"{given[0].shape[1]} tokens ({reason_of(error)}); leave out --executorch"
            ) from None


@contextmanager
def _quiet_below() -> Iterator[None]:
    """Keep what is written to standard error below Python from the user.

    ExecuTorch's runtime tells there what it reads of the processor. What goes wrong is raised.
    """
    try:
        before = os.dup(2)
    except OSError:  # closed
        yield
        return
    with tempfile.TemporaryFile() as rest:
        os.dup2(rest.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)
