"""One thread for one connection: work in the order in which it is given, and word of each to the trio thread.

Theory of operation: the word is a call there, between two steps of tasks, not a task that is woken: what a commit has to say is
said to all at once (log.py), and two switches of tasks for each commit are saved.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

import trio
from outcome import Outcome, capture

T = TypeVar("T")


class Works:
    """Where work is done. `run` waits for it, `submit` does not."""

    def submit(self, work: Callable[[], T], done: Callable[[Outcome[T]], object]) -> None:
        """Do `work`, then call `done` in the trio thread with what came of it. `done` must not wait or raise."""
        raise NotImplementedError

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """What `function` returns or raises. Not cancelled: what is begun is known to have been done, or not."""
        self.submit(partial(function, *args), partial(trio.lowlevel.reschedule, trio.lowlevel.current_task()))
        result: T = await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)
        return result


class Worker(Works):
    """The thread. Made in a run of trio; after `close`, and all that was given before, it ends."""

    def __init__(self, name: str) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._given: SimpleQueue[tuple[Callable[[], Any], Callable[[Outcome[Any]], object]] | None] = SimpleQueue()
        # A daemon thread: one that nobody closed, because opening failed half-way, must not hang the process at its exit.
        Thread(target=self._serve, name=name, daemon=True).start()

    def submit(self, work: Callable[[], T], done: Callable[[Outcome[T]], object]) -> None:
        self._given.put((work, done))

    def close(self) -> None:
        self._given.put(None)

    def _serve(self) -> None:
        while (given := self._given.get()) is not None:
            work, done = given
            result = capture(work)
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(done, result)
            del given, work, done, result  # while it waits it keeps nothing alive


class Inline(Works):
    """In the trio thread itself: for tests on a virtual clock, which must not see a thread."""

    def submit(self, work: Callable[[], T], done: Callable[[Outcome[T]], object]) -> None:
        trio.lowlevel.current_trio_token().run_sync_soon(lambda: done(capture(work)))
