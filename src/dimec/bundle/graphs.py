"""Running an ONNX graph on the processor."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.base.errors import CorruptArtefactError

# onnxruntime 1.29 and later otherwise call home, and keep a database and a device's identifier in
# the user's cache. It reads this once, when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# What the graphs of a bundle call their inputs and outputs.
HIDDEN, HIDDEN_OUT = "hidden", "hidden_out"
MASK, PROBABILITIES = "attention_mask", "probabilities"
SEGMENT = "dimec.layers"  # the key in a segment's metadata of what segment_name makes


def segment_name(before: int, exit_: int) -> str:
    """What a segment says of the layers that it runs: those behind ``before``, up to its exit."""
    return f"{before + 1}-{exit_}"


class Graph:
    """An ONNX graph in memory, ready to run; safe to call from several threads.

    Args:
        path: the ``.onnx`` file; it is trusted to have been checked against its manifest.
        threads: processor threads of one run; None leaves the choice to onnxruntime.
        known_as: its path in messages, where the file at ``path`` is a private copy.
        memory: name → content of the files of its folder, where they are in memory and not there.
        shared: take the memory of a run from where all such graphs of the process take it, for
            graphs that run one behind the other: the next one's is then in the processor's caches.

    Raises:
        CorruptArtefactError: not a graph that onnxruntime can load.

    Attributes:
        inputs, outputs: names, in their order.
        segment: which layers it runs, see :func:`segment_name`; None where it is no segment.
    """

    def __init__(
        self,
        path: Path,
        *,
        threads: int | None = 1,
        known_as: Path | None = None,
        memory: Mapping[str, bytes] | None = None,
        shared: bool = False,
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
        if shared:
            _register_arena()
            options.add_session_config_entry("session.use_env_allocators", "1")
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
        known = self._session.get_modelmeta().custom_metadata_map
        # What stands around the run itself checks again what is known here, and takes as long as a
        # small graph right after another one has run; should it be gone one day, it is asked.
        self._run = getattr(self._session, "_sess", self._session).run
        self.segment: str | None = known.get(SEGMENT)

    def __call__(self, **inputs: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
        """The outputs in their order; inputs that the graph does not take are left out."""
        if len(inputs) != len(self.inputs):
            inputs = {name: inputs[name] for name in self.inputs}
        # Named, since asking the session for its outputs each time takes as long as a small graph.
        return tuple(self._run(self.outputs, inputs, None))


@cache
def _register_arena() -> None:
    """Let onnxruntime have memory that sessions of this process may share, once for all."""
    import onnxruntime as ort

    place = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    ort.create_and_register_allocator(place, None)


def run_segment(
    segment: Graph, hidden: npt.NDArray[np.float32], mask: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
    """Run the layers up to the next exit.

    Args:
        segment: one of the graphs ``layers-….onnx``.
        hidden: (B, T, D) behind the layer before.
        mask: (B, T), 1 at real tokens.

    Returns:
        (B, C) probabilities at the exit, and (B, T, D) hidden states behind its layer; None of the
        last segment.
    """
    probabilities, *rest = segment(hidden=hidden, attention_mask=mask)
    return probabilities, rest[0] if rest else None


def run_segments(
    segments: Iterable[Graph], hidden: npt.NDArray[np.float32], mask: npt.NDArray[np.int64]
) -> list[npt.NDArray[np.float32]]:
    """Run segments in a row; (B, C) probabilities at the exit of each. See :func:`run_segment`."""
    answers, state = [], hidden
    for segment in segments:
        probabilities, behind = run_segment(segment, state, mask)
        answers.append(probabilities)
        state = state if behind is None else behind
    return answers


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
