"""The real daemon and fifty watchers of one session that come and go in the middle of its answers: all see the same."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
import trio

from tests.fakes.history import at_rest, texts
from tests.fakes.real import SEEDS, Daemon, Home, Models, Peer, call, rule, say
from tests.fakes.verdict import judge
from tests.fakes.watchers import END, HABITS, Audience, Reader, sleep
from tests.fakes.witness import Witness

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

TOOLS = """
import os
from agentd.tool import tool

@tool(policy="allow")
def note(text: str) -> str:
    "Once."
    with open(os.path.expanduser("~/effects"), "a") as file:
        file.write(os.environ["AGENTD_CALL_ID"] + "\\n")
    return "noted"

@tool(effect="read", policy="allow")
def look(n: int) -> str:
    "May be repeated."
    return f"saw {n}"
"""
STREAMED = {"verb": "tokens", "count": 200, "delay": 0.004}
RULES = [
    rule("play", STREAMED, call("note", text="first"), call("look", n=1), after_tools=0),
    rule("play", STREAMED, call("note", text="second"), after_tools=2),
    rule("play", STREAMED, after_tools=3),
    rule("torrent", say(("x" * 199 + " ") * 3000)),
]
WATCHERS, SLEEPERS, TORRENTS = 44, 6, 5


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    with Models(RULES) as models:
        yield models


@pytest.fixture
def daemon(models: Models) -> Iterator[Daemon]:
    with Home() as home:
        home.write("config/tools/tools.py", TOOLS)
        yield home.start(models)


async def busy(peer: Peer, session: str) -> bool:
    info = await peer.call("session/get", session=session)
    return bool(info["status"] != "idle" or info["queued"])


async def perform(peer: Peer, session: str, *words: str) -> None:
    """Prompt all of it and wait until the last turn is over."""
    for word in words:
        await peer.prompt(session, word)
    while await busy(peer, session):  # noqa: ASYNC110 - to be told, one would have to watch
        await trio.sleep(0.05)


@pytest.mark.parametrize("seed", SEEDS)
async def test_fifty_watchers_see_the_same(daemon: Daemon, seed: int) -> None:
    """They come late, leave early, hop, zap, fall asleep and are cut off as `lagged`: in the end each has the same history and
    text, every event once and in order, and the daemon holds nothing for anybody."""
    writer = Witness()
    async with daemon.connect(writer) as peer:
        session = (await peer.call("session/create", cwd="/"))["id"]
        audience = Audience(daemon, session, Random(seed))
        async with trio.open_nursery() as nursery:
            for number in range(WATCHERS):
                nursery.start_soon(audience.attend, HABITS[number % len(HABITS)])
            for _ in range(SLEEPERS):
                nursery.start_soon(audience.attend, sleep)
            await perform(peer, session, "play", "play again", *["torrent"] * TORRENTS)
            await audience.end(peer)
        log = (await judge(peer, [writer, *audience.witnesses], daemon.home.path / "effects", "note"))[session]
        at_rest(log)
        audience.agree(log)
        assert audience.lagged >= SLEEPERS
        status = await peer.call("daemon/status")
        assert (status["running"], status["clients"]) == (0, 1)
    assert "_bug" not in daemon.home.log


async def test_agentctl_killed_while_it_watches_goes_on_where_it_was(daemon: Daemon) -> None:
    """`session watch --json` killed at random and started again with --after: its lines together are the log, and show its text."""
    async with daemon.connect() as peer, trio.open_nursery() as nursery:
        session = (await peer.call("session/create", cwd="/"))["id"]
        readers = [Reader(daemon.home.environ, session, Random(seed)) for seed in range(4)]
        for reader in readers:
            nursery.start_soon(reader.read)
        await perform(peer, session, "play", "play again", "torrent")
        await peer.call("session/rename", session=session, title=END)
    async with daemon.connect() as peer:
        log = await peer.log(session)
    for reader in readers:
        assert reader.events == log
        assert reader.screen.shown == texts(log)
        assert reader.deaths > 1
