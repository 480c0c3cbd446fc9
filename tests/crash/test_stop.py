"""SIGTERM, twice, and what comes after it."""

from __future__ import annotations

import signal

import pytest

from agentwire.errors import Stopping, Unreachable
from tests.crash.script import SLOW_TEXT, finished
from tests.fakes.history import ends, iterate, outcomes, text_of
from tests.fakes.real import Home, Models, eventually

pytestmark = pytest.mark.slow


async def test_a_stop_in_good_order_pauses_turns_and_the_next_daemon_goes_on(home: Home, models: Models) -> None:
    """SIGTERM: no new work is taken, watchers are told, exit 0; a streaming reply, a tool and a question all go on afterwards."""
    home.environ["AGENTD_DAEMON_SHUTDOWN_GRACE"] = "1"
    daemon = home.start(models)
    async with daemon.connect() as peer, daemon.connect() as late:
        sessions = {}
        for which in ("slowly", "hold", "pay"):
            sessions[which] = await peer.create()
            await peer.prompt(sessions[which], which, interactive=True)
        await peer.until("approval_requested")
        await eventually(lambda: len(list(iterate(home.path / "effects"))) == 1)
        daemon.signal()
        await eventually(lambda: "stopping" in home.log)
        with pytest.raises((Unreachable, Stopping)):
            await late.prompt(sessions["slowly"], "one more")
        for _ in sessions:
            await peer.until("watch_closed", reason="stopping")
        assert await daemon.ended() == 0
    assert not home.processes()
    daemon = home.start(models)
    async with daemon.connect() as peer:
        log = await finished(peer, sessions["slowly"])
        assert (text_of(log, 1), ends(log)) == (SLOW_TEXT, {1: "done"})
        log = await finished(peer, sessions["hold"])
        assert (list(outcomes(log).values()), ends(log)) == (["unknown"], {1: "done"})
        (question,) = (await peer.call("session/watch", session=sessions["pay"]))["view"]["approvals"]
        await peer.call(
            "approval/answer",
            session=sessions["pay"],
            call=question["call"],
            arguments_hash=question["arguments_hash"],
            decision="allow",
        )
        assert ends(await finished(peer, sessions["pay"])) == {1: "done"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_it_at_once(home: Home, models: Models, number: signal.Signals) -> None:
    """The grace is ten seconds; who asks twice does not wait for it, and loses nothing: the turn goes on afterwards."""
    daemon = home.start(models)
    async with daemon.connect() as peer:
        session = await peer.create()
        await peer.prompt(session, "hold")
        await eventually(lambda: len(list(iterate(home.path / "effects"))) == 1)
        daemon.signal(number)
        await eventually(lambda: "stopping" in home.log)
        daemon.signal(number)
        assert await daemon.ended(seconds=5) == 0
    assert not home.processes()
    daemon = home.start(models)
    async with daemon.connect() as peer:
        assert ends(await finished(peer, session)) == {1: "done"}


async def test_a_closed_terminal_does_not_end_it(home: Home, models: Models) -> None:
    """SIGHUP is heard and ignored."""
    daemon = home.start(models)
    daemon.signal(signal.SIGHUP)
    await eventually(lambda: "SIGHUP" in home.log)
    async with daemon.connect() as peer:
        assert (await peer.call("daemon/status"))["pid"] == daemon.pid
    assert await daemon.stop() == 0
