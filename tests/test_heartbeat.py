"""The pulse: the manager's watchdog is fed, a stuck loop is noticed while it is stuck, a stopped process is no stuck loop."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
import trio.testing
from structlog.typing import EventDict, WrappedLogger

from agentd.heartbeat import STUCK_TICKS, Heartbeat

BEAT = 0.02


class Seen:
    """What was logged; `wait` returns when something of this name was."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._came = threading.Condition()

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        with self._came:
            self.events.append(dict(event))
            self._came.notify_all()
        raise structlog.DropEvent

    def named(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == name]

    def wait(self, name: str) -> None:
        with self._came:
            assert self._came.wait_for(lambda: self.named(name), timeout=30)


@pytest.fixture
def seen() -> Iterator[Seen]:
    seen = Seen()
    structlog.configure(processors=[seen])
    yield seen
    structlog.reset_defaults()


async def test_stuck_loop_is_noticed_with_its_stack(seen: Seen) -> None:
    """Said while it is stuck, once; when it is back, how late it was."""
    heartbeat = Heartbeat(None, beat=BEAT)

    def block_the_loop() -> None:
        seen.wait("loop_stuck")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(heartbeat.run)
        await trio.testing.wait_all_tasks_blocked()
        block_the_loop()
        nursery.cancel_scope.cancel()
    (stuck,) = seen.named("loop_stuck")
    assert "block_the_loop" in stuck["stack"] and stuck["seconds"] == round(STUCK_TICKS * BEAT)


@pytest.mark.parametrize(
    ("seconds", "ticks", "said"),
    [(5.5, 1, []), (9.0, 1, ["loop_late"]), (31.0, 6, ["loop_late"]), (31.0, 5, ["loop_late"]), (31.0, 2, ["process_was_stopped"])],
    ids=["in time", "late", "late and ticking", "a tick between", "stopped"],
)
async def test_late_beat_is_told_from_a_stopped_process(seconds: float, ticks: int, said: list[str], seen: Seen) -> None:
    """A loop that was stuck is late by what it says; a process that was stopped did not tick either."""
    heartbeat, clock = Heartbeat(None), trio.testing.MockClock()
    chores: list[str] = []
    heartbeat._chores = [lambda: chores.append("done")]

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(heartbeat._beat)
            await trio.testing.wait_all_tasks_blocked()
            heartbeat._ticks = ticks
            clock.jump(seconds)

    await trio.to_thread.run_sync(lambda: trio.run(run, clock=clock))
    assert [event["event"] for event in seen.events] == said and chores == ["done"]
    assert all(event["seconds"] == pytest.approx(seconds - 5) for event in seen.events)


async def test_watchdog_is_fed_from_the_loop(
    home: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """At half the manager's interval, and at once; without a watchdog nothing is sent."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.setblocking(False)
        manager.bind(str(home / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(home / "notify"))
        for watchdog, expected in ((4.0, 6), (None, 0), (60.0, 3)):
            with trio.move_on_after(10.5):
                await Heartbeat(watchdog).run()
            fed = 0
            while _heard(manager):
                fed += 1
            assert fed == expected


def _heard(manager: socket.socket) -> bool:
    try:
        return bool(re.fullmatch(b"WATCHDOG=1", manager.recv(100)))
    except BlockingIOError:
        return False


async def test_thread_ends_with_the_heartbeat(autojump_clock: trio.testing.MockClock) -> None:
    """One thread while it runs, none after."""
    before = threading.active_count()
    with trio.move_on_after(1):
        await Heartbeat(None).run()
    assert threading.active_count() == before
