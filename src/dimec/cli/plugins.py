"""``dimec plugins``: what other packages bring, and whether it can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dimec.base.errors import ConfigError
from dimec.cli.common import AsJson, print_json, show_columns

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from dimec.base.plugins import Plugin

_USED_BY = {
    "policies": "fit --policy {}",
    "routers": "fit --policy {}",
    "tasks": "train --task {}",
    "bounds": "fit --max-accuracy-drop 1 --bound {}",
    "trackers": "train --track {}",
}


def plugins(
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Import each, and say what is wrong; exit code 2 where one is."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List what other packages bring: policies, routers, tasks, bounds and trackers.

    A package brings them by entry points; examples/template/ of a checkout is one to start from.
    Without --check nothing of a package is imported.

    Example:

        dimec plugins --check
    """
    from dimec.base.plugins import installed, problem_of
    from dimec.report.blocks import Column

    own = _own_names()
    found = installed()
    wrong = {one: problem_of(one, own) or (_failure(one) if check else "") for one in found}
    if as_json:
        print_json({"plugins": [_told(one, wrong[one]) for one in found]})
    elif not found:
        print("no other package brings anything; examples/template/ is one to start from")
    else:
        show_columns(
            Column("what", [one.group for one in found]),
            Column("name", [one.name for one in found], words=True),
            Column("package", [one.told for one in found], words=True),
            Column("used by", [_USED_BY[one.group].format(one.name) for one in found], words=True),
            Column(
                "state", [wrong[one] or ("loads" if check else "") for one in found], words=True
            ),
            title=f"{len(found)} plug-ins",
        )
    if check and any(wrong.values()):
        broken = [one.name for one in found if wrong[one]]
        raise ConfigError(f"{len(broken)} of {len(found)} cannot be used: {', '.join(broken)}")


def _told(one: Plugin, problem: str) -> dict[str, str]:
    names = ("group", "name", "value", "package", "version")
    return {**{name: getattr(one, name) for name in names}, "problem": problem}


def _own_names() -> Mapping[str, Collection[str]]:
    """dimec's own names by group; a router is asked for as a policy is."""
    from dimec.cli.command import SERVABLE
    from dimec.contract.registry import TESTS
    from dimec.data.tasks import TASK_NAMES
    from dimec.policies.kinds import own_kinds
    from dimec.runs.trackers import TRACKERS

    policies = {*SERVABLE, *own_kinds(), "dimec"}
    return {
        "policies": policies,
        "routers": policies,
        "tasks": TASK_NAMES,
        "bounds": TESTS,
        "trackers": TRACKERS,
    }


def _failure(one: Plugin) -> str:
    """What goes wrong when it is loaded and taken up; empty where nothing does."""
    from dimec.base.plugins import loaded
    from dimec.contract.registry import contract_test
    from dimec.data.tasks import plugged_task
    from dimec.policies.kinds import load_plugin

    try:
        loaded(one)
        if one.group in ("policies", "routers"):
            load_plugin(one.name)
        elif one.group == "bounds":
            contract_test(one.name)
        elif one.group == "tasks" and plugged_task(one.name) is None:
            return "the name is that of a file; a task's has no ending and no colon"
    except ConfigError as error:
        return str(error)
    return ""
