"""Fitted policies as files, kinds by name, and kinds of other packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ArtefactError, ConfigError, CorruptArtefactError, MissingArtefactError
from dimec.base.storage import save_arrays
from dimec.policies import OraclePolicy, RouterPolicy
from dimec.policies.kinds import ARRAYS, POLICY, StoredPolicy, kind_of, register_kind
from dimec.policies.literature.lee import LEEPolicy
from dimec.routing import CentroidRouter
from support.builders import json_values, make_trace


def router_policy(name: str = "dimec", seed: int = 0) -> RouterPolicy:
    """Of three pools."""
    trace = make_trace(12, seed=seed)
    return RouterPolicy(name, CentroidRouter().fit(trace.embeddings, np.arange(12) % 3))


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """The folder of a policy with arrays."""
    StoredPolicy(router_policy(), {"lam": 0.02}).save(tmp_path)
    return tmp_path


def changed(folder: Path, **changes: Any) -> None:
    """Write other values into ``policy.json``; None takes one out."""
    path = folder / POLICY
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: one for key, one in content.items() if one is not None}))


def assert_refused(folder: Path, message: str) -> None:
    """In one line that says what to do."""
    with pytest.raises(CorruptArtefactError, match=message) as caught:
        StoredPolicy.load(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700
    assert str(folder) in str(caught.value)


def test_what_is_stored_comes_back(stored: Path) -> None:
    again = StoredPolicy.load(stored)
    assert again.fitted_on == {"lam": 0.02}
    assert isinstance(again.policy, RouterPolicy)
    assert again.policy.name == "dimec"
    for name, array in router_policy().arrays().items():
        np.testing.assert_array_equal(again.policy.arrays()[name], array)


def test_a_policy_without_arrays_leaves_none_of_an_earlier_one(stored: Path) -> None:
    StoredPolicy(LEEPolicy(weight=2.0, mu=0.01)).save(stored)
    assert [path.name for path in stored.iterdir()] == [POLICY]
    policy = StoredPolicy.load(stored).policy
    assert isinstance(policy, LEEPolicy)
    assert policy.settings() == {"weight": 2.0, "mu": 0.01, "c": 2**0.5}


def test_a_policy_of_no_kind_cannot_be_stored(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="oracle is of no registered kind"):
        StoredPolicy(OraclePolicy()).save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_there(tmp_path: Path) -> None:
    with pytest.raises(MissingArtefactError, match="dimec fit"):
        StoredPolicy.load(tmp_path)


def test_the_router_of_an_earlier_version(tmp_path: Path) -> None:
    (tmp_path / "router.safetensors").write_bytes(b"whatever it holds")
    with pytest.raises(MissingArtefactError, match="an earlier version of dimec; fit again"):
        StoredPolicy.load(tmp_path)


@pytest.mark.parametrize("length", [0, 1, 30])
def test_a_file_that_breaks_off(stored: Path, length: int) -> None:
    path = stored / POLICY
    path.write_bytes(path.read_bytes()[:length])
    assert_refused(stored, "dimec fit")


@pytest.mark.parametrize("text", ["[]", "null", "3", '"policy"', "{}", "[[1]]"])
def test_json_that_is_no_policy(stored: Path, text: str) -> None:
    (stored / POLICY).write_text(text)
    assert_refused(stored, "holds no policy .*; make it again: dimec fit")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "has the format 2, this version reads 1"),
        ({"format": "1"}, "has the format 1, this version"),
        ({"kind": "tier"}, "belongs to another policy"),
        ({"kind": "lee", "arrays": []}, "expected the settings weight, mu, c"),
        ({"name": "other"}, "belongs to another policy"),
        ({"arrays": ["counts"]}, "belongs to another policy"),
        ({"arrays": []}, "expected adaptive true or false, and the arrays"),
        ({"settings": {"adaptive": 1}}, "expected adaptive true or false"),
        ({"settings": {}}, "adaptive"),
        ({"settings": [["adaptive", False]]}, "expected settings by name"),
        ({"settings": None}, "settings"),
        ({"fitted_on": 3}, "TypeError"),
    ],
)
def test_contents_that_do_not_fit(stored: Path, changes: dict[str, Any], message: str) -> None:
    changed(stored, **changes)
    assert_refused(stored, message)


def test_settings_that_no_policy_has(tmp_path: Path) -> None:
    StoredPolicy(LEEPolicy()).save(tmp_path)
    settings = LEEPolicy().settings()
    for wrong in (-1.0, "much", None, [1.0], 10**400):
        changed(tmp_path, settings={**settings, "weight": wrong})
        assert_refused(tmp_path, "holds no policy")
    changed(tmp_path, settings=settings, name="le")
    assert_refused(tmp_path, "expected the name lee")


@given(json_values, st.sampled_from(["kind", "name", "settings", "arrays", "fitted_on", "format"]))
def test_any_json_in_any_place_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, value: Any, key: str
) -> None:
    folder = tmp_path_factory.mktemp("policy")
    StoredPolicy(LEEPolicy()).save(folder)
    changed(folder, **{key: value})
    said = ""
    try:
        assert isinstance(StoredPolicy.load(folder).policy, LEEPolicy)
    except ArtefactError as error:
        said = str(error)
    assert "\n" not in said


def test_arrays_that_are_missing(stored: Path) -> None:
    (stored / ARRAYS).unlink()
    with pytest.raises(MissingArtefactError, match=rf"{ARRAYS} does not exist.*dimec fit"):
        StoredPolicy.load(stored)


def test_arrays_that_break_off(stored: Path) -> None:
    path = stored / ARRAYS
    path.write_bytes(path.read_bytes()[:-8])
    assert_refused(stored, "truncated or not a policy file")


def test_arrays_that_were_altered(stored: Path) -> None:
    path = stored / ARRAYS
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert_refused(stored, "altered after it was written")


def test_arrays_of_another_policy(stored: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    StoredPolicy(router_policy("dimee", seed=1)).save(other)
    (stored / ARRAYS).write_bytes((other / ARRAYS).read_bytes())
    assert_refused(stored, f"{ARRAYS} belongs to another policy")


def test_arrays_that_no_router_has(stored: Path) -> None:
    arrays = {name: np.asarray(array) for name, array in router_policy().arrays().items()}
    metadata = {"kind": "centroid", "name": "dimec"}
    for changes in ({"counts": np.array([1, -1, 1])}, {"sums": np.full((3, 4), np.nan)}):
        save_arrays(stored / ARRAYS, "policy", {**arrays, **changes}, metadata)
        assert_refused(stored, "holds no policy .*DataError")


def test_an_unknown_kind(stored: Path) -> None:
    """Fitting again is no remedy here."""
    changed(stored, kind="nobody's")
    said = 'no kind of policies is named "nobody\'s"; there are centroid, tier, cascade, bert'
    assert_refused(stored, said)
    assert_refused(stored, "of another package needs that package installed$")
    with pytest.raises(ConfigError, match="no kind of policies"):
        kind_of("nobody's")


def test_a_kind_can_be_registered_once() -> None:
    with pytest.raises(ConfigError, match="'centroid' is registered already"):
        register_kind("centroid", lambda name, settings, arrays: router_policy())
    policy = kind_of("centroid")("dimec", {"adaptive": False}, router_policy().arrays())
    assert isinstance(policy, RouterPolicy)


# --- Kinds of other packages ---------------------------------------------------------------------

MODULE = '''
from dimec.policies import System, register
from dimec.policies.base import tier_outcome
from dimec.policies.kinds import FromSettings, register_kind
from dimec.policies.literature.early_exit import OneStep
from dimec.policies.step import Go

class Always(FromSettings):
    """Sends everything to one tier."""
    name, kind, stored = "always", "always", ("tier",)
    sees_labels, learns_online, replay_only = False, False, ""

    def __init__(self, tier):
        self.tier = tier

    def steps(self, site):
        return OneStep(Go(self.tier, site.deployment.exits[self.tier]))

register_kind("always", Always.made_of)
register(System("always", "a package of its own", Always, grid={"tier": (0, 1)}))
'''
STORED = {
    "format": 1,
    "kind": "always",
    "name": "always",
    "settings": {"tier": 1},
    "arrays": [],
    "fitted_on": {},
}
LOAD = """
import sys
from pathlib import Path
from dimec.base.errors import CorruptArtefactError
from dimec.policies.kinds import StoredPolicy
try:
    policy = StoredPolicy.load(Path(sys.argv[1])).policy
    from dimec.policies import system
    print(type(policy).__module__, policy.tier, system("always").source)
except CorruptArtefactError as error:
    print(error)
"""

Loader = Callable[[Mapping[str, str]], str]


@pytest.fixture
def load_beside(tmp_path: Path) -> Loader:
    """Loads a policy in a Python that finds these files beside its packages; what it says."""
    stored, site = tmp_path / "stored", tmp_path / "site"
    stored.mkdir()
    (stored / POLICY).write_text(json.dumps(STORED))

    def load(files: Mapping[str, str]) -> str:
        for name, text in files.items():
            path = site / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        paths = [str(site), *sys.path]
        done = subprocess.run(
            [sys.executable, "-c", LOAD, str(stored)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    return load


def distribution(value: str) -> dict[str, str]:
    """The files that make an installed package with an entry point of dimec's group."""
    return {
        "extra-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n",
        "extra-1.0.dist-info/entry_points.txt": f"[dimec.policies]\nalways = {value}\n",
    }


def test_the_kind_of_another_package(load_beside: Loader) -> None:
    """Its entry point is found without anybody importing it."""
    said = load_beside({"extra_policies.py": MODULE, **distribution("extra_policies")})
    assert said == "extra_policies 1 a package of its own"


def test_without_its_entry_point_it_is_not_found(load_beside: Loader) -> None:
    said = load_beside({"extra_policies.py": MODULE})
    assert "no kind of policies is named 'always'" in said


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two"),
        (MODULE.replace('"always", Always.made', '"lee", Always.made'), "ConfigError: a kind of"),
    ],
)
def test_a_package_that_cannot_be_loaded_is_named(
    load_beside: Loader, module: str, message: str
) -> None:
    said = load_beside({"extra_policies.py": module, **distribution("extra_policies")})
    assert "entry point 'always' (extra_policies) of the package extra 1.0 cannot be" in said
    assert message in said
    assert said.endswith("repair or uninstall it")
    assert len(said.splitlines()) == 1
