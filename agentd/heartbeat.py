"""The loop's pulse: feeds the service manager's watchdog, and notices a loop that is stuck, with the stack it is stuck in.

A thread counts its own ticks since the last beat of the loop. It counts ticks and not seconds, because a process that was stopped
(SIGSTOP, a debugger, a frozen cgroup) has its seconds run on while its thread does not tick. What holds the interpreter itself, so
that not even the thread runs, ends at the manager's watchdog: its SIGABRT leaves all stacks in the log (faulthandler).
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Sequence

import structlog
import trio

from agentd.systemd import notify

log = structlog.get_logger()

BEAT = 5.0
"""Seconds between two beats: often enough to notice, seldom enough to cost an idle daemon nothing."""
STUCK_TICKS = 3
"""A loop that has not beaten for so many ticks is stuck: 10 to 15 seconds."""
_LATE = 1.0
"""Seconds: a machine that swaps is that slow; more was somebody's doing."""


class Heartbeat:
    """`watchdog`: the manager's patience in seconds, None if it has no watchdog. `chores`, done at every beat, never wait."""

    def __init__(self, watchdog: float | None, chores: Sequence[Callable[[], None]] = (), *, beat: float = BEAT) -> None:
        self._every = beat if watchdog is None else min(beat, watchdog / 2)
        self._fed = watchdog is not None
        self._chores = chores
        self._thread = 0
        self._ticks = 0
        self._over = threading.Event()

    async def run(self) -> None:
        """Beat until cancelled.

        Resource handling: the thread ends with this scope.
        """
        self._thread = threading.get_ident()
        # A daemon thread: should the loop never come back, nobody waits for the one that says so.
        watcher = threading.Thread(target=self._watch, name="heartbeat", daemon=True)
        watcher.start()
        try:
            while True:
                await self._beat()
        finally:
            self._over.set()
            watcher.join()

    async def _beat(self) -> None:
        if self._fed:
            notify("WATCHDOG=1")
        due = trio.current_time() + self._every
        await trio.sleep_until(due)
        late, ticks, self._ticks = trio.current_time() - due, self._ticks, 0
        if late > _LATE:
            # Two ticks may be missing by chance: the one before a beat, and the one that is just due.
            stopped = 1 + late / self._every - ticks > 2
            log.warning("process_was_stopped" if stopped else "loop_late", seconds=round(late, 3))
        for chore in self._chores:
            chore()

    def _watch(self) -> None:
        while not self._over.wait(self._every):
            self._ticks += 1
            if self._ticks == STUCK_TICKS:
                log.error("loop_stuck", seconds=round(self._ticks * self._every), stack=self._stack())

    def _stack(self) -> str:
        frame = sys._current_frames().get(self._thread)
        return "".join(traceback.format_stack(frame)) if frame else ""
