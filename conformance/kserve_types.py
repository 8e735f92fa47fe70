"""Read manifests as KServe's own types do, and tell what these do not know; run in .kserve.

``python kserve_types.py FILE …`` prints a JSON array with an entry for each object: its ``kind``
and ``name``, and ``lost``, the paths of the fields that its type has no place for.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from pathlib import Path
from typing import Any

import yaml


def load_types() -> Any:
    """``kserve.models`` alone: the package's own beginning would start its server's parts."""
    spec = importlib.util.find_spec("kserve")
    assert spec is not None
    package = types.ModuleType("kserve")
    package.__path__ = list(spec.submodule_search_locations or ())
    sys.modules["kserve"] = package
    return importlib.import_module("kserve.models")


def paths(value: Any, at: str = "") -> dict[str, Any]:
    """Path → value, of everything in it that holds nothing further."""
    if isinstance(value, dict) and value:
        pairs = value.items()
    elif isinstance(value, list) and value:
        pairs = {str(number): one for number, one in enumerate(value)}.items()
    else:
        return {at: value}
    return {path: leaf for key, one in pairs for path, leaf in paths(one, f"{at}/{key}").items()}


def main(files: list[str]) -> list[dict[str, Any]]:
    """What is lost of each object on its way through its type and back.

    Raises:
        ValueError: a field that has to be there is not.
    """
    from kubernetes.client import ApiClient

    models = load_types()

    class Client(ApiClient):  # type: ignore[misc]  # untyped
        """Knows KServe's types beside Kubernetes's."""

        def _ApiClient__deserialize(self, data: Any, klass: Any) -> Any:
            if isinstance(klass, str):
                klass = getattr(models, klass, klass)
            return super()._ApiClient__deserialize(data, klass)

    found, client = [], Client()
    for file in files:
        for one in yaml.safe_load_all(Path(file).read_text("utf-8")):
            version = one["apiVersion"].rpartition("/")[2]
            kind = getattr(models, f"{version[0].upper()}{version[1:]}{one['kind']}")
            read = client._ApiClient__deserialize(one, kind)
            kept = paths(client.sanitize_for_serialization(read))
            lost = [path for path, leaf in paths(one).items() if kept.get(path) != leaf]
            found.append({"kind": one["kind"], "name": one["metadata"]["name"], "lost": lost})
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))
