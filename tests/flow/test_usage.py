"""The real daemon and a model server that reports what it uses: sums that no restart or kill makes wrong, and budgets that hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apsw
import pytest

from tests.client.cli import agentctl
from tests.fakes.real import Home, Models, Peer, call, eventually, rule, say

CONFIG = """
[parameters."openai/scripted-1"]
price_input = 1.0
price_output = 10.0
price_cached = 0.1
"""
TOOLS = """
from agentd.tool import tool

@tool(policy="allow")
def look() -> str:
    "Looks."
    return "seen"
"""
USED = {"input": 1000, "output": 100, "cached": 500, "reasoning": 0}
COST = 0.00155


def reply(match: str, *steps: dict[str, Any], usage: dict[str, int] | None = USED, **fields: Any) -> dict[str, Any]:
    return {**rule(match, *steps, **fields), "reply": {"steps": list(steps), "usage": usage}}


RULES = [
    reply("hang", say("Half a "), {"verb": "hang"}),
    reply("tool", call("look"), after_tools=0, usage={**USED, "input": 900_000, "output": 5000}),
    reply("", say("Hello.")),
]


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    with Models(RULES) as models:
        yield models


@pytest.fixture
def home() -> Iterator[Home]:
    with Home() as home:
        home.write("config/config.toml", CONFIG)
        home.write("config/tools/look.py", TOOLS)
        yield home


async def turn(peer: Peer, session: str, text: str = "hello", **params: Any) -> dict[str, Any]:
    """One turn, to its end."""
    await peer.prompt(session, text, **params)
    end: dict[str, Any] = (await peer.until("turn_finished"))["data"]
    return end


def saved_drafts(home: Home) -> int:
    database = apsw.Connection(str(home.data / "agentd.db"), flags=apsw.SQLITE_OPEN_READONLY)
    count: int = database.execute("SELECT count(*) FROM draft").get
    database.close()
    return count


async def sums(peer: Peer, **params: Any) -> dict[str, tuple[int, float]]:
    rows = (await peer.call("usage/get", **params))["rows"]
    return {row["key"]: (row["requests"], row["cost"]) for row in rows}


async def test_sums_survive_restarts_and_deletions(home: Home, models: Models) -> None:
    """What the host reported, at the price that is configured; of a session that is gone the day still knows."""
    daemon = home.start(models)
    async with daemon.connect() as peer:
        first, second = await peer.create(), await peer.create()
        end = await turn(peer, first)
        assert (end["usage"], end["cost"]) == (USED | {"written": 0}, COST)
        await turn(peer, first)
        await turn(peer, second)
        assert await sums(peer, by="session") == {first: (2, 2 * COST), second: (1, COST)}
        days = await sums(peer)
    assert await daemon.stop() == 0
    daemon = home.start(models)
    async with daemon.connect() as peer:
        assert await sums(peer) == days and [count for count, _ in days.values()] == [3]
        await peer.call("session/delete", session=first)
        assert await sums(peer) == days and await sums(peer, by="session") == {"": (2, 2 * COST), second: (1, COST)}
        assert (await peer.call("store/check", full=True))["problems"] == []
    assert await daemon.stop() == 0
    daemon = home.start(models)
    async with daemon.connect() as peer:
        assert await sums(peer) == days


async def test_a_reply_that_a_kill_cut_off_will_be_paid_for(home: Home, models: Models) -> None:
    """Its draft is there after the restart, with an estimate; sums are those of the log, and the check finds nothing."""
    daemon = home.start(models)
    async with daemon.connect() as peer:
        session = await peer.create()
        await turn(peer, session)
        await peer.prompt(session, "hang")
        await peer.until("delta")
        await eventually(lambda: saved_drafts(home) > 0, "a saved draft")
    daemon.kill()
    daemon = home.start(models)
    async with daemon.connect() as peer:
        await peer.call("session/watch", session=session, after=0)
        await peer.until("turn_finished", turn=2)
        messages = [event["data"] for event in await peer.log(session) if event["kind"] == "assistant_message"]
        whole, half, rest = messages
        assert not whole["estimated"] and half["estimated"] and half["stop"] == "interrupted" and not rest["estimated"]
        assert half["model"] == "openai/scripted-1" and half["usage"]["input"] > 0 and half["cost"] > 0
        total = (await peer.call("usage/get", by="turn", session=session))["total"]
        assert (total["requests"], total["estimated"]) == (3, 1)
        assert total["cost"] == pytest.approx(sum(message["cost"] for message in messages))
        assert (await peer.call("store/check", full=True))["problems"] == []


async def test_a_budget_ends_a_turn_before_its_second_request(home: Home, models: Models) -> None:
    """The host sees one; the message says what to raise; with a larger budget the session goes on, without a restart."""
    home.write("config/config.toml", f"{CONFIG}\n[budget]\nsession_cost = 0.951\n")
    daemon = home.start(models)
    async with daemon.connect() as peer:
        session = await peer.create()
        before = len(models.requests())
        end = await turn(peer, session, "tool")
        assert (end["outcome"], end["error"]["code"], end["steps"]) == ("failed", "budget_exceeded", 1)
        assert "session_cost" in end["error"]["message"] and len(models.requests()) == before + 1
        home.write("config/config.toml", f"{CONFIG}\n[budget]\nsession_cost = 5.0\n")
        assert "budget.session_cost" in (await peer.call("daemon/reload"))["changed"]
        assert (await turn(peer, session))["outcome"] == "done"
        (budget,) = (await peer.call("usage/get", session=session))["budgets"]
        assert (budget["scope"], budget["limit"], budget["reserved"]) == ("session", 5.0, 0) and 0.95 < budget["used"] < 0.96


async def test_two_sessions_share_a_day(home: Home, models: Models) -> None:
    """While one is answered the other has what is left; a cancel gives it back, less what was used."""
    home.write("config/config.toml", f"{CONFIG}\n[budget]\nday_tokens = 6000\n")
    daemon = home.start(models)
    async with daemon.connect() as peer:
        first, second = await peer.create(), await peer.create()
        await peer.prompt(first, "hang")
        await peer.until("delta")
        await peer.prompt(second, "hello")
        end = await peer.until("turn_finished")
        assert (end["stream"], end["data"]["error"]["code"]) == (second, "budget_exceeded")
        assert "reserved for requests on their way" in end["data"]["error"]["message"]
        await peer.call("session/cancel", session=first)
        assert (await peer.until("turn_finished"))["data"]["outcome"] == "cancelled"
        assert (await turn(peer, second))["outcome"] == "done"
        (budget,) = (await peer.call("usage/get"))["budgets"]
        assert budget["reserved"] == 0 and budget["used"] < 6000


async def test_a_run_has_a_budget_of_its_own(home: Home, models: Models) -> None:
    """Exit 6 and the error in the document; where there is enough, its cost."""
    home.start(models)
    environ: Any = home.environ
    poor = agentctl(home.path, "run", "--max-budget", "0.0001", "--output-format", "json", "hello", **environ)
    assert poor.code == 6 and poor.document["error"]["code"] == "budget_exceeded" and "--max-budget" in poor.err
    rich = agentctl(home.path, "run", "--max-budget", "1", "--output-format", "json", "hello", **environ)
    assert (rich.code, rich.document["cost"], rich.document["usage"]) == (0, COST, USED | {"written": 0})
    assert agentctl(home.path, "usage", "--json", **environ).document["total"]["requests"] == 1
