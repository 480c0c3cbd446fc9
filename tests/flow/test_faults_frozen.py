"""The real daemon, and a client of it, stopped (SIGSTOP) for longer than anybody waits, and then let go on (SIGCONT)."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
import trio

from tests.client.cli import end, start
from tests.fakes.history import at_rest, ends, outcomes, text_of
from tests.fakes.real import Daemon, Home, Models, Peer, call, eventually, rule

pytestmark = pytest.mark.slow

TOOLS = """
import os
from agentd.tool import tool

@tool(policy="allow")
def look(n: int) -> str:
    "Looks."
    return f"saw {n}"
"""
SLOWLY, FLOOD = 100, 4000
RULES = [
    rule("slowly", {"verb": "tokens", "count": SLOWLY, "delay": 0.02}, call("look", n=1), after_tools=0),
    rule("flood", {"verb": "tokens", "count": FLOOD, "delay": 0.001}),
    rule("", {"verb": "tokens", "count": 1, "delay": 0}),
]


def text(count: int) -> str:
    return "".join(f"w{number} " for number in range(count))


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    with Models(RULES) as models:
        yield models


async def freeze(daemon: Daemon, peer: Peer) -> None:
    """Stopped until a client has lost its patience, and the model's timeouts have passed; then it goes on."""
    daemon.signal(signal.SIGSTOP)
    with pytest.raises(trio.TooSlowError), trio.fail_after(1.5):
        await peer.call("daemon/status")
    daemon.signal(signal.SIGCONT)


async def test_daemon_that_stood_still_goes_on(models: Models) -> None:
    """In the middle of a reply and of a tool's turn: what arrived meanwhile counts, nobody is cut off, the text is whole."""
    with Home(AGENTD_TIMEOUTS_FIRST_EVENT="1", AGENTD_TIMEOUTS_BETWEEN_EVENTS="1", AGENTD_TIMEOUTS_CONNECT="1") as home:
        home.write("config/tools/tools.py", TOOLS)
        daemon = home.start(models)
        async with daemon.connect() as peer, daemon.connect() as other:
            session = await peer.create()
            await peer.prompt(session, "slowly")
            await peer.until("delta")
            await freeze(daemon, other)
            await peer.until("turn_finished", outcome="done")
            at_rest(log := await peer.log(session))
            assert text_of(log, 1) == text(SLOWLY) + text(1)
            assert list(outcomes(log).values()) == ["ok"]
        async with daemon.connect() as late:
            assert (await late.call("daemon/status"))["running"] == 0
        assert await daemon.stop() == 0
        assert "_bug" not in home.log


async def test_client_that_stood_still_shows_everything(models: Models) -> None:
    """`agentctl run` stopped while thousands of pieces come: the daemon holds a bounded part of them, and the turn goes on; let go,
    the client takes up what it missed and prints the reply once, whole."""
    with Home() as home:
        daemon = home.start(models)
        client = start(home.path, "run", "flood", HOME=str(home.path))
        async with daemon.connect() as peer:
            await eventually(lambda: bool(models.requests("flood")), "the request")
            (row,) = (await peer.call("session/list"))["sessions"]
            await peer.call("session/watch", session=row["id"], after=0)
            await peer.until("delta")
            client.send_signal(signal.SIGSTOP)
            await peer.until("turn_finished", outcome="done")
            assert ends(await peer.log(row["id"])) == {1: "done"}
            client.send_signal(signal.SIGCONT)
            answer = await trio.to_thread.run_sync(end, client)
        assert (answer.code, answer.out.strip()) == (0, text(FLOOD).strip()), answer.err
        assert await daemon.stop() == 0
