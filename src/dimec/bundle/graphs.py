"""Running an ONNX graph on the processor."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.base.errors import CorruptArtefactError

# onnxruntime 1.29 and later otherwise call home, and keep a database and a device's identifier in
# the user's cache. It reads this once, when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


class Graph:
    """An ONNX graph in memory, ready to run; safe to call from several threads.

    Args:
        path: the ``.onnx`` file; it is trusted to have been checked against its manifest.
        threads: processor threads of one run; None leaves the choice to onnxruntime.
        known_as: its path in messages, where the file at ``path`` is a private copy.
        memory: name → content of the files of its folder, where they are in memory and not there.

    Raises:
        CorruptArtefactError: not a graph that onnxruntime can load.
    """

    def __init__(
        self,
        path: Path,
        *,
        threads: int | None = 1,
        known_as: Path | None = None,
        memory: Mapping[str, bytes] | None = None,
    ) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        # Fatal only: what fails is raised as well, and the runtime's own line on standard error
        # would quote token ids.
        options.log_severity_level = 4
        # The graphs are exported as they are to run. What onnxruntime would make of them beyond the
        # basic level costs time: its skip-layer normalisation takes five times what the addition
        # and the plain normalisation take.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        # Texts differ in length, and a plan of memory kept for each shape only adds up.
        options.enable_mem_pattern = False
        # Threads that spin while idle would burn a phone's battery and a shared server's cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        source: str | bytes = str(path)
        if memory is not None:
            source = memory[path.name]
            beside = {name: data for name, data in memory.items() if name != path.name}
            options.add_external_initializers_from_files_in_memory(
                list(beside), list(beside.values()), [len(data) for data in beside.values()]
            )
        try:
            self._session = ort.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise CorruptArtefactError(
                f"{known_as or path} is no graph that onnxruntime {ort.__version__} can run "
                f"({str(error).splitlines()[0]}); make the bundle again with: dimec export"
            ) from None
        self.inputs = tuple(value.name for value in self._session.get_inputs())
        self.outputs = tuple(value.name for value in self._session.get_outputs())

    def __call__(self, **inputs: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
        """The outputs in their order; inputs that the graph does not take are left out."""
        feed = {name: inputs[name] for name in self.inputs}
        return tuple(self._session.run(None, feed))


def pad_batch(
    rows: list[dict[str, npt.NDArray[np.int64]]], padding: int
) -> dict[str, npt.NDArray[np.int64]]:
    """Model inputs (B, T) of B texts, each given as arrays (t,), filled up to the longest.

    Args:
        rows: for each text name → (t,) values; ``attention_mask`` among them.
        padding: the token id that fills up ``input_ids``; the other inputs are filled with 0.
    """
    lengths = [len(row["input_ids"]) for row in rows]
    width = max(lengths)
    batch = {
        name: np.full((len(rows), width), padding if name == "input_ids" else 0, np.int64)
        for name in rows[0]
    }
    for i, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        for name, values in row.items():
            batch[name][i, :length] = values
    return batch
