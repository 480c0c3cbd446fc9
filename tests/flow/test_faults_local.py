"""The embedded model's process dies or hangs under the real daemon: the turn recovers or says why not, and the session goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.history import Screen, ends, text_of, valid
from tests.fakes.real import Home, Peer, eventually

pytestmark = [pytest.mark.slow, pytest.mark.model, pytest.mark.timeout(180)]

STORY = "Tell me a very long story about a dog and a cat who travel around the whole world together."


@pytest.fixture
def home(weights: Path) -> Iterator[Home]:
    with Home(AGENTD_TIMEOUTS_BETWEEN_EVENTS="3") as home:
        models = home.data / "models"
        models.mkdir(parents=True, mode=0o700)
        for file in weights.iterdir():
            (models / file.name).symlink_to(file)
        yield home


def child(home: Home) -> int:
    """The pid of the model's process; 0 if there is none."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"llama" in line and str(home.path).encode() in line:
                return int(entry.name)
    return 0


async def some_words(peer: Peer) -> None:
    """Until the answer is well under way."""
    while (await peer.until("delta"))["data"]["parts"][-1]["offset"] < 60:
        pass


async def the_end(peer: Peer, session: str, screen: Screen) -> dict[str, Any]:
    """How the turn ended; what was shown of each reply must be what was kept of it."""
    while (event := await peer.event())["kind"] != "turn_finished":
        screen.take(event)
    log = await peer.log(session)
    valid(log)
    for message in (event["data"] for event in log if event["kind"] == "assistant_message"):
        shown = screen.shown.get((message["turn"], message["step"], 0))
        assert shown is None or shown == "".join(part["text"] for part in message["parts"])
    data: dict[str, Any] = event["data"]
    return data


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP])
async def test_the_model_s_process_fails_in_the_middle_of_an_answer(home: Home, number: signal.Signals) -> None:
    """Killed, crashed or hanging: what was shown is kept, the turn goes on or ends with one clear error, the next one works."""
    daemon = home.start()
    async with daemon.connect(prompting=True) as peer:
        session = (await peer.call("session/create", cwd="/"))["id"]
        await peer.call("session/watch", session=session)
        await peer.prompt(session, STORY)
        screen = Screen()
        while not screen.shown or len(next(iter(screen.shown.values()))) < 60:
            screen.take(await peer.event())
        first = child(home)
        os.kill(first, number)
        end = await the_end(peer, session, screen)
        assert end["outcome"] == "done" or (end["outcome"] == "failed" and end["error"]["code"] == "provider_down"), end
        assert len(text_of(await peer.log(session), 1)) >= 60
        await peer.prompt(session, "Say hello.")
        assert (await peer.until("turn_finished", turn=2))["data"]["outcome"] == "done"
        assert child(home) not in (0, first)
    assert await daemon.stop() == 0
    assert not child(home)


async def test_the_daemon_is_killed_in_the_middle_of_an_answer(home: Home) -> None:
    """Its model's process dies with it; the next daemon starts another one and the answer goes on by itself."""
    daemon = home.start()
    async with daemon.connect(prompting=True) as peer:
        session = await peer.create()
        await peer.prompt(session, STORY)
        await some_words(peer)
        assert child(home)
        daemon.kill()
    await eventually(lambda: not child(home), "the end of the model's process", seconds=3)
    daemon = home.start()
    async with daemon.connect() as peer:
        await peer.call("session/watch", session=session, after=0)
        await peer.until("turn_resumed")
        await peer.until("turn_finished", outcome="done")
        log = await peer.log(session)
        valid(log)
        assert ends(log) == {1: "done"}
    assert await daemon.stop() == 0


async def test_an_idle_model_s_process_that_dies_is_started_again(home: Home) -> None:
    """Nobody hears of it: the next prompt is answered."""
    daemon = home.start()
    async with daemon.connect(prompting=True) as peer:
        session = await peer.create()
        await peer.prompt(session, "Say hello.")
        await peer.until("turn_finished", outcome="done")
        os.kill(child(home), signal.SIGKILL)
        await peer.prompt(session, "Say hello again.")
        await peer.until("turn_finished", turn=2, outcome="done")
