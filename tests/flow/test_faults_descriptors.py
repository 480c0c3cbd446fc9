"""The real daemon without descriptors: what needs one fails with words, everything else goes on, and it recovers by itself."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import pytest
import trio

from tests.fakes.history import at_rest, ends, outcomes
from tests.fakes.real import Daemon, Home, Models, Peer, call, eventually, rule, say

pytestmark = pytest.mark.slow

TOOLS = """
from agentd.tool import tool

@tool(policy="allow")
def look(n: int) -> str:
    "Looks."
    return f"saw {n}"
"""
RULES = [
    rule("look", call("look", n=1), call("look", n=2), after_tools=0),
    rule("endlessly", {"verb": "tokens", "count": 3000, "delay": 0.02}),
    rule("gently", {"verb": "tokens", "count": 60, "delay": 0.02}, call("look", n=1), after_tools=0),
    rule("", say("Well.")),
]


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    with Models(RULES) as models:
        yield models


@pytest.fixture
def home() -> Iterator[Home]:
    with Home(AGENTD_TURN_RESUME_GRACE="1") as home:
        home.write("config/tools/tools.py", TOOLS)
        yield home


def leave(daemon: Daemon, spare: int) -> None:
    """From now on the daemon may open so many descriptors more."""
    taken = {int(name) for name in os.listdir(f"/proc/{daemon.pid}/fd")}
    free = (number for number in count() if number not in taken)
    _, most = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (next(islice(free, spare, None)), most))


def relieve(daemon: Daemon) -> None:
    _, most = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (min(1024, most), most))


async def settled(peer: Peer, session: str, turn: int) -> list[dict[str, Any]]:
    """The log once this turn is over."""
    await peer.until("turn_finished", turn=turn)
    at_rest(log := await peer.log(session))
    return log


async def test_a_model_that_cannot_be_reached_fails_its_turn_with_the_reason(home: Home, models: Models) -> None:
    """A second connection is one too many: that turn says so and may be tried again; the first, status, lists and history go on."""
    daemon = home.start(models)
    async with daemon.connect() as peer, daemon.connect() as other:
        streaming, failing = await peer.create(), await other.create()
        await peer.prompt(streaming, "endlessly")
        await peer.until("delta")
        leave(daemon, 0)
        await other.prompt(failing, "hello")
        error = (await settled(other, failing, 1))[-1]["data"]["error"]
        assert error["retryable"]
        assert "open files" in error["message"]
        assert (await other.call("daemon/status"))["rss"] > 0
        assert len((await other.call("session/list"))["sessions"]) == 2
        await peer.until("delta")
        await other.call("session/cancel", session=streaming)
        assert ends(await settled(peer, streaming, 1)) == {1: "cancelled"}
        relieve(daemon)
        await other.prompt(failing, "and now?")
        assert ends(await settled(other, failing, 2)) == {1: "failed", 2: "done"}
    assert await daemon.stop() == 0
    assert "_bug" not in home.log


async def test_a_model_whose_library_cannot_be_loaded_is_loaded_later(home: Home, models: Models) -> None:
    """The first turn of a daemon that has no descriptor left for a single file: it fails with words, and the next is done."""
    daemon = home.start(models)
    async with daemon.connect() as peer:
        session = await peer.create()
        leave(daemon, 0)
        await peer.prompt(session, "hello")
        error = (await settled(peer, session, 1))[-1]["data"]["error"]
        assert error["code"] != "internal_error", error
        relieve(daemon)
        await peer.prompt(session, "and now?")
        assert ends(await settled(peer, session, 2)) == {1: "failed", 2: "done"}
    assert await daemon.stop() == 0
    assert "_bug" not in home.log


async def test_a_tool_that_cannot_be_started_says_so_to_the_model(home: Home, models: Models) -> None:
    """Exhausted in the middle of a turn: the call ends with an error, the turn with the model's answer to it; later calls work."""
    daemon = home.start(models)
    async with daemon.connect() as peer:
        session = await peer.create()
        await peer.prompt(session, "gently")
        await peer.until("delta")
        leave(daemon, 0)
        log = await settled(peer, session, 1)
        assert (list(outcomes(log).values()), ends(log)) == (["error"], {1: "done"})
        assert "Too many open files" in next(event for event in log if event["kind"] == "tool_finished")["data"]["parts"][0]["text"]
        relieve(daemon)
        await peer.prompt(session, "look")
        log = await settled(peer, session, 2)
        assert (list(outcomes(log).values()), ends(log)) == (["error", "ok", "ok"], {1: "done", 2: "done"})
    assert await daemon.stop() == 0
    assert "_bug" not in home.log


async def test_clients_that_find_no_room_are_served_when_there_is_some(home: Home, models: Models) -> None:
    """They wait in the kernel's queue while others come and go on; nobody is hung up on, and the loop does not spin."""
    daemon = home.start(models)
    async with daemon.connect() as peer:
        session = await peer.create()
        leave(daemon, 2)
        served = 0

        async def come() -> None:
            nonlocal served
            async with daemon.connect() as late:
                assert (await late.call("session/get", session=session))["id"] == session
                served += 1
                await enough.wait()

        enough = trio.Event()
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(come)
            await eventually(lambda: served == 2 and "accept_starved" in home.log)
            await peer.call("daemon/status")
            relieve(daemon)
            await eventually(lambda: served == 20)
            enough.set()
        await peer.prompt(session, "hello")
        await settled(peer, session, 1)
        assert home.log.count("accept_starved") <= 2
