"""Long work on files, in a thread beside the loop, that ends soon after it is cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import apsw
import trio

T = TypeVar("T")


async def in_thread(job: Callable[..., T], *args: Any) -> T:
    """`job(stop, *args)` in a worker thread. Cancelled, `stop` is set, and the job ends as soon as it looks; it is waited for."""
    stop = threading.Event()
    results: list[T] = []

    async def work() -> None:
        try:
            results.append(await trio.to_thread.run_sync(job, stop, *args))
        except apsw.InterruptError:
            await trio.lowlevel.checkpoint_if_cancelled()
            raise
        nursery.cancel_scope.cancel()

    async def watch() -> None:
        try:
            await trio.sleep_forever()
        finally:
            stop.set()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            nursery.start_soon(work)
    except BaseExceptionGroup as group:
        raise _only(group) from None
    await trio.lowlevel.checkpoint_if_cancelled()
    return results[0]


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What the job raised: its watcher raises nothing."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
