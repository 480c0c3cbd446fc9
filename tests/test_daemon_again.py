"""A daemon that begins anew in its process, and one that reads its configuration again. For real: tests/flow/test_handover.py."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import trio
import trio.testing

from agentwire.errors import ConfigError, Stopping
from tests.fakes.boots import build, left_open, running, settings, unclean
from tests.fakes.models import FakeModels, Say

Clock = trio.testing.MockClock


async def test_restart_lets_clients_come_until_nothing_runs(autojump_clock: Clock, home: Path) -> None:
    """Nothing new begins, the listener goes on through the grace and is not closed; the process hears what comes next."""
    gate = trio.Event()
    boot = build(home, FakeModels(lambda prompt: Say(["whole"], gate=gate)))
    async with running(boot):
        live = await boot.create()
        await boot.prompt(live, "go")
        await trio.testing.wait_all_tasks_blocked()
        await boot.call("daemon/restart", environment={"KEY": "value"})
        await trio.sleep(5)
        assert "no client is accepted" not in boot.happened
        with pytest.raises(Stopping):
            await boot.prompt(live, "late")
        with pytest.raises(Stopping):
            await boot.call("daemon/restart")
        gate.set()
    assert boot.daemon.successor == {"KEY": "value"}
    assert boot.happened.count("no client is accepted") == 1 and "listener closed" not in boot.happened
    assert unclean(build(home)) == 0


async def test_restart_without_an_environment_keeps_the_one_there_is(autojump_clock: Clock, home: Path) -> None:
    """And counts as a stop in good order: unfinished turns go on in the next run."""
    session = await left_open(home)
    for resumed in (True, False):
        async with running(build(home, FakeModels(lambda prompt: Say(["..."], gate=trio.Event())))) as boot:
            live = await boot.parts.sessions.open("local", session)
            assert ("turn_resumed" in await boot.kinds(live)) or resumed
            await boot.call("daemon/restart")
        assert boot.daemon.successor == os.environ and unclean(build(home)) == 0


@pytest.mark.parametrize("hurry", [False, True])
async def test_restart_becomes_a_stop(hurry: bool, autojump_clock: Clock, home: Path) -> None:
    """Who asks to stop means it, whatever was under way; asked once more, at once."""
    boot = build(home, FakeModels(lambda prompt: Say(["half"], gate=trio.Event())))
    async with running(boot):
        live = await boot.create()
        await boot.prompt(live, "go")
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        await boot.call("daemon/restart")
        await trio.sleep(1)
        await boot.call("daemon/stop")
        if hurry:
            await boot.call("daemon/stop")
    assert boot.daemon.successor is None
    assert trio.current_time() - began == pytest.approx(1 if hurry else 10, abs=0.1)


async def test_restart_that_could_not_start_stops_nothing(autojump_clock: Clock, home: Path) -> None:
    """The error is the client's, the daemon goes on."""
    async with running(build(home)) as boot:
        boot.process.wrong = "config.toml:1: model: expected"
        with pytest.raises(ConfigError, match="toml:1"):
            await boot.call("daemon/restart")
        await boot.prompt(await boot.create(), "still here")


# --- reload -----------------------------------------------------------------------------------------------------------------------


async def test_reload_replaces_what_counts_at_once(autojump_clock: Clock, home: Path) -> None:
    """Log, components and the daemon itself get the new configuration; the answer names what changed and what waits."""
    boot = build(home, FakeModels(lambda prompt: Say(["..."], gate=trio.Event())))
    async with running(boot):
        await boot.prompt(await boot.create(), "go")
        await trio.testing.wait_all_tasks_blocked()
        boot.process.found = settings(home, "daemon.shutdown_grace=2", "model=openai/x", "store.backups=3")
        answer = await boot.call("daemon/reload")
        assert answer.changed == ("model", "daemon.shutdown_grace", "store.backups")
        assert answer.needs_restart == ("store.backups",)
        (config,) = boot.process.reconfigured
        assert boot.process.logged == [config] and (config.model, config.store.backups) == ("openai/x", 2)
        status = await boot.call("daemon/status")
        assert status.model == "openai/x" and "store.backups" in status.warnings[0]
        began = trio.current_time()
    assert trio.current_time() - began == pytest.approx(2, abs=0.1)


async def test_wrong_configuration_leaves_the_old_one(autojump_clock: Clock, home: Path) -> None:
    """Said to who asked, in the log and by `status`, until it is mended."""
    async with running(build(home)) as boot:
        boot.process.wrong = "config.toml:1: model: expected"
        with pytest.raises(ConfigError, match="toml:1"):
            await boot.call("daemon/reload")
        assert boot.process.reconfigured == []
        assert "stays as it was: config.toml:1" in (await boot.call("daemon/status")).warnings[0]
        boot.process.wrong = ""
        await boot.call("daemon/reload")
        assert (await boot.call("daemon/status")).warnings == ()


async def test_reloads_come_one_after_the_other(autojump_clock: Clock, home: Path) -> None:
    """What one of them was about to replace is not replaced under its hands."""
    async with running(build(home)) as boot, trio.open_nursery() as nursery:
        boot.process.gate = trio.Event()
        for _ in range(2):
            nursery.start_soon(boot.call, "daemon/reload")
        await boot.process.asked.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert boot.process.reads == 1
        boot.process.gate.set()
    assert len(boot.process.reconfigured) == 2


async def test_hangup_means_reload(home: Path) -> None:
    """SIGHUP, whoever sends it: a wrong configuration or a closed terminal does not end the daemon."""
    async with running(build(home)) as boot:
        boot.process.wrong = "wrong"
        os.kill(os.getpid(), signal.SIGHUP)
        while not boot.daemon._misread:  # noqa: ASYNC110 - a signal sets no event of ours
            await trio.sleep(0.001)
        boot.process.wrong = ""
        os.kill(os.getpid(), signal.SIGHUP)
        while not boot.process.reconfigured:  # noqa: ASYNC110
            await trio.sleep(0.001)
