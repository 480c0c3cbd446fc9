"""Answers that are remembered, and questions that rules answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio.testing
from attrs import evolve

from agentd.core.live import Live
from agentd.core.permit import Policy, of_lists
from agentwire.errors import InvalidParams
from agentwire.types import Access
from tests.fakes.house import SETTINGS, House, open_house
from tests.fakes.models import Ask, FakeModels, Say
from tests.fakes.tools import FakeTools, spec


def models(*commands: str) -> FakeModels:
    """It runs all of these at once, in each turn."""
    calls = [("shell", json.dumps({"command": command})) for command in commands]
    return FakeModels(lambda prompt: Say(["Fine."]) if prompt.messages[-1].role == "tool" else Ask(calls))


def shell(name: str, arguments: Mapping[str, Any]) -> list[Access]:
    words = tuple(arguments["command"].split())
    return [Access(kind="unclear", target="magic")] if words == ("magic",) else [Access(kind="command", words=words)]


def tools() -> FakeTools:
    return FakeTools([spec("shell", policy="ask", command={"type": "string"})], wants=shell)


async def asked(house: House, live: Live) -> None:
    await house.prompt(live, "go", interactive=True)
    await house.until(live, "awaiting_approval")


async def answer(house: House, live: Live, **said: Any) -> None:
    question = live.view.approvals[0]
    fields = {"call": question.call, "arguments_hash": question.arguments_hash, "decision": "allow", **said}
    await house.ask("approval/answer", session=live.state.id, **fields)


def answers(house: House, live: Live) -> list[tuple[str, str]]:
    return [
        (one.body.decision, one.body.by) for one in house.events if one.kind == "approval_answered" and one.stream == live.state.id
    ]


async def test_for_the_session(autojump_clock: trio.testing.MockClock) -> None:
    """What was shown is a rule of the session, in the same commit; the same call is not asked about again, another one is."""
    async with open_house(models("deploy a"), tools()) as house:
        live = await house.create()
        await asked(house, live)
        assert live.view.approvals[0].proposes == ("shell(deploy a)",)
        await answer(house, live, remember="session")
        await house.idle(live)
        assert [(one.rule, one.verdict) for one in live.state.rules] == [("shell(deploy a)", "allow")]
        kinds = house.kinds(live)
        assert kinds[kinds.index("approval_answered") + 1] == "rule_added"
        await house.prompt(live, "again", interactive=True)
        await house.idle(live)
        assert answers(house, live) == [("allow", "local")]
        other = await house.create()
        await asked(house, other)


async def test_for_always(autojump_clock: trio.testing.MockClock) -> None:
    """It holds in all sessions of the user, those that wait included, and after a restart."""
    async with open_house(models("deploy a"), tools()) as house:
        waiting, live = await house.create(), await house.create()
        await asked(house, waiting)
        await asked(house, live)
        await answer(house, live, remember="always")
        await house.idle(waiting)
        assert answers(house, waiting) == [("allow", "rule")]
        assert [rule.rule for rule in house.core.users["local"].rules] == ["shell(deploy a)"]
        assert live.state.rules == []


async def test_a_rule_answers_what_it_is_about(autojump_clock: trio.testing.MockClock) -> None:
    """Of two questions that wait the one that is settled; the other goes on waiting."""
    async with open_house(models("deploy a", "deploy b"), tools()) as house:
        live = await house.create()
        await asked(house, live)
        await house.ask("permission/add", rule="shell(deploy b)", verdict="deny", session=live.state.id)
        await trio.testing.wait_all_tasks_blocked()
        assert answers(house, live) == [("deny", "rule")]
        assert len(live.view.approvals) == 1
        await answer(house, live)
        await house.idle(live)
        (denied,) = [one.body for one in house.events if one.kind == "tool_finished" and one.body.outcome == "denied"]
        assert "not allowed any more" in denied.parts[0].text


async def test_a_mode_counts_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """Also for the question that is open."""
    async with open_house(models("deploy a"), tools()) as house:
        live = await house.create()
        await asked(house, live)
        await house.ask("session/set", session=live.state.id, preferences={"mode": "bypass"})
        await house.idle(live)
        assert answers(house, live) == [("allow", "rule")]


async def test_rules_may_change_while_nobody_is_there(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """A question that waits over a restart is looked at again by the rules of the new boot."""
    path = str(tmp_path / "db")
    async with open_house(models("deploy a"), tools(), path=path) as house:
        live = await house.create()
        await asked(house, live)
    settings = evolve(SETTINGS, policy=Policy(rules=of_lists(["shell(deploy *)"], scope="configuration")))
    async with open_house(models("deploy a"), tools(), path=path, settings=settings) as house:
        await house.recover()
        live = await house.sessions.open("local", live.state.id)
        await house.idle(live)
        assert answers(house, live) == [("allow", "rule")]


async def test_what_cannot_be_remembered(autojump_clock: trio.testing.MockClock) -> None:
    """No rule allows just what nobody understands, and a no is not remembered; the question stays open."""
    async with open_house(models("magic"), tools()) as house:
        live = await house.create()
        await asked(house, live)
        assert live.view.approvals[0].proposes == ()
        with pytest.raises(InvalidParams, match="no rule"):
            await answer(house, live, remember="always")
        with pytest.raises(InvalidParams, match="only what is allowed"):
            await answer(house, live, remember="always", decision="deny")
        await answer(house, live)
        await house.idle(live)
