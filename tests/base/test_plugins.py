"""What packages bring by entry points: found without an import, loaded when named, and refused."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dimec.base import plugins
from dimec.base.errors import ConfigError, DataError
from dimec.base.plugins import Plugin, PluginWarning, Registered, installed, loaded, named, names
from dimec.contract.losses import Losses
from dimec.contract.registry import contract_test
from dimec.data import load_task
from dimec.policies.kinds import kind_of
from dimec.policies.registry import find_system, system, systems
from support.installing import beside, write_package
from support.tiny import dimec

Write = Callable[..., Path]
TABLE = 'rows = lambda: {"text": ["a", "b"], "label": ["x", "y"]}\n'
SYSTEM = """
from dimec.policies import System, register
from dimec.policies.literature import lee
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Puts a package on the path; after the test nothing of it is left."""
    before, objects = set(sys.modules), dict(plugins._objects)
    monkeypatch.setattr(plugins, "_failures", {})

    def put(name: str, group: str, point: str, text: str = "", module: str = "") -> Path:
        file = f"{module or name}.py"
        write_package(tmp_path, name, {file: text}, f"[dimec.{group}]\n{point}\n")
        monkeypatch.syspath_prepend(tmp_path)
        installed.cache_clear()
        return tmp_path

    yield put
    for one in installed():
        for table in plugins._tables:
            table.forget(one)
    plugins._objects.clear()
    plugins._objects.update(objects)
    for module in set(sys.modules) - before:
        if str(getattr(sys.modules[module], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[module]
    installed.cache_clear()


def test_to_find_one_imports_nothing(write: Write) -> None:
    write("extra", "tasks", "rows = extra:rows", "raise RuntimeError('imported')")
    (one,) = installed()
    assert one == Plugin("tasks", "rows", "extra:rows", "extra", "1.0")
    assert one.told == "extra 1.0"
    assert names("tasks") == ("rows",)
    assert names("tasks", own=("rows",)) == names("bounds") == ()
    assert named("tasks", "other") is None
    assert "extra" not in sys.modules


def test_one_that_cannot_be_loaded_names_its_package_each_time(write: Write) -> None:
    write("extra", "tasks", "rows = extra:rows", "import nowhere_to_be_found")
    for _ in range(2):
        with pytest.raises(
            ConfigError, match=r"'rows' \(extra:rows\) of the package extra 1.0 .*M"
        ):
            load_task("rows")


def test_of_two_packages_with_one_name_neither_is_taken(write: Write) -> None:
    write("extra", "tasks", "rows = extra:rows", TABLE)
    write("other", "tasks", "rows = other:rows", TABLE)
    assert names("tasks") == ()
    with pytest.raises(ConfigError, match=r"claimed by extra 1.0 and other 1.0; uninstall one"):
        load_task("rows")


def test_a_name_of_dimecs_own_stays_dimecs(write: Write) -> None:
    write("extra", "bounds", "exact = extra:bound", "bound = 1")
    assert contract_test("exact").title == "exact unconditional"
    (one,) = installed()
    assert plugins.problem_of(one, {"bounds": ("exact",)}) == "the name is dimec's own"


def test_a_task_has_its_name_and_its_rows(write: Write) -> None:
    write("extra", "tasks", "rows = extra:rows", TABLE)
    dataset = load_task("rows")
    assert (dataset.task, dataset.texts) == ("rows", ("a", "b"))
    with pytest.raises(ConfigError, match="text_column does not go with the task 'rows'"):
        load_task("rows", text_column="text")
    with pytest.raises(ConfigError, match="did you mean 'rows'"):
        load_task("row")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("rows = 3", ConfigError, "expected a function without arguments at extra:rows"),
        ("rows = lambda: 3", DataError, "task 'rows' of the package extra 1.0 gives no rows"),
        ("def rows(): raise KeyError('x')", DataError, "no rows: KeyError: 'x'.*its authors"),
        ("other = 3", ConfigError, "AttributeError"),
    ],
)
def test_a_task_that_gives_no_rows(
    write: Write, text: str, error: type[Exception], message: str
) -> None:
    write("extra", "tasks", "rows = extra:rows", text)
    with pytest.raises(error, match=message):
        load_task("rows")


BOUND = """
from dimec.contract.registry import ContractTest
bound = ContractTest("{name}", "a bound", lambda losses, delta: {p}, lambda losses, alpha: {upper})
"""


def terms_of(name: str, losses: Losses) -> tuple[float, float]:
    """A test's p-value and its bound."""
    test = contract_test(name)
    return test.p_value(losses, 0.1), test.upper(losses, 0.05)


@pytest.mark.parametrize(
    ("name", "p", "upper", "message"),
    [
        ("mine", "-0.1", "0.1", "gives the p-value -0.1; expected a number from 0 to 1"),
        ("mine", "float('nan')", "0.1", "gives the p-value nan"),
        ("mine", "0.5", "7", "gives the upper bound 7; expected a number from -1 to 1"),
        ("another", "0.5", "0.1", "expected a dimec.contract.registry.ContractTest of that name"),
    ],
)
def test_nothing_is_promised_by_a_bound_that_is_none(
    write: Write, name: str, p: str, upper: str, message: str
) -> None:
    write("extra", "bounds", "mine = extra:bound", BOUND.format(name=name, p=p, upper=upper))
    losses = Losses.of_right([1, 1, 0], [1, 1, 1])
    with pytest.raises(ConfigError, match=message):
        terms_of("mine", losses)


def test_a_broken_package_is_in_nobodys_way(write: Write) -> None:
    """What does not ask for it works; a list of all leaves it out, and says so once."""
    write("extra", "policies", "mine = extra", f"{SYSTEM}register(System('mine', '', dict))\n1 / 0")
    assert system("pabee").name == "pabee"
    assert callable(kind_of("cascade"))
    with pytest.warns(PluginWarning, match=r"left out: .*'mine' \(extra\) .*ZeroDivisionError"):
        known = systems()
    assert "mine" not in known  # though it was registered, before the package failed
    with pytest.raises(ConfigError, match=r"package extra 1.0 cannot be loaded: ZeroDivisionError"):
        find_system("mine")


def test_a_package_cannot_take_a_name_of_another(write: Write) -> None:
    write("extra", "policies", "mine = extra", f"{SYSTEM}register(System('mine', '', dict))")
    write("other", "policies", "its = other", f"{SYSTEM}register(System('mine', '', dict))")
    assert system("mine").name == "mine"
    with pytest.raises(ConfigError, match=r"'mine' is registered already by extra 1.0"):
        find_system("its")


def test_a_router_that_is_none_is_refused(write: Write) -> None:
    write("extra", "routers", "mine = extra:Router", "class Router: pass")
    with pytest.raises(
        ConfigError, match=r"expected a class of routers .* Router has no fitted, of"
    ):
        find_system("mine")


def test_dimecs_own_takes_its_name_back() -> None:
    """Where the package was loaded before the module of dimec's that has the name."""
    table: Registered[int] = Registered("a thing")
    theirs = Plugin("policies", "x", "extra", "extra", "1.0")
    try:
        table.add("name", 1, theirs)
        table.add("other", 2, theirs)
        with pytest.warns(PluginWarning, match="extra 1.0 names a thing 'name', a name of dimec's"):
            table.add("name", 3)
        assert table.things == {"name": 3}
        assert table.owner("name") is None
        with pytest.raises(ConfigError, match=r"a thing named 'name' is registered already$"):
            table.add("name", 4, theirs)
        with pytest.raises(ConfigError, match=r"package extra 1.0 cannot be loaded: a thing named"):
            loaded(theirs)
    finally:
        plugins._tables.remove(table)
        plugins._failures.pop(theirs, None)


def test_the_list_tells_what_is_wrong(tmp_path: Path) -> None:
    write_package(tmp_path, "extra", {"extra.py": "1 / 0"}, "[dimec.routers]\nmine = extra:R\n")
    write_package(tmp_path, "other", {"other.py": TABLE}, "[dimec.tasks]\nrows = other:rows\n")
    path = beside(tmp_path)
    said = dimec("plugins", PYTHONPATH=path)
    assert (said.code, "extra 1.0" in said.out, "other 1.0" in said.out) == (0, True, True)
    checked = dimec("plugins", "--check", PYTHONPATH=path)
    assert checked.code == 2
    assert "ZeroDivisionError" in checked.out
    assert checked.err.strip() == "dimec: 1 of 2 cannot be used: mine"
    helped = dimec("--help", PYTHONPATH=path)
    assert (helped.code, helped.err) == (0, "")
