"""Work in a thread ends when it is cancelled, and only then is its caller gone."""

from __future__ import annotations

import threading

import apsw
import pytest
import trio

from agentd.store.keeping.jobs import in_thread


async def test_gives_what_the_job_gives() -> None:
    """In another thread."""
    assert await in_thread(lambda stop, number: (number, stop.is_set()), 3) == (3, False)
    assert await in_thread(lambda _: threading.get_ident()) != threading.get_ident()


async def test_raises_what_the_job_raises() -> None:
    """As it is, in no group."""
    with pytest.raises(KeyError):
        await in_thread(lambda _: {1: 2}[3])


async def test_cancelled_the_job_is_stopped_and_waited_for() -> None:
    """SQLite says "interrupted" then; that is nobody's error."""
    begun, ended = threading.Event(), []

    def job(stop: threading.Event) -> None:
        begun.set()
        stop.wait(10)
        ended.append(stop.is_set())
        raise apsw.InterruptError("interrupted")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(in_thread, job)
        await trio.to_thread.run_sync(begun.wait)
        nursery.cancel_scope.cancel()
    assert ended == [True]
