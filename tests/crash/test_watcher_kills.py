"""kill -9 and SIGTERM under an audience: fifty watchers of one session, and agentctl's own, who start the daemon themselves."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from random import Random

import pytest
import trio

from tests.crash.life import ORPHAN_SECONDS, RULES, TOOLS, WHOLE
from tests.fakes.history import Log, at_rest, ends, text_of, texts
from tests.fakes.real import SEEDS, STOP_SECONDS, Daemon, Home, Models, Peer, eventually
from tests.fakes.verdict import judge
from tests.fakes.watchers import END, HABITS, Audience, Reader, sleep
from tests.fakes.witness import Witness

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STRIKES = 6


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    with Models(RULES) as models:
        yield models


@pytest.mark.parametrize("seed", SEEDS)
async def test_fifty_watchers_see_the_same_through_every_restart(models: Models, seed: int) -> None:
    """Struck six times in the middle of answers: each watcher ends with the same history and the same text, and nobody has seen
    anything that is not in the log."""
    with Home(AGENTD_DAEMON_SHUTDOWN_GRACE="0.2") as home:
        home.write("config/tools/effects.py", TOOLS)
        random, writer = Random(seed), Witness()
        daemon = home.start(models)
        async with daemon.connect() as peer:
            session = (await peer.call("session/create", cwd="/"))["id"]
        audience = Audience(daemon, session, random)
        async with trio.open_nursery() as nursery:
            for number in range(44):
                nursery.start_soon(audience.attend, HABITS[number % len(HABITS)])
            for _ in range(6):
                nursery.start_soon(audience.attend, sleep)
            for number in range(STRIKES):
                async with audience.daemon.connect(writer) as peer:
                    await peer.prompt(session, f"job {number}", key=str(number))
                    enough = audience.frames + random.randint(100, 6000)
                    await eventually(lambda enough=enough: audience.frames > enough, "frames")  # type: ignore[misc]
                    await strike(audience.daemon, kill=number % 3 != 2)  # three kills in a row would suspend resuming
                audience.go_on(home.start(models))
            async with audience.daemon.connect(writer) as peer:
                await rest(peer, session)
                await audience.end(peer)
        async with audience.daemon.connect() as peer:
            log = (await judge(peer, [writer, *audience.witnesses], home.path / "effects", "note"))[session]
        whole(log)
        audience.agree(log)
        assert "_bug" not in home.log


async def strike(daemon: Daemon, *, kill: bool) -> None:
    """kill -9, or a stop in good order; nothing of the daemon lives on."""
    if kill:
        daemon.kill()
    else:
        assert await daemon.stop() == 0, daemon.home.stderr
    await eventually(lambda: not daemon.home.processes(), "the end of its children", seconds=ORPHAN_SECONDS)


async def rest(peer: Peer, session: str) -> None:
    """Until nothing runs or waits."""
    while (view := (await peer.call("session/watch", session=session))["view"])["turn"] or view["queue"]:
        await peer.until("turn_finished")


def whole(log: Log) -> None:
    """Every turn is done and has its whole text, or was resumed too often."""
    at_rest(log)
    for turn, outcome in ends(log).items():
        assert outcome in ("done", "interrupted")
        assert outcome == "interrupted" or text_of(log, turn) == WHOLE


async def test_agentctl_brings_a_killed_daemon_back_and_misses_nothing(models: Models) -> None:
    """Four `session watch --json`: whoever of them finds the daemon killed starts it, one daemon comes, and all of them read every
    event once and see the whole text; a daemon that was stopped on purpose they wait for."""
    with Home(AGENTD_DAEMON_SHUTDOWN_GRACE="0.2") as home:
        home.write("config/tools/effects.py", TOOLS)
        home.environ |= models.environ
        daemon = home.start()
        async with daemon.connect() as peer:
            session = (await peer.call("session/create", cwd="/"))["id"]
        readers = [Reader(home.environ, session) for _ in range(4)]
        try:
            async with trio.open_nursery() as nursery:
                for reader in readers:
                    nursery.start_soon(reader.read)
                for number in range(4):
                    async with daemon.connect() as peer:
                        await peer.prompt(session, f"job {number}", key=str(number))
                        seen = [len(reader.events) for reader in readers]
                        await eventually(lambda seen=seen: _further(readers, seen), "events")  # type: ignore[misc]
                    on_purpose = number == 2
                    await end(home, signal.SIGTERM if on_purpose else signal.SIGKILL)
                    if on_purpose:
                        assert not _answers(home)
                        home.start()
                    await eventually(lambda: _answers(home), "somebody to start it")
                async with daemon.connect() as peer:
                    await rest(peer, session)
                    await peer.call("session/rename", session=session, title=END)
            async with daemon.connect() as peer:
                log = await peer.log(session)
        finally:
            await end(home, signal.SIGKILL)
        whole(log)
        for reader in readers:
            assert reader.events == log
            assert reader.screen.shown == texts(log)
            assert (reader.restarts, reader.deaths) == (4, 1)


def _further(readers: list[Reader], seen: list[int]) -> bool:
    return all(len(reader.events) > before for reader, before in zip(readers, seen, strict=True))


def _answers(home: Home) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(home.socket) == 0


async def end(home: Home, number: int) -> None:
    """End the daemon, whoever started it; returns when it is gone. The next may be there by then."""
    process = os.pidfd_open(int((home.data / "agentd.lock").read_text()))
    signal.pidfd_send_signal(process, number)
    with trio.fail_after(STOP_SECONDS):
        await trio.lowlevel.wait_readable(process)
    os.close(process)
