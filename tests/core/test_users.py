"""What holds for all sessions of a user is in the user's stream, and nowhere else."""

from __future__ import annotations

import trio
import trio.testing

from agentd.core.users import Users, UserState, stream_of
from agentd.ports import NewEvent
from agentwire import events as ev
from agentwire.types import Rule
from tests.fakes.house import House, open_house
from tests.fakes.models import waiting_model


def rule(text: str, verdict: str = "allow") -> Rule:
    return Rule(rule=text, verdict=verdict, scope="user", source="your rules")  # type: ignore[arg-type]


async def say(house: House, *bodies: object) -> None:
    await house.store.append([NewEvent(stream_of("local"), "local", body) for body in bodies])


async def test_rules_come_and_go(autojump_clock: trio.testing.MockClock) -> None:
    """A rule is there once, whatever else is in the stream; what is loaded before and after is the same."""
    async with open_house(waiting_model()) as house:
        users = house.core.users
        early = await users.load("local")
        await say(house, ev.RuleAdded(rule="look", verdict="allow"), ev.RuleAdded(rule="look", verdict="allow"))
        await say(house, ev.RuleAdded(rule="read", verdict="deny"), ev.SessionDeleted(session="x"))
        await say(house, ev.RuleRemoved(rule="look", verdict="allow"), ev.RuleRemoved(rule="none", verdict="ask"))
        assert early.rules == [rule("read", "deny")]
        assert await Users(house.store).load("local") == early == users["local"]


async def test_trust_is_about_a_content(autojump_clock: trio.testing.MockClock) -> None:
    """The newest word about a file counts."""
    state = UserState("local")
    async with open_house(waiting_model()) as house:
        await say(house, ev.ProjectTrusted(path="/a", sha256="1"), ev.ProjectTrusted(path="/b", sha256="1"))
        await say(house, ev.ProjectTrusted(path="/a", sha256="2"), ev.ProjectTrusted(path="/b", sha256=""))
        state = await house.core.users.load("local")
        assert state.trusted == {"/a": "2"}


async def test_many_events_leave_a_snapshot(autojump_clock: trio.testing.MockClock) -> None:
    """Who has done much is read from there, with what came since."""
    async with open_house(waiting_model()) as house:
        await say(house, ev.RuleAdded(rule="look", verdict="allow"), *[ev.SessionDeleted(session="x")] * 600)
        await Users(house.store).load("local")
        reads: list[int] = []
        real = house.store.read

        async def read(stream: str, *, after: int, limit: int) -> object:
            reads.append(after)
            return await real(stream, after=after, limit=limit)

        await say(house, ev.RuleAdded(rule="read", verdict="deny"))
        house.store.read = read  # type: ignore[method-assign, assignment]
        state = await Users(house.store).load("local")
        assert state.rules == [rule("look"), rule("read", "deny")]
        assert reads == [601, 602]


async def test_what_commits_meanwhile_is_not_lost(autojump_clock: trio.testing.MockClock) -> None:
    """An event that commits while the stream is being read is applied once, wherever the reading was."""
    async with open_house(waiting_model()) as house:
        users, real = house.core.users, house.store.read

        async def read(stream: str, *, after: int, limit: int) -> object:
            page = await real(stream, after=after, limit=limit)
            if after < 2:
                await say(house, ev.RuleAdded(rule=f"r{after}", verdict="allow"))
            return page

        await say(house, ev.RuleAdded(rule="look", verdict="allow"))
        house.store.read = read  # type: ignore[method-assign, assignment]
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(users.load, "local")
        assert [one.rule for one in users["local"].rules] == ["look", "r0", "r1"]
