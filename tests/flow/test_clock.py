"""The wall clock jumps a year ahead and back, on the real daemon: nothing is forgotten, denied or put in another order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.crowd import TOOLS
from tests.fakes.history import answers, ends, text_of
from tests.fakes.real import Daemon, Home, Models, Peer, call, eventually, rule, say

YEAR = 365 * 86400.0
WORDS = 60
SHIM = """
import os, time

real = time.time

def shifted():
    with open(os.path.expanduser("~/clock")) as file:
        return real() + float(file.read() or 0)

time.time = shifted
"""
"""Python imports `sitecustomize` at its start: in this daemon's environment, time is what the file says."""
RULES = [
    rule("pay", call("pay", amount=1), after_tools=0),
    rule("count", {"verb": "tokens", "count": WORDS, "delay": 0.01}),
    rule("", say("done")),
]


@pytest.fixture
def models() -> Iterator[Models]:
    with Models(RULES) as models:
        yield models


@pytest.fixture
def home() -> Iterator[Home]:
    with Home() as home:
        home.write("shim/sitecustomize.py", SHIM)
        home.write("config/tools/tools.py", TOOLS)
        home.environ["PYTHONPATH"] = str(home.path / "shim")
        shift(home, 0)
        yield home


def shift(home: Home, seconds: float) -> None:
    """Set the daemon's clock so far from the right time."""
    home.write("clock.new", str(seconds)).rename(home.path / "clock")


async def order(peer: Peer) -> list[str]:
    return [info["id"] for info in (await peer.call("session/list"))["sessions"]]


async def ended(peer: Peer, session: str) -> list[dict[str, object]]:
    while (await peer.call("session/get", session=session))["status"] != "idle":
        pass
    log: list[dict[str, object]] = await peer.log(session)
    return log


@pytest.mark.parametrize("jump", [YEAR, -YEAR], ids=["ahead", "back"])
async def test_jump_while_the_daemon_runs(jump: float, home: Home, models: Models) -> None:
    """A streaming turn ends whole; a question waits on; a key counts; the newest session is the first; up is up."""
    daemon = home.start(models)
    async with daemon.connect() as peer:
        keyed, asking, streaming = [await peer.create() for _ in range(3)]
        first = await peer.prompt(keyed, "hello", key="k")
        await peer.prompt(asking, "pay", interactive=True)
        question = (await peer.until("approval_requested"))["data"]
        await peer.prompt(streaming, "count")
        await peer.until("delta")
        shift(home, jump)
        assert (await peer.prompt(keyed, "hello", key="k")) == first
        await peer.call("session/rename", session=asking, title="something happens in it")
        assert ends(await ended(peer, streaming)) == {1: "done"}
        assert text_of(await peer.log(streaming), 1).split() == [f"w{number}" for number in range(WORDS)]
        assert answers(await peer.log(asking)) == {}
        new = await peer.create()
        await peer.prompt(keyed, "again")
        await ended(peer, keyed)
        assert (await order(peer))[:2] == [keyed, new]
        await peer.call(
            "approval/answer", session=asking, call=question["call"], arguments_hash=question["arguments_hash"], decision="allow"
        )
        await ended(peer, asking)
        assert (await order(peer))[0] == asking
        status, info = await peer.call("daemon/status"), await peer.call("session/get", session=new)
        assert 0 <= status["uptime"] < YEAR / 2
        # Ahead, the wall clock is shown as it is; back, as little as keeps the order.
        assert info["created_at"] - status["started_at"] == pytest.approx(max(jump, 0), abs=1000)
    assert await daemon.stop() == 0


async def test_jumps_between_the_runs(home: Home, models: Models) -> None:
    """Killed and stopped with the clock a year ahead, then a year back: order, questions and keys are as they were."""
    sessions: list[str] = []
    daemon = home.start(models)
    async with daemon.connect() as peer:
        asking = await peer.create()
        await peer.prompt(asking, "pay", interactive=True)
        await peer.until("approval_requested")
    for number, jump in enumerate((YEAR, -YEAR, 0.0)):
        async with daemon.connect() as peer:
            sessions.insert(0, await peer.create())
            asked = await peer.prompt(sessions[0], "hello", key=f"k{number}")
            await ended(peer, sessions[0])
            assert [session for session in await order(peer) if session != asking] == sessions
        daemon.kill() if number else await _stop(daemon)
        shift(home, jump)
        daemon = home.start(models)
        if jump < 0:  # ahead, a day has passed for all that anybody can know
            async with daemon.connect() as peer:
                assert await peer.prompt(sessions[0], "hello", key=f"k{number}") == asked
    async with daemon.connect() as peer:
        await eventually(lambda: "turn_recovered" in home.log)
        status = await peer.call("daemon/status")
        assert not status["resumes_suspended"] and status["uptime"] >= 0
        assert set(answers(await peer.log(asking)).values()) <= {"deny"}


async def _stop(daemon: Daemon) -> None:
    assert await daemon.stop() == 0


async def test_question_is_re_armed_within_its_length(home: Home, models: Models) -> None:
    """After a restart with the clock a year back it is denied after its own length, not after a year; ahead, at once."""
    home.environ["AGENTD_TURN_APPROVAL_DEADLINE"] = "1"
    for jump in (-YEAR, YEAR):
        shift(home, 0)
        daemon = home.start(models)
        async with daemon.connect() as peer:
            asking = await peer.create()
            await peer.prompt(asking, "pay", interactive=True)
            await peer.until("approval_requested")
        daemon.kill()
        shift(home, jump)
        daemon = home.start(models)
        async with daemon.connect() as peer:
            assert answers(await ended(peer, asking)).popitem()[1] == "deny"
        assert await daemon.stop() == 0
