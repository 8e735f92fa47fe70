"""A phone folder, read as docs/phone.md says, with nothing of dimec: what an app would do.

Run by the Python of .executorch: ``phone_reader.py FOLDER``. Prints a JSON object an input of
``golden.json``: token ids, embedding, probabilities, and the router's first step with its price.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from executorch.runtime import Runtime
from tokenizers import Tokenizer

_TYPES = {"F64": np.float64, "F32": np.float32, "I64": np.int64, "I32": np.int32}


def safetensors(path: Path) -> dict[str, Any]:
    """Name → array of a file of the router: 8 bytes of the header's length, JSON, then values."""
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header, values = json.loads(content[8 : 8 + size]), content[8 + size :]
    found = {}
    for name, told in header.items():
        if name != "__metadata__":
            start, end = told["data_offsets"]
            flat = np.frombuffer(values[start:end], _TYPES[told["dtype"]])
            found[name] = flat.reshape(told["shape"])
    return found


class Phone:
    """What an app holds of a phone folder."""

    def __init__(self, app: Path) -> None:
        self.manifest = json.loads((app / "manifest.json").read_text("utf-8"))
        for name, record in self.manifest["files"].items():
            content = (app / name).read_bytes()
            assert len(content) == record["bytes"], name
            assert hashlib.sha256(content).hexdigest() == record["sha256"], name
        self.tokenizer = Tokenizer.from_file(str(app / "tokenizer.json"))
        runtime = Runtime.get()
        self.programs = [
            runtime.load_program(app / each["file"]) for each in self.manifest["programs"]
        ]
        self.methods = [program.load_method("forward") for program in self.programs]
        policy = json.loads((app / "policy.json").read_text("utf-8"))
        assert policy["kind"] == "centroid", "the only kind that this reader knows"
        self.router = safetensors(app / "policy.safetensors")

    def read(self, text: str, pair: str | None) -> dict[str, Any]:
        """All that the phone makes of an input."""
        encoding = self.tokenizer.encode(text, pair)
        columns = {"input_ids": encoding.ids, "token_type_ids": encoding.type_ids}
        given = [torch.tensor([columns[name]]) for name in self.manifest["inputs"]]
        outputs = [each.clone() for each in self.methods[0].execute(given)]
        hidden, pooled = outputs
        exits = {}
        for told, method in zip(self.manifest["programs"][1:], self.methods[1:], strict=True):
            probabilities, *rest = (each.clone() for each in method.execute([hidden]))
            exits[told["stop"]] = probabilities[0].tolist()
            hidden = rest[0] if rest else hidden
        tier, scores = self.route(pooled[0].numpy())
        return {
            "input_ids": encoding.ids,
            "embedding": pooled[0].tolist(),
            "exits": exits,
            "tier": self.manifest["tiers"][tier]["name"],
            "scores": [score if math.isfinite(score) else None for score in scores],
            "cost": self.price(tier),
        }

    def route(self, embedding: Any) -> tuple[int, list[float]]:
        """The tier whose pool has the nearest centre, the first of several, and all distances."""
        sums, counts = self.router["sums"], self.router["counts"]
        scores = [
            math.dist(row / count, embedding) if count else math.inf
            for row, count in zip(sums, counts, strict=True)
        ]
        return scores.index(min(scores)), scores

    def price(self, tier: int) -> float:
        """Of an answer at a tier's own exit, where nothing ran before."""
        told = self.manifest["tiers"][tier]
        sent = told["send_price"] if tier else 0.0
        return float(told["layer_price"] * told["layer"] + sent + told["visit_price"])


def main() -> None:
    """Read, and print."""
    folder = Path(sys.argv[1])
    (app,) = (entry for entry in folder.iterdir() if entry.is_dir())
    phone = Phone(app)
    content = (folder / "golden.json").read_bytes()
    assert hashlib.sha256(content).hexdigest() == phone.manifest["golden"]["sha256"]
    found = [phone.read(each["text"], each["pair"]) for each in json.loads(content)["inputs"]]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
