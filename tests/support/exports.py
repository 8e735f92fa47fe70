"""Labelled texts as other tools write them: Label Studio's JSON, and Arrow files of datasets."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import ipc

Json = dict[str, Any]


def annotation(*choices: str, control: str = "sentiment", **more: Any) -> Json:
    """An annotation as Label Studio exports it, with a rating beside the choices."""
    chosen = {"id": "a1", "type": "choices", "from_name": control, "to_name": "text"}
    rated = {"id": "r1", "type": "rating", "from_name": "stars", "value": {"rating": 3}}
    result = [rated, chosen | {"origin": "manual", "value": {"choices": list(choices)}}]
    state = {"was_cancelled": False, "ground_truth": False, "lead_time": 3.1, "result_count": 2}
    return {"id": 7, "completed_by": 1, "result": result, **state, **more}


def task(text: str, *annotations: Json, **data: Any) -> Json:
    """A task of Label Studio's JSON; its id is made of its text, so that tasks have their own."""
    made = {
        "id": zlib.crc32(text.encode()),
        "annotations": list(annotations),
        "drafts": [],
        "predictions": [],
        "meta": {},
    }
    return {**made, "data": {"text": text, **data}, "inner_id": 1, "project": 1}


def write(path: Path, table: pyarrow.Table, *, stream: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with (ipc.new_stream if stream else ipc.new_file)(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    return path


def save(folder: Path, table: pyarrow.Table) -> Path:
    """A split as ``datasets`` saves it, in two files."""
    half = -(-table.num_rows // 2)
    names = [f"data-{part:05}-of-00002.arrow" for part in range(2)]
    for part, name in enumerate(names):
        write(folder / name, table.slice(part * half, half), stream=True)
    state = {"_data_files": [{"filename": name} for name in names], "_split": None}
    (folder / "state.json").write_text(json.dumps(state))
    return folder
