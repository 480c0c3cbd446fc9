"""Background jobs on real processes: when they begin, what is kept of what they say, and every way in which they end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from agentd.core.jobs import KEPT, Ring, piece
from agentd.core.state import OLD_JOBS
from agentd.store.worker import Inline
from agentwire import events as ev
from agentwire.errors import NotFound, StorageFull, ToolError
from agentwire.types import BlobRef, Text
from tests.core.logs import created, state_of
from tests.fakes.processes import gone
from tests.fakes.yard import PROFILE, yard


async def test_it_is_in_the_log_before_it_begins() -> None:
    """And its end with what it said and how it ended."""
    async with yard() as place:
        info = await place.ended("echo one; echo two >&2; exit 3")
        assert (info.number, info.state, info.code, info.call) == (1, "failed", 3, "c1")
        assert info.command == "echo one; echo two >&2; exit 3" and info.cwd == "/" and info.finished_at is not None
        assert place.house.kinds(place.live) == ["session_created", "job_started", "job_finished"]
        assert place.finished() == ev.JobFinished(number=1, state="failed", code=3, parts=(Text(text="one\ntwo\n"),), bytes=8)
        assert await place.said(1) == (b"one\ntwo\n", 0, 8) and await place.said(1, -4) == (b"two\n", 4, 8)


async def test_it_goes_on_while_nothing_else_does() -> None:
    """It is listed as running, and what it says can be read as it comes."""
    async with yard() as place:
        info = await place.start(f"echo begun; echo $$ > {place.box.path}; sleep 1000")
        pid = await place.box.pid()
        assert info.state == "running" and [job.number for job in place.jobs.list()] == [1]
        assert place.live.view.jobs == (info,)
        while (await place.said(1))[2] == 0:
            await trio.lowlevel.checkpoint()
        assert await place.said(1) == (b"begun\n", 0, 6)
        assert (await place.jobs.wait(1, 0)).state == "running"
    await gone(pid)
    assert place.finished().state == "killed"  # the end of the daemon is that of its jobs


async def test_killing_it_kills_all_of_it() -> None:
    """The answer comes when it is gone; a second kill finds it killed."""
    async with yard() as place:
        await place.start(f"trap '' TERM; sleep 1000 & echo $! > {place.box.path}; wait")
        child = await place.box.pid()
        for _ in range(2):
            info = await place.jobs.kill(1)
            assert (info.state, info.code) == ("killed", None)
        await gone(child)
        assert place.house.kinds(place.live).count("job_finished") == 1


async def test_a_job_that_cannot_be_started_leaves_no_trace() -> None:
    """Whoever asked is told why."""
    async with yard() as place:
        with pytest.raises(ToolError, match="no such program"):
            await place.jobs.start("c1", "x", ["/no/such"], evolve(PROFILE, gated=False))
        assert not place.jobs.list() and place.house.kinds(place.live) == ["session_created"]


async def test_a_job_that_ends_before_it_begins_has_failed() -> None:
    """Its walls could not be built: that is in the log, which already knew of it, and whoever asked is told."""
    async with yard() as place:
        with pytest.raises(ToolError, match="before it could begin"):
            await place.jobs.start("c1", "x", ["/bin/false"], evolve(PROFILE, gated=False))
        (job,) = place.jobs.list()
        assert (job.state, job.code) == ("failed", None)


async def test_only_so_many_run_at_once() -> None:
    """Those that have ended do not count."""
    async with yard(jobs=1) as place:
        await place.start("sleep 1000")
        with pytest.raises(ToolError, match="1 jobs run"):
            await place.start("true")
        await place.jobs.kill(1)
        assert (await place.ended("true")).number == 2


class FullDisk(Inline):
    def submit(self, work: Callable[[], Any], done: Callable[[Any], object]) -> None:
        def fail() -> Any:
            raise StorageFull("the disk is full")

        super().submit(fail, done)


@pytest.mark.slow  # the store tries again each second
async def test_on_a_full_disk_no_job_begins() -> None:
    """What cannot be written down first does not happen; the end of one that runs is written once there is space."""
    async with yard() as place:
        await place.start("sleep 1000")
        store = place.house.store
        writes, store._writes = store._writes, FullDisk()
        with pytest.raises(ToolError, match="not started"):
            await place.start(f"echo begun > {place.box.path}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(place.jobs.kill, 1)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert [job.state for job in place.jobs.list()] == ["running"]
            store._writes = writes
        assert place.box.empty() and [job.state for job in place.jobs.list()] == ["killed"]


async def test_a_call_that_is_cancelled_has_started_nothing() -> None:
    """Or what it has started is ended."""
    async with yard() as place:
        with trio.CancelScope() as scope:
            scope.cancel()
            await place.start("sleep 1000")
        while place.house.core.jobs.running(place.live.state.id):
            await trio.lowlevel.checkpoint()
        assert all(job.state == "killed" for job in place.jobs.list())


async def test_jobs_end_with_their_session() -> None:
    """Deleting it waits until nothing of them lives; an automatic clean-up leaves it alone."""
    async with yard() as place:
        await place.start(f"echo $$ > {place.box.path}; sleep 1000")
        pid = await place.box.pid()
        assert place.house.sessions.in_use(place.live.state.info)
        await place.house.call("session/delete", session=place.live.state.id)
        await gone(pid)
        assert place.finished().state == "killed"


async def test_long_output_is_kept_to_its_end() -> None:
    """The last mebibyte, as a blob once the job is over; what a reader has seen stays where it was."""
    async with yard() as place:
        await place.ended(f"yes 0123456 | head -c {2 * KEPT}; echo last")
        data, begin, total = await place.said(1)
        assert (len(data), begin, total) == (KEPT, KEPT + 5, 2 * KEPT + 5) and data.endswith(b"\nlast\n")
        (part,) = place.finished().parts
        assert isinstance(part, BlobRef) and part.bytes == KEPT and part.tail.endswith("last\n") and part.head
        assert await place.said(1, total - 5) == (b"last\n", total - 5, total)


async def test_bytes_that_are_no_text_stay_what_they_are() -> None:
    """In a blob: as text they would be others, and more."""
    async with yard() as place:
        await place.ended(r"printf 'caf\351\0'")
        assert await place.said(1) == (b"caf\xe9\0", 0, 5)


async def test_what_a_dead_daemon_left_is_lost() -> None:
    """At the next start, once; another job gets another number."""
    async with yard() as place:
        body = ev.JobStarted(number=7, call="c", command="make", cwd="/")
        await place.house.store.append(place.live.new([body]))
        await place.house.recover()
        await place.house.recover()
        (job,) = place.jobs.list()
        assert (job.number, job.state) == (7, "lost") and place.finished(7).bytes == 0
        assert await place.said(7) == (b"", 0, 0)
        assert (await place.ended("true")).number == 8


async def test_jobs_that_are_not_there() -> None:
    """Neither read, nor waited for, nor killed."""
    async with yard() as place:
        for ask in (place.jobs.kill(1), place.jobs.wait(1, 0), place.jobs.output(1, 0)):
            with pytest.raises(NotFound, match="no job 1"):
                await ask


# --- what is kept ----------------------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=9), max_size=30), st.integers(1, 20), st.integers(-50, 50))
def test_a_ring_has_the_last_bytes(pieces: list[bytes], size: int, offset: int) -> None:
    """And a piece of it is what the whole has there."""
    ring = Ring(size)
    for some in pieces:
        ring.add(some)
    whole = b"".join(pieces)
    assert ring.kept == whole[-size:] and ring.total == len(whole)
    data, begin, total = piece(ring.kept, ring.total, offset)
    assert data == whole[begin:] and total == len(whole)
    assert begin == min(max(offset if offset >= 0 else total + offset, total - len(ring.kept)), total)


def test_a_session_remembers_some_of_its_jobs() -> None:
    """Those that run, and the newest of the others."""
    began = [ev.JobStarted(number=number, call="c", command="x", cwd="/") for number in range(1, OLD_JOBS + 11)]
    over = [ev.JobFinished(number=number, state="done", code=0) for number in range(2, OLD_JOBS + 11)]
    state = state_of(created(), *began, *over)
    assert [job.number for job in state.jobs] == [1, *range(11, OLD_JOBS + 11)]
