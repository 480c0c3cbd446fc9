"""kill -9 and SIGTERM while many clients prompt, steer, interrupt, cancel, answer and delete on the same sessions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from random import Random

import pytest
import trio

from agentwire.errors import AgentError
from tests.crash.life import ORPHAN_SECONDS
from tests.fakes.crowd import RULES, TOOLS, calm, client
from tests.fakes.history import at_rest
from tests.fakes.real import SEEDS, Daemon, Home, Models, eventually
from tests.fakes.verdict import judge
from tests.fakes.witness import Witness

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    with Models(RULES) as models:
        yield models


async def struck(daemon: Daemon, random: Random, sessions: list[str], witnesses: list[Witness], *, kill: bool) -> None:
    """A client for each witness at work until the daemon is struck, somewhere in the middle of what they do."""
    codes: Counter[str] = Counter()
    enough = random.randint(20, 250)

    async def one(seed: int, witness: Witness) -> None:
        with suppress(OSError, AgentError):
            await client(daemon, seed, sessions, codes, witness)

    async with trio.open_nursery() as nursery:
        for witness in witnesses:
            nursery.start_soon(one, random.randrange(10**6), witness)
        await eventually(lambda: codes.total() >= enough, "requests")
        if kill:
            daemon.kill()
        else:
            assert await daemon.stop() == 0, daemon.home.stderr


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_was_going_on_every_session_comes_to_rest(models: Models, seed: int) -> None:
    """Six times struck in the midst of a crowd: every log has what they were promised and saw, every session is idle in the end,
    list and session agree."""
    random, kills, witnesses = Random(seed), 0, [Witness() for _ in range(6)]
    with Home(AGENTD_TURN_MAX_STEPS="6", AGENTD_TURN_RESUME_GRACE="0.5", AGENTD_DAEMON_SHUTDOWN_GRACE="0.2") as home:
        home.write("config/tools/tools.py", TOOLS)
        daemon = home.start(models)
        async with daemon.connect() as peer:
            sessions = [(await peer.call("session/create", cwd="/"))["id"] for _ in range(4)]
        for _ in range(6):
            kill = kills < 2 and random.random() < 0.75  # a third one in a row would suspend resuming
            kills = kills + 1 if kill else 0
            await struck(daemon, random, sessions, witnesses, kill=kill)
            await eventually(lambda: not home.processes(), "the end of everything", seconds=ORPHAN_SECONDS)
            daemon = home.start(models)
        async with daemon.connect() as peer:
            for row in (await peer.call("session/list", limit=1000))["sessions"]:
                await calm(peer, row["id"])
            for log in (await judge(peer, witnesses, home.path / "effects", "note", "pay")).values():
                at_rest(log)
            for row in (await peer.call("session/list", limit=1000))["sessions"]:
                assert row == await peer.call("session/get", session=row["id"])
                assert (row["status"], row["queued"]) == ("idle", 0)
        assert await daemon.stop() == 0
        assert "_bug" not in home.log
        assert "unreadable" not in home.log
