"""The daemon's run in one process: what it records, in which order it begins and ends, what it tells systemd and its users.

The log, the sessions and the loop are real; the socket is the one thing that is not there (tests/test_ipc.py), so time is virtual.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio
import trio.testing
from attrs import Factory, define, evolve

from agentd.core.api import Api
from agentd.core.index import index_change
from agentd.core.live import Live
from agentd.daemon import Daemon, Parts
from agentd.ipc import Listener
from agentd.ports import Models
from agentd.store.opening import open_inline
from agentwire import config
from agentwire.errors import ConfigError, Stopping, StorageFull, StoreError
from agentwire.types import ProviderStatus
from tests.fakes.house import OWNER, TrioClock, core
from tests.fakes.models import FakeModels, Say
from tests.store.running import fill, noise

Clock = trio.testing.MockClock
HELLO = FakeModels(lambda prompt: Say(["Hello"]))


class NoSocket(Listener):
    """A listener to which nobody comes."""

    def __init__(self, happened: list[str]) -> None:
        self.clients, self.path = 3, "/nowhere"
        self._happened = happened

    async def serve(self, connections: trio.Nursery) -> None:
        await trio.sleep_forever()

    def close(self) -> None:
        self._happened.append("listener closed")


@define
class FakeProcess:
    """agentd.daemon.Process: `found` is what stands in the configuration, `wrong` what is wrong with it."""

    found: config.Config
    wrong: str = ""
    logged: list[config.Config] = Factory(list)
    reconfigured: list[config.Config] = Factory(list)

    def read(self, environ: Mapping[str, str]) -> config.Config:
        if self.wrong:
            raise ConfigError(self.wrong)
        return self.found

    def log_to(self, config: config.Config) -> None:
        self.logged.append(config)

    def successor(self, environment: Mapping[str, str]) -> Mapping[str, str]:
        self.read(environment)
        return environment


@define(eq=False)
class Boot:
    """One run of the daemon and what it is made of. `happened`: what came when, in words."""

    daemon: Daemon
    parts: Parts
    api: Api
    listener: NoSocket
    process: FakeProcess
    happened: list[str] = Factory(list)

    async def call(self, method: str, **params: object) -> Any:
        return await self.api.dispatch(OWNER, method, params)

    async def create(self) -> Live:
        info = await self.call("session/create", cwd="/")
        return await self.parts.sessions.open("local", info.id)

    async def prompt(self, live: Live, text: str) -> Any:
        return await self.call("session/prompt", session=live.state.id, parts=[{"kind": "text", "text": text}])

    async def kinds(self, live: Live) -> list[str]:
        return [event.kind for event in await self.parts.store.read(live.state.id, after=0, limit=100)]

    def deliver(self, frame: bytes, seq: int | None) -> None:
        """agentd.core.bus.Subscriber: a client that watches."""
        if b'"turn_finished"' in frame or b'"stop":"interrupted"' in frame:
            self.happened.append("the turn's last event")

    def close(self, reason: str) -> None:
        self.happened.append(f"watch closed: {reason}")


def settings(home: Path, *overrides: str) -> config.Config:
    return config.load({"AGENTD_HOME": str(home), "HOME": str(home)}, overrides)


def build(home: Path, models: Models = HELLO, *overrides: str) -> Boot:
    """What `wiring.build` does, with a scripted model and no socket. The log is a file: the next boot finds it."""
    store = open_inline(index_change, TrioClock(), str(home / "agentd.db"))
    process = FakeProcess(settings(home, *overrides))
    daemon = Daemon(process.found, TrioClock(), secrets.token_hex(4), process)
    made = core(store, models, (), daemon)
    happened: list[str] = []
    parts = Parts(
        store=store,
        bus=made.bus,
        sessions=made.sessions,
        services=[partial(serve, happened)],
        background=[made.saver.run, made.upkeep.run],
        prewarm=partial(prewarm, happened),
        providers=lambda: (ProviderStatus(name="fake", state="ready"),),
        recovery=made.recovery,
        reconfigure=process.reconfigured.append,
    )
    return Boot(daemon, parts, made.api, NoSocket(happened), process, happened)


async def serve(happened: list[str], *, task_status: Any) -> None:
    task_status.started()
    try:
        await trio.sleep_forever()
    finally:
        happened.append("service ended")


async def prewarm(happened: list[str]) -> None:
    happened.append("prewarmed")


@asynccontextmanager
async def running(boot: Boot, *, kill: bool = False) -> AsyncIterator[Boot]:
    """The daemon at work; at the end it is asked to stop, or killed."""
    ready = trio.Event()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(boot.daemon.run, boot.parts, boot.listener, ready.set)
            await ready.wait()
            yield boot
            if kill:
                nursery.cancel_scope.cancel()
            elif not boot.daemon._stop_asked.is_set():
                boot.daemon.stop()
    except* StoreError:  # turns that are killed find the log dead
        if not kill:
            raise
    boot.parts.store._writer.db.close()


async def crash(home: Path, *moments: float) -> None:
    """Boots that did not end, each begun that many seconds before now."""
    store = open_inline(index_change, TrioClock(), str(home / "agentd.db"))
    for moment in moments:
        store._writer.start_boot(f"crashed-{moment}", TrioClock().now() - moment)
    store._writer.db.close()


async def left_open(home: Path) -> str:
    """A session whose turn was cut off by a kill."""
    boot = build(home, FakeModels(lambda prompt: Say(["..."], gate=trio.Event())))
    async with running(boot, kill=True):
        live = await boot.create()
        await boot.prompt(live, "go")
        await trio.testing.wait_all_tasks_blocked()
        boot.parts.store._writer.db.execute("DELETE FROM boot")  # each test counts its crashes itself
    return live.state.id


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
    assert boot.happened == ["listener closed", "the turn's last event", "watch closed: stopping", "service ended"]
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


def unclean(boot: Boot) -> int:
    return int(boot.parts.store._writer.db.execute("SELECT count(*) FROM boot WHERE ended_at IS NULL").get)


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
    assert rest is None and unclean(boot) == 1 and boot.happened[-1] == "service ended"


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


@pytest.mark.parametrize("abstract", [False, True])
async def test_systemd_hears_of_the_beginning_and_the_end(
    abstract: bool, autojump_clock: Clock, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """READY=1 once clients can connect, STOPPING=1 when the stop begins; on a path or in the abstract namespace."""
    name = f"{home}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.setblocking(False)
        manager.bind(f"\0{name}" if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}" if abstract else name)
        async with running(build(home)):
            assert manager.recv(100) == b"READY=1"
            with pytest.raises(BlockingIOError):
                manager.recv(100)
        assert manager.recv(100) == b"STOPPING=1"
