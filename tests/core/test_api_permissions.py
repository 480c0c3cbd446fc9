"""The methods about permissions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio.testing
from attrs import evolve

from agentd.core.api import Caller
from agentd.core.permit import Policy, of_lists
from agentwire.errors import InvalidParams, NotFound, ToolError
from agentwire.types import Access
from tests.core.test_projects import give
from tests.fakes.house import SETTINGS, House, open_house
from tests.fakes.models import waiting_model
from tests.fakes.tools import FakeTools, spec

CONFIGURED = evolve(
    SETTINGS,
    policy=Policy(
        rules=of_lists(["shell(deploy *)"], deny=["shell(rm *)"], scope="configuration", source="config.toml"), walled=True
    ),
)


def shell(_name: str, arguments: Mapping[str, Any]) -> list[Access]:
    if "command" not in arguments:
        raise ToolError("arguments.command is missing")
    return [Access(kind="command", words=tuple(arguments["command"].split()))]


def tools() -> FakeTools:
    return FakeTools([spec("shell", policy="ask", command={"type": "string"})], wants=shell)


async def explain(house: House, command: str, **context: Any) -> tuple[str, str, str]:
    told = await house.ask("permission/explain", name="shell", arguments={"command": command}, **context)
    return told["verdict"], told["rule"], told["source"]


async def rules(house: House, **context: Any) -> list[str]:
    listed = await house.ask("permission/list", **context)
    return [f"{one['scope']}: {one['verdict']} {one['rule']}" for one in listed["rules"] if one["scope"] != "built-in"]


async def test_the_rule_that_decides_is_named(autojump_clock: trio.testing.MockClock) -> None:
    """As it stands, with where it is from; where none does the mode decides, and what would allow it is said."""
    async with open_house(waiting_model(), tools(), settings=CONFIGURED) as house:
        assert await explain(house, "deploy a") == ("allow", "shell(deploy *)", "config.toml")
        assert await explain(house, "/bin/rm a") == ("deny", "shell(rm *)", "config.toml")
        assert await explain(house, "git status") == ("allow", "shell(git status *)", "built-in")
        told = await house.ask("permission/explain", name="shell", arguments={"command": "fly"})
        assert (told["verdict"], told["rule"], told["proposes"]) == ("ask", "", ["shell(fly)"])
        assert told["accesses"] == [{"kind": "command", "target": "", "words": ["fly"]}] and "without network" in told["sandbox"]


async def test_only_calls_that_could_be_are_explained(autojump_clock: trio.testing.MockClock) -> None:
    """The tool must be there and take the arguments."""
    async with open_house(waiting_model(), tools()) as house:
        with pytest.raises(NotFound, match="no tool called fly"):
            await house.ask("permission/explain", name="fly")
        with pytest.raises(InvalidParams, match="command is missing"):
            await house.ask("permission/explain", name="shell")


async def test_rules_of_the_user_and_of_a_session(autojump_clock: trio.testing.MockClock) -> None:
    """Both are listed, the strongest first; a session's are seen from it alone, a user's by nobody else."""
    async with open_house(waiting_model(), tools(), settings=CONFIGURED) as house:
        live = await house.create()
        session = live.state.id
        await house.ask("permission/add", rule=" shell(fly *) ", verdict="allow")
        await house.ask("permission/add", rule="shell(fly home)", verdict="ask", session=session)
        common = ["configuration: deny shell(rm *)", "user: allow shell(fly *)", "configuration: allow shell(deploy *)"]
        assert await rules(house) == common
        assert await rules(house, session=session) == [common[0], "session: ask shell(fly home)", *common[1:]]
        assert await explain(house, "fly home") == ("allow", "shell(fly *)", "your rules")
        assert await explain(house, "fly home", session=session) == ("ask", "shell(fly home)", "this session")
        other = await house.api.dispatch(Caller(user="eve", admin=False), "permission/list", {})
        assert {one.scope for one in other.rules} == {"built-in", "configuration"}


async def test_built_in_rules_are_those_of_the_mode(autojump_clock: trio.testing.MockClock) -> None:
    """Fewer in plan, more in accept-edits."""
    async with open_house(waiting_model(), tools()) as house:
        live = await house.create()
        found = []
        for mode in ("plan", "default", "accept-edits"):
            await house.ask("session/set", session=live.state.id, preferences={"mode": mode})
            listed = await house.ask("permission/list", session=live.state.id)
            assert listed["mode"] == mode
            found.append({rule["rule"] for rule in listed["rules"]})
        assert found[0] < found[1] < found[2]
        assert "shell(make *)" in found[1] - found[0] and "shell(rm *)" in found[2] - found[1]


async def test_a_rule_is_removed_as_it_stands(autojump_clock: trio.testing.MockClock) -> None:
    """What is not there, or is somebody else's to change, is said to be so."""
    async with open_house(waiting_model(), tools(), settings=CONFIGURED) as house:
        live = await house.create()
        for context in ({}, {"session": live.state.id}):
            await house.ask("permission/add", rule="shell(fly)", verdict="allow", **context)
            with pytest.raises(NotFound):
                await house.ask("permission/remove", rule="shell(fly)", verdict="deny", **context)
            await house.ask("permission/remove", rule="shell(fly)", verdict="allow", **context)
        assert live.state.rules == []
        with pytest.raises(NotFound, match="configuration file"):
            await house.ask("permission/remove", rule="shell(rm *)", verdict="deny")


@pytest.mark.parametrize(
    "rule", ["shell(", "shell()", "shell( )", "a b", "shell(echo 'x)", "fetch(x.org)", "read(~x/y)", "shell(network:)"]
)
async def test_what_is_no_rule_is_refused(autojump_clock: trio.testing.MockClock, rule: str) -> None:
    """With what is wrong about it."""
    async with open_house(waiting_model(), tools()) as house:
        with pytest.raises(InvalidParams, match=r"params\.rule"):
            await house.ask("permission/add", rule=rule, verdict="allow")


async def test_a_project_counts_when_it_is_trusted(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """Until its file changes. What it denies counts without trust."""
    path = give(tmp_path, '[permissions]\nallow = ["shell(fly *)"]\ndeny = ["shell(sink *)"]\n')
    here = {"cwd": str(tmp_path)}
    async with open_house(waiting_model(), tools()) as house:
        assert (await house.ask("permission/list", **here))["untrusted"] == path
        assert await explain(house, "sink x", **here) == ("deny", "shell(sink *)", path)
        assert (await explain(house, "fly x", **here))[0] == "ask"
        trusted = await house.ask("permission/trust", **here)
        assert [rule["rule"] for rule in trusted["rules"]] == ["shell(sink *)", "shell(fly *)"]
        assert await explain(house, "fly x", **here) == ("allow", "shell(fly *)", path)
        assert (await house.ask("permission/list", **here))["untrusted"] == ""
        live = await house.create(cwd=str(tmp_path))
        assert (await explain(house, "fly x", session=live.state.id))[0] == "allow"
        give(tmp_path, '[permissions]\nallow = ["shell(*)"]\n')
        assert (await explain(house, "fly x", **here))[0] == "ask"
        await house.ask("permission/trust", **here)
        assert (await explain(house, "fly x", **here))[0] == "allow"
        assert (await house.ask("permission/trust", **here, trusted=False))["sha256"] == ""
        assert (await explain(house, "fly x", **here))[0] == "ask"


async def test_there_may_be_nothing_to_trust(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """No file, no trust."""
    (tmp_path / ".git").mkdir()
    async with open_house(waiting_model(), tools()) as house:
        with pytest.raises(NotFound, match=r"config\.toml"):
            await house.ask("permission/trust", cwd=str(tmp_path))
        assert (await house.ask("permission/list", cwd=str(tmp_path)))["untrusted"] == ""
