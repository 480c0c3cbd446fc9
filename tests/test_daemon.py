"""The daemon's run in one process: what it records, in which order it begins and ends, what it tells systemd and its users.

The log, the sessions and the loop are real; the socket is the one thing that is not there (tests/test_ipc.py), so time is virtual.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path

import apsw
import pytest
import trio
import trio.testing
from attrs import evolve

from agentwire.errors import Stopping, StorageFull, StoreError
from agentwire.types import ProviderStatus
from tests.fakes.boots import HELLO, build, crash, left_open, running, unclean
from tests.fakes.house import TrioClock
from tests.fakes.models import FakeModels, Say
from tests.store.running import fill, noise

Clock = trio.testing.MockClock


# --- boots ------------------------------------------------------------------------------------------------------------------------


async def test_stop_in_good_order_is_recorded(autojump_clock: Clock, home: Path) -> None:
    """The next boot finds no unclean one; after a kill it finds that one."""
    for kill, expected in ((False, 0), (True, 1), (False, 0)):
        async with running(build(home), kill=kill):
            await trio.sleep(1)
        assert unclean(build(home)) == expected


@pytest.mark.parametrize(
    ("crashes", "suspended"),
    [((10, 100, 290), True), ((10, 100), False), ((10, 100, 310), False), ((-50, 10, 100), False), ((10, 20, 30, 4000), True)],
    ids=["three", "two", "one of them long ago", "one of them in the future", "many"],
)
async def test_three_unclean_starts_in_five_minutes_and_turns_are_not_resumed(
    crashes: tuple[float, ...], suspended: bool, autojump_clock: Clock, home: Path
) -> None:
    """Something in the open turns brings the daemon down: they end as interrupted, and `status` says why. Else they go on."""
    session = await left_open(home)
    await crash(home, *crashes)
    async with running(build(home)) as boot:
        live = await boot.parts.sessions.open("local", session)
        while live.busy:
            await live.changed()
        assert (await boot.call("daemon/status")).resumes_suspended is suspended
        kinds = await boot.kinds(live)
        assert kinds[-1] == "turn_finished" and ("turn_resumed" in kinds) is not suspended
        assert (await boot.prompt(live, "again")).turn == 2  # the session stays usable


async def test_clean_stop_ends_the_count(autojump_clock: Clock, home: Path) -> None:
    """After it the crashes before it do not count any more."""
    await crash(home, 10, 20, 30)
    for suspended in (True, False):
        async with running(build(home)) as boot:
            assert (await boot.call("daemon/status")).resumes_suspended is suspended


async def test_resume_can_be_turned_off(autojump_clock: Clock, home: Path) -> None:
    """`turn.resume = never`: the open turn ends as interrupted."""
    session = await left_open(home)
    async with running(build(home, HELLO, "turn.resume=never")) as boot:
        live = await boot.parts.sessions.open("local", session)
        while live.busy:
            await live.changed()
        assert "turn_resumed" not in await boot.kinds(live)


@pytest.mark.parametrize("kill", [True, False])
async def test_only_a_crash_counts_as_a_resume(kill: bool, autojump_clock: Clock, home: Path) -> None:
    """A turn that a stop has paused may be paused as often as one likes."""
    gates = FakeModels(lambda prompt: Say(["..."], gate=trio.Event()))
    boot = build(home, gates)
    async with running(boot, kill=kill):
        live = await boot.create()
        await boot.prompt(live, "go")
        await trio.testing.wait_all_tasks_blocked()
    async with running(build(home)) as boot:
        live = await boot.parts.sessions.open("local", live.state.id)
        while live.busy:
            await live.changed()
        (resumed,) = [e for e in await boot.parts.store.read(live.state.id, after=0, limit=99) if e.kind == "turn_resumed"]
        assert (b'"resumes":1' in resumed.data) is kill


# --- status -----------------------------------------------------------------------------------------------------------------------


async def test_status_tells_what_runs(autojump_clock: Clock, home: Path) -> None:
    """Counts, times and sizes of this moment; what the configuration was warned about."""
    gate = trio.Event()
    async with running(build(home, FakeModels(lambda prompt: Say(["a"], gate=gate)), "daemon.shutdown_grace=0")) as boot:
        live = await boot.create()
        await boot.prompt(live, "go")
        await boot.create()
        await trio.sleep(5)
        status = await boot.call("daemon/status")
        assert (status.pid, status.boot, status.protocol) == (os.getpid(), boot.daemon.boot, 1)
        assert (status.sessions, status.running, status.clients) == (2, 1, 3)
        assert status.uptime == pytest.approx(5, abs=0.01) and status.started_at + status.uptime == pytest.approx(TrioClock().now())
        assert status.storage.path == str(home / "agentd.db") and status.storage.bytes > 4096 and not status.storage.full
        assert status.rss > 1_000_000 and status.providers == (ProviderStatus(name="fake", state="ready"),)
        gate.set()


async def test_model_is_loaded_for_a_client_that_will_prompt(autojump_clock: Clock, home: Path) -> None:
    """While the daemon runs; before and after, nobody is there to load it."""
    boot = build(home)
    boot.daemon.expect_prompt()
    async with running(boot):
        boot.daemon.expect_prompt()
        await trio.testing.wait_all_tasks_blocked()
        assert boot.happened == ["prewarmed"]
    boot.daemon.expect_prompt()
    assert boot.happened.count("prewarmed") == 1


async def test_a_model_that_cannot_be_loaded_early_ends_nothing(autojump_clock: Clock, home: Path) -> None:
    """A broken SDK is the request's problem, not the daemon's."""

    async def broken() -> None:
        raise ImportError

    boot = build(home)
    async with running(evolve(boot, parts=evolve(boot.parts, prewarm=broken))):
        boot.daemon.expect_prompt()
        await trio.testing.wait_all_tasks_blocked()
        assert boot.happened == []


# --- the stop ---------------------------------------------------------------------------------------------------------------------


async def test_the_end_comes_from_the_inside_out(autojump_clock: Clock, home: Path) -> None:
    """No new input, then the turns' last events, then the clients' last word, then the services, then the log."""
    boot = build(home, FakeModels(lambda prompt: Say(["..."], gate=trio.Event())))
    async with running(boot):
        live = await boot.create()
        boot.parts.bus.subscribe(live.state.id, boot)
        await boot.prompt(live, "go")
        await trio.testing.wait_all_tasks_blocked()
    assert boot.happened == [
        "listener closed",
        "no client is accepted",
        "the turn's last event",
        "watch closed: stopping",
        "service ended",
    ]
    with pytest.raises(StoreError, match="closed"):
        await boot.parts.store.flush()


async def test_turn_gets_its_grace(autojump_clock: Clock, home: Path) -> None:
    """A reply that ends within the grace is whole; what is new is refused meanwhile, and reading works."""
    gate = trio.Event()
    boot = build(home, FakeModels(lambda prompt: Say(["whole"], gate=gate)))
    began = trio.current_time()
    async with running(boot):
        live = await boot.create()
        await boot.prompt(live, "go")
        await trio.testing.wait_all_tasks_blocked()
        boot.daemon.stop()
        await trio.sleep(9)
        for refused in (boot.prompt(live, "late"), boot.create()):
            with pytest.raises(Stopping):
                await refused
        gate.set()
        await boot.parts.sessions.quiet()
        assert (await boot.kinds(live))[-2:] == ["assistant_message", "turn_finished"]
    assert trio.current_time() - began == pytest.approx(9, abs=0.1)


async def test_turn_that_goes_on_after_its_grace_is_cut(autojump_clock: Clock, home: Path) -> None:
    """Ten seconds by default; its text is kept, the turn stays open for the next boot."""
    boot = build(home, FakeModels(lambda prompt: Say(["half"], gate=trio.Event())))
    async with running(boot):
        live = await boot.create()
        await boot.prompt(live, "go")
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
    assert trio.current_time() - began == pytest.approx(10, abs=0.1)
    assert live.state.turn is not None and live.state.turn.stop == "interrupted"


async def test_second_request_ends_the_grace(autojump_clock: Clock, home: Path) -> None:
    """At once, in the same order."""
    boot = build(home, FakeModels(lambda prompt: Say(["half"], gate=trio.Event())))
    async with running(boot):
        live = await boot.create()
        await boot.prompt(live, "go")
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        boot.daemon.stop()
        await trio.sleep(1)
        boot.daemon.stop()
    assert trio.current_time() - began == pytest.approx(1, abs=0.1)
    assert live.state.turn is not None and live.state.turn.stop == "interrupted"


async def test_stop_asked_before_the_daemon_runs_is_heard(autojump_clock: Clock, home: Path) -> None:
    """A SIGTERM in the first moments is not lost."""
    boot = build(home)
    boot.daemon.stop()
    with trio.fail_after(5):
        await boot.daemon.run(boot.parts, boot.listener, lambda: None)
    boot.parts.store._writer.db.close()


async def test_daemon_starts_reads_and_stops_on_a_full_disk(autojump_clock: Clock, home: Path) -> None:
    """Neither the beginning nor the end of the boot can be written: it runs all the same."""
    async with running(build(home)) as boot:
        live = await boot.create()
    boot = build(home)
    await fill(boot.parts.store)
    with suppress(apsw.FullError):
        for number in count():
            boot.parts.store._writer.db.execute("INSERT INTO boot VALUES (?, 0, 0)", (f"filler {number}",))
    with trio.fail_after(30):
        async with running(boot):
            assert (await boot.call("session/get", session=live.state.id)).id == live.state.id
            with pytest.raises(StorageFull):
                await boot.prompt(live, noise(10_000))
            assert (await boot.call("daemon/status")).storage.full


async def test_end_that_cannot_be_recorded_is_an_end(autojump_clock: Clock, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk filled up while it ran: the next boot takes this one for unclean, and that is all."""
    boot = build(home)

    async def full(boot: str) -> None:
        raise StorageFull("no space left")

    monkeypatch.setattr(boot.parts.store, "end_boot", full)
    async with running(boot):
        await trio.sleep(1)
    assert unclean(build(home)) == 1


async def test_broken_log_ends_the_daemon_with_its_error(autojump_clock: Clock, home: Path) -> None:
    """At once, with a turn at work: nothing but the cause comes out, and the boot counts as unclean."""
    boot = build(home, FakeModels(lambda prompt: Say(["..."], gate=trio.Event())))

    async def break_it() -> None:
        live = await boot.create()
        await boot.prompt(live, "go")
        await trio.testing.wait_all_tasks_blocked()
        boot.parts.store._writer.db.execute("ALTER TABLE event RENAME TO gone")
        await boot.call("session/rename", session=live.state.id, title="x")

    with pytest.raises(ExceptionGroup) as caught, trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(boot.daemon.run, boot.parts, boot.listener, partial(nursery.start_soon, break_it))
    rest = caught.value.split(StoreError)[1]
    assert rest is None and unclean(boot) == 1 and "service ended" in boot.happened


async def test_failing_service_ends_the_daemon_with_its_error(autojump_clock: Clock, home: Path) -> None:
    """Said, not swallowed; the boot counts as unclean."""
    boot = build(home)

    async def fail() -> None:
        raise ZeroDivisionError

    parts = evolve(boot.parts, background=[fail])
    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
        await boot.daemon.run(parts, boot.listener, lambda: None)
    assert unclean(boot) == 1


# --- systemd ----------------------------------------------------------------------------------------------------------------------


async def test_systemd_hears_of_the_beginning_and_the_end(
    autojump_clock: Clock, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """READY=1 once clients can connect; STOPPING=1 when the stop begins, RELOADING=1 if the process goes on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.setblocking(False)
        manager.bind(f"{home}/notify")
        monkeypatch.setenv("NOTIFY_SOCKET", f"{home}/notify")
        for method, said in (("daemon/stop", b"STOPPING=1"), ("daemon/restart", b"RELOADING=1\nMONOTONIC_USEC=")):
            async with running(build(home)) as boot:
                assert manager.recv(100) == b"READY=1"
                with pytest.raises(BlockingIOError):
                    manager.recv(100)
                await boot.call(method)
            assert manager.recv(100).startswith(said)
