"""A connection's thread: in order, whole, and its word in the trio thread."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from outcome import Outcome

from agentd.store.worker import Inline, Worker, Works

HERE = threading.get_ident


@asynccontextmanager
async def worker() -> AsyncIterator[Worker]:
    made = Worker("tested")
    try:
        yield made
    finally:
        made.close()


async def test_work_is_done_in_one_thread_and_told_in_this_one() -> None:
    """In the order in which it was given, whoever gave it."""
    told: list[tuple[int, int]] = []
    threads: set[int] = set()

    def work(number: int) -> int:
        threads.add(HERE())
        return number

    async with worker() as thread:
        for number in range(100):

            def done(result: Outcome[int]) -> None:
                told.append((result.unwrap(), HERE()))

            thread.submit(lambda number=number: work(number), done)  # type: ignore[misc]
        assert await thread.run(work, 100) == 100
    assert told == [(number, HERE()) for number in range(100)]
    assert len(threads) == 1 and HERE() not in threads


@pytest.mark.parametrize("inline", [True, False])
async def test_what_is_raised_is_raised_for_who_waits(*, inline: bool) -> None:
    """And the next work is done all the same."""
    async with worker() as thread:
        works: Works = Inline() if inline else thread
        with pytest.raises(ZeroDivisionError):
            await works.run(lambda: 1 // 0)
        assert await works.run(max, 1, 2) == 2


async def test_who_is_cancelled_waits_for_the_end_of_what_is_begun() -> None:
    """It would not know otherwise whether it was done."""
    gate = threading.Event()
    async with worker() as thread:
        with trio.CancelScope() as scope:
            scope.cancel()
            thread.submit(gate.set, lambda _: None)
            assert await thread.run(gate.wait, 10) is True
            assert not scope.cancelled_caught


async def test_what_was_given_is_done_before_it_ends() -> None:
    done: list[int] = []
    thread = Worker("ending")
    for number in range(3):
        thread.submit(lambda number=number: done.append(number), lambda _: None)  # type: ignore[misc]
    thread.close()
    for ending in [other for other in threading.enumerate() if other.name == "ending"]:
        await trio.to_thread.run_sync(ending.join, 10)
        assert not ending.is_alive()
    assert done == [0, 1, 2]


def test_its_word_comes_too_late_for_a_run_that_is_over() -> None:
    """The thread ends in peace."""
    gate = threading.Event()

    async def run() -> None:
        thread = Worker("late")
        thread.submit(gate.wait, lambda _: None)
        thread.close()

    trio.run(run)
    late = [thread for thread in threading.enumerate() if thread.name == "late"]
    gate.set()
    for thread in late:
        thread.join(10)
    assert len(late) == 1 and not late[0].is_alive()
