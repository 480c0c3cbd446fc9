"""Eight clients write to a few sessions as fast as they can: what is acknowledged is in the log once, in its client's order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest
import trio

from agentwire.errors import Overloaded
from tests.fakes.history import at_rest
from tests.fakes.real import Daemon, Home, Models, Peer, rule, say
from tests.fakes.verdict import judge
from tests.fakes.witness import Witness

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

CLIENTS, WRITES, SESSIONS = 8, 100, 3


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    slow = rule("slow", {"verb": "tokens", "count": 100, "delay": 0.02})
    with Home() as home, Models([slow, rule("", say("ok"))]) as models:
        yield home.start(models)


async def write(daemon: Daemon, witness: Witness, name: str, sessions: list[str], *, at_once: int) -> int:
    """A hundred writes, so many on their way at a time; what is refused as `overloaded` is tried again: returns how often."""
    random, refused = Random(name), 0
    async with daemon.connect(witness) as peer:
        left = [f"{name} {number}" for number in range(WRITES)]
        while left:
            batch, left = left[:at_once], left[at_once:]
            asked = [(text, await _ask(peer, random.choice(sessions), text)) for text in batch]
            for text, number in asked:
                try:
                    await peer.answer(number)
                except Overloaded:
                    refused += 1
                    left.append(text)
                    await trio.sleep(0.02)
    return refused


async def _ask(peer: Peer, session: str, text: str) -> int:
    if text.endswith(("0", "5")):
        return await peer.ask("session/rename", session=session, title=text)
    key = text if text.endswith(("1", "2", "3")) else ""
    return await peer.ask("session/prompt", session=session, parts=[{"kind": "text", "text": text}], key=key)


async def test_eight_clients_of_a_hundred_writes_each(daemon: Daemon) -> None:
    """Half of them wait for each answer, half send ten at once; a full queue refuses, and what was refused is not in the log."""
    witnesses = [Witness() for _ in range(CLIENTS + 1)]
    refused: list[int] = []
    async with daemon.connect(witnesses[-1]) as peer:
        sessions = [(await peer.call("session/create", cwd="/"))["id"] for _ in range(SESSIONS)]
        for session in sessions:
            await peer.prompt(session, "slow")  # so that everything else must wait, and the queues fill

        async def client(number: int) -> None:
            refused.append(await write(daemon, witnesses[number], f"client {number}:", sessions, at_once=1 if number % 2 else 10))

        async with trio.open_nursery() as nursery:
            for number in range(CLIENTS):
                nursery.start_soon(client, number)
        assert sum(refused) > 0
        for session in sessions:
            await _rest(peer, session)
        logs = await judge(peer, witnesses, daemon.home.path / "effects")
    for log in logs.values():
        at_rest(log)
    prompts = Counter(
        event["data"]["parts"][0]["text"] for log in logs.values() for event in log if event["kind"] == "input_accepted"
    )
    titles = Counter(event["data"]["title"] for log in logs.values() for event in log if event["kind"] == "session_renamed")
    assert prompts.pop("slow") == SESSIONS
    assert prompts + titles == Counter(f"client {number}: {write}" for number in range(CLIENTS) for write in range(WRITES))
    assert "_bug" not in daemon.home.log


async def _rest(peer: Peer, session: str) -> None:
    while (view := (await peer.call("session/watch", session=session))["view"])["turn"] or view["queue"]:
        await peer.until("turn_finished")
    await peer.call("session/unwatch", session=session)
