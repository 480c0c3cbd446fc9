"""What `ports.Store` promises, on each implementation: the log on a file with a thread for each connection, and the inline one."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing

from agentd.core.index import index_change
from agentd.ports import Adopt, IdemKey, NewEvent, Store, UsageFilter, day_of
from agentd.store.log import EventLog
from agentd.store.opening import open_inline, open_log
from agentwire import events as ev
from agentwire.errors import InternalError, InvalidParams, StorageFull, StoreError
from agentwire.types import Preferences, SessionFilter
from tests.core.logs import accepted, finished, replied, started
from tests.store.running import fill, free, noise, opened, renamed, running

Opener = Callable[[], AbstractAsyncContextManager[EventLog]]


class SetClock:
    """ports.Clock that stands where it is put."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def now(self) -> float:
        return self.time


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture(params=["threads", "inline"])
def opener(request: pytest.FixtureRequest, tmp_path: Path, clock: SetClock, monkeypatch: pytest.MonkeyPatch) -> Opener:
    """Opens the store of this test's file; opened again, it is the next boot."""
    path = str(tmp_path / "agentd.db")
    monkeypatch.setattr("agentd.store.log._RETRY", 0.001)

    @asynccontextmanager
    async def inline() -> AsyncIterator[EventLog]:
        store = open_inline(index_change, clock, path)
        yield store
        store._writer.db.close()

    return inline if request.param == "inline" else lambda: open_log(path, index_change, clock)


def seqs(events: Any) -> list[int]:
    return [event.seq for event in events]


async def settled(condition: Callable[[], bool]) -> None:
    """Until the writer's thread has brought it about."""
    with trio.fail_after(10):
        while not condition():
            await trio.lowlevel.checkpoint()


# --- events -----------------------------------------------------------------------------------------------------------------------


async def test_streams_are_numbered_without_gaps(opener: Opener, clock: SetClock) -> None:
    """seq counts in the stream, pos over all; the events are given back as they were committed."""
    async with opener() as store, running(store) as committed:
        first = await store.append([renamed("a"), renamed("b", "t"), renamed("c")])
        clock.time += 5
        second = await store.append([renamed("d", "t")])
        assert [(event.stream, event.seq, event.pos) for event in committed] == [("s", 1, 1), ("t", 1, 2), ("s", 2, 3), ("t", 2, 4)]
        assert [*first, *second] == committed
        assert (first[0].at, second[0].at) == (clock.time - 5, clock.time)
        assert (first[0].user, first[0].kind, first[0].version, first[0].data) == ("ann", "session_renamed", 1, b'{"title":"a"}')


async def test_who_returns_finds_its_events_applied_and_readable(opener: Opener) -> None:
    """`on_commit` has heard them, and any reader sees them at once."""
    async with opener() as store, running(store) as committed, trio.open_nursery() as nursery:

        async def append(number: int) -> None:
            (event,) = await store.append([renamed(str(number))])
            assert event in committed
            assert (await store.read("s", after=event.seq - 1, limit=1))[0].data == event.data

        for number in range(20):
            nursery.start_soon(append, number)


async def test_log_outlives_its_reader(opener: Opener) -> None:
    """The next boot reads what this one wrote and numbers on."""
    for boot in range(3):
        async with opener() as store, running(store):
            assert seqs(await store.read("s", after=0, limit=10)) == list(range(1, boot + 1))
            await store.append([renamed()])


async def test_cancelled_wait_does_not_take_events_back(opener: Opener) -> None:
    """ "Cancelled" never means "not written": `flush` tells."""
    async with opener() as store, running(store) as committed:
        with trio.CancelScope() as scope:
            scope.cancel()
            await store.append([renamed()])
        assert scope.cancelled_caught
        await store.flush()
        assert seqs(committed) == [1]


async def test_pages_go_forwards_and_backwards(opener: Opener) -> None:
    """At most `limit`, in order, empty only at the end; a deadline of the reader's is not one of the database's."""
    async with opener() as store, running(store):
        await store.append([renamed(str(number)) for number in range(10)])
        with trio.move_on_after(60):
            assert seqs(await store.read("s", after=0, limit=3)) == [1, 2, 3]
            assert seqs(await store.read("s", after=8, limit=3)) == [9, 10]
            assert seqs(await store.read("s", after=10, limit=3)) == []
            assert seqs(await store.read_back("s", before=11, limit=3)) == [8, 9, 10]
            assert seqs(await store.read_back("s", before=2, limit=3)) == [1]
            assert seqs(await store.read_back("s", before=1, limit=3)) == []
            assert seqs(await store.read("nobody", after=0, limit=3)) == []


async def test_event_over_the_limit_is_refused_alone(opener: Opener) -> None:
    """The caller is told; nothing of its append is written, and others do not notice."""
    async with opener() as store, running(store) as committed:
        with pytest.raises(InvalidParams, match=r"1\.0 MiB"):
            await store.append([renamed(), renamed("x" * ev.MAX_EVENT)])
        await store.append([renamed()])
        assert seqs(committed) == [1]


# --- erasing ----------------------------------------------------------------------------------------------------------------------


async def test_erased_stream_is_gone_with_all_that_belongs_to_it(opener: Opener) -> None:
    """Events, index, draft, snapshot, blobs; what others refer to stays; the event that says so is in another stream."""
    async with opener() as store, running(store):
        blob = ""
        for stream in ("s", "t"):
            await store.append([opened(stream)])
            blob = await store.put_blob(stream, b"shared")
            await store.save_snapshot(stream, 1, "code", b"state")
            store.save_draft(stream, b"draft")
        mine = await store.put_blob("s", b"mine")
        (gone,) = await store.append([NewEvent("user:ann", "ann", ev.SessionDeleted(session="s"))], erase="s")
        store.save_draft("s", b"too late")
        await store.save_snapshot("s", 1, "code", b"too late")
        assert await store.read("s", after=0, limit=9) == [] and await store.find_session("ann", "s") == []
        assert await store.load_draft("s") == [] and await store.load_snapshot("s", "code") is None
        assert [await store.get_blob("s", name, 0, 9) for name in (blob, mine)] == [None, None]
        assert await store.get_blob("t", blob, 0, 9) == (b"shared", 6)
        assert await store.load_draft("t") == [b"draft"] and await store.load_snapshot("t", "code") == (1, b"state")
        assert seqs(await store.read("user:ann", after=0, limit=9)) == [gone.seq] == [1]
        assert await store.count_sessions() == 1


# --- idempotency keys -------------------------------------------------------------------------------------------------------------


async def test_key_is_stored_with_its_events(opener: Opener, clock: SetClock) -> None:
    """The answer is made from what was committed, belongs to one user, and counts for 24 h."""

    def answer(events: Any) -> bytes:
        return b'{"seq":%d}' % events[0].seq

    async with opener() as store, running(store):
        await store.append([renamed()])
        await store.append([renamed()], key=IdemKey(user="ann", key="k", digest="d", answer=answer))
        assert await store.answered("ann", "k") == ("d", b'{"seq":2}')
        assert await store.answered("bob", "k") is None and await store.answered("ann", "other") is None
        clock.time += 365 * 86400  # somebody has set the clock: no time has passed
        await store.append([renamed()], key=IdemKey(user="ann", key="next", digest="d", answer=answer))
        assert await store.answered("ann", "k") == ("d", b'{"seq":2}')
    async with opener() as store, running(store):
        assert await store.answered("ann", "k") is None


async def test_clock_that_is_set_back_does_not_set_the_log_back(opener: Opener, clock: SetClock) -> None:
    """What comes later is later, within a run and in the next one, for it orders the sessions; then the clock is followed again."""
    async with opener() as store, running(store):
        (first,) = await store.append([renamed()])
        clock.time -= 365 * 86400
        (second,) = await store.append([renamed()])
    async with opener() as store, running(store):
        (third,) = await store.append([renamed()])
        clock.time = first.at + 1
        (fourth,) = await store.append([renamed()])
    assert first.at < second.at < third.at < fourth.at == first.at + 1


async def test_key_of_a_failed_append_is_not_stored(opener: Opener) -> None:
    """The same request may be made again when the disk has space."""
    key = IdemKey(user="ann", key="k", digest="d", answer=lambda events: b"{}")
    async with opener() as store, running(store):
        await store.append([renamed()])
        await fill(store)
        with pytest.raises(StorageFull):
            await store.append([renamed(noise(100_000))], key=key)
        assert await store.answered("ann", "k") is None


# --- drafts, snapshots, blobs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [replied("x"), finished()], ids=["message", "turn"])
async def test_draft_is_kept_until_its_message(opener: Opener, body: Any) -> None:
    """In the order it was saved, over a restart; gone with the stream's next message or turn end, not with other events."""
    async with opener() as store, running(store):
        await store.append([renamed(), renamed(stream="t")])
        for chunk in (b"1", b"2"):
            store.save_draft("s", chunk)
        store.save_draft("t", b"other")
        store.save_draft("nobody", b"x")
        await store.append([renamed()])
    async with opener() as store, running(store):
        assert await store.load_draft("s") == [b"1", b"2"] and await store.load_draft("nobody") == []
        await store.append([NewEvent("s", "ann", body)])
        assert await store.load_draft("s") == [] and await store.load_draft("t") == [b"other"]


async def test_snapshot_of_other_code_is_ignored(opener: Opener) -> None:
    """The newest of a stream counts, and only for the code that wrote it."""
    async with opener() as store, running(store):
        await store.append([renamed()])
        for seq in (1, 2):
            await store.save_snapshot("s", seq, f"v{seq}", b"state %d" % seq * 300)
        assert await store.load_snapshot("s", "v1") is None
        assert await store.load_snapshot("s", "v2") == (2, b"state 2" * 300)
        assert await store.load_snapshot("nobody", "v2") is None


async def test_blob_is_read_in_pieces_by_its_own_stream(opener: Opener) -> None:
    """Any content by its sha256; another session's blob is as if it were not."""
    content = bytes(range(256)) * 1000
    async with opener() as store, running(store):
        await store.append([renamed(), renamed(stream="t")])
        name = await store.put_blob("s", content)
        assert await store.put_blob("s", content) == name
        pieces = [await store.get_blob("s", name, offset, 100_000) for offset in range(0, 300_001, 100_000)]
        assert b"".join(piece for piece, _ in filter(None, pieces)) == content
        assert {size for _, size in filter(None, pieces)} == {len(content)}
        assert await store.get_blob("t", name, 0, 1) is None and await store.get_blob("s", "0" * 64, 0, 1) is None


async def test_adopted_blobs_belong_to_both(opener: Opener) -> None:
    """Those that are named and are the source's; each stays until its last stream is erased. All in the commit of the events."""
    async with opener() as store, running(store):
        await store.append([opened("s"), opened("other")])
        one, two = [await store.put_blob("s", content) for content in (b"one", b"two")]
        foreign = await store.put_blob("other", b"foreign")
        adopt = Adopt(stream="t", source="s", blobs=frozenset({one, foreign, "0" * 64}))
        await store.append([opened("t")], adopt=adopt)
        assert [await store.get_blob("t", name, 0, 9) for name in (one, two, foreign)] == [(b"one", 3), None, None]
        await store.append([NewEvent("user:ann", "ann", ev.SessionDeleted(session="s"))], erase="s")
        assert await store.get_blob("t", one, 0, 9) == (b"one", 3)
        await store.append([NewEvent("user:ann", "ann", ev.SessionDeleted(session="t"))], erase="t")
        await store.append([opened("u")], adopt=Adopt(stream="u", source="other", blobs=frozenset({one, foreign})))
        assert [await store.get_blob("u", name, 0, 9) for name in (one, foreign)] == [None, (b"foreign", 7)]


async def test_blobs_of_what_was_erased_are_nobodys_trouble(opener: Opener) -> None:
    """One that comes too late, or is adopted too late, is dropped; the writer lives."""
    async with opener() as store, running(store):
        name = await store.put_blob("nobody", b"late")
        await store.append([opened("t")], adopt=Adopt(stream="t", source="nobody", blobs=frozenset({name})))
        assert await store.get_blob("nobody", name, 0, 9) is None and await store.get_blob("t", name, 0, 9) is None


# --- the index and the boots ------------------------------------------------------------------------------------------------------


async def test_index_lists_finds_and_counts(opener: Opener, clock: SetClock) -> None:
    """A user sees his own sessions, newest activity first; what is unfinished is everybody's."""
    async with opener() as store, running(store):
        for number, user in enumerate(("ann", "ann", "bob")):
            clock.time += 1
            await store.append([opened(f"a{number}", user, cwd=f"/{number}")])
        clock.time += 1
        await store.append([NewEvent("a0", "ann", body) for body in (accepted(1), started())])
        rows = await store.sessions("ann", SessionFilter(), before="", limit=9)
        assert [row.id for row in rows] == ["a0", "a1"]
        after = f"{rows[0].updated_at!r}:{rows[0].id}"
        assert [row.id for row in await store.sessions("ann", SessionFilter(), before=after, limit=9)] == ["a1"]
        assert [row.id for row in await store.sessions("ann", SessionFilter(cwd="/1"), before="", limit=9)] == ["a1"]
        assert await store.find_session("ann", "a") == ["a0", "a1"] and await store.find_session("ann", "a2") == []
        assert await store.unfinished() == [("ann", "a0")] and await store.count_sessions() == 3
        await store.append([NewEvent("a2", "bob", ev.JobStarted(number=1, call="c", command="make", cwd="/"))])
        assert await store.unfinished() == [("ann", "a0"), ("bob", "a2")]
        await store.append([NewEvent("a2", "bob", ev.JobFinished(number=1, state="done", code=0))])
        assert await store.unfinished() == [("ann", "a0")]


async def test_index_is_filtered_and_tells_whose_it_is(opener: Opener) -> None:
    """By what the events say: title, place, model, origin, pin; users once each, and none whose sessions are erased."""
    async with opener() as store, running(store):
        assert await store.users() == []
        await store.append([opened("a", title="Fix it"), opened("b", cwd="/b"), opened("c", "bob"), opened("d", parent="a")])
        pin = ev.SessionConfigured(preferences=Preferences(pinned=True, model="m/x"), variables={})
        await store.append([NewEvent("b", "ann", pin)])
        for which, found in (
            (SessionFilter(text="fix"), ["a"]),
            (SessionFilter(pinned=True), ["b"]),
            (SessionFilter(pinned=False, parent="a"), ["d"]),
            (SessionFilter(model="m/x", cwd="/b"), ["b"]),
            (SessionFilter(status="running"), []),
            (SessionFilter(active_after=0.0, status="idle"), ["a", "b", "d"]),
            (SessionFilter(created_before=0.0), []),
            (SessionFilter(active_before=0.0), []),
        ):
            assert sorted(row.id for row in await store.sessions("ann", which, before="", limit=9)) == found, which
        assert list(await store.users()) == ["ann", "bob"]
        await store.append([NewEvent("user:bob", "bob", ev.SessionDeleted(session="c"))], erase="c")
        assert list(await store.users()) == ["ann"]


async def test_requests_are_summed_up_with_their_events(opener: Opener, clock: SetClock) -> None:
    """By user and day, of sessions that are there and that are not any more; the next boot finds the same."""
    async with opener() as store, running(store):
        await store.append([opened("a"), opened("b", "bob")])
        await store.append([NewEvent("a", "ann", body) for body in (accepted(1), started(), replied("x"), finished())])
        clock.time += 86400
        await store.append([NewEvent("b", "bob", body) for body in (accepted(1), started(), replied("x"), finished())])
        await store.append([NewEvent("user:ann", "ann", ev.SessionDeleted(session="a"))], erase="a")
    async with opener() as store, running(store):
        days = await store.usage("day", UsageFilter(), limit=9)
        assert [(row.key, row.requests, row.unpriced) for row in days] == [("2027-01-16", 1, 1), ("2027-01-15", 1, 1)]
        (anns,) = await store.usage("session", UsageFilter(user="ann"), limit=9)
        assert (anns.key, anns.usage.input, anns.usage.output) == ("", 1, 2)
        assert list(await store.usage("all", UsageFilter(since=day_of(clock.time) + 1), limit=9)) == []


async def test_boots_that_did_not_end_are_told(opener: Opener, clock: SetClock) -> None:
    """Each unclean one by when it began, until one ends cleanly."""
    began: list[float] = []
    for boot in ("a", "b", "c"):
        async with opener() as store, running(store):
            clock.time += 60
            assert list(await store.start_boot(boot)) == began
            began.append(clock.time)
    async with opener() as store, running(store):
        await store.end_boot("c")
        assert await store.start_boot("d") == []


# --- a full disk, a broken one, the end -------------------------------------------------------------------------------------------


async def test_full_disk_refuses_inputs_keeps_outcomes_and_recovers(opener: Opener) -> None:
    """Reading works meanwhile; when space returns the kept ones are written, without anybody's doing."""
    async with opener() as store, running(store) as committed, trio.open_nursery() as nursery:
        await store.append([renamed()])
        await fill(store)
        with pytest.raises(StorageFull, match="no space left") as refused:
            await store.append([renamed(noise(100_000))])
        assert refused.value.retryable and store.full

        async def outcome() -> None:
            await store.append([renamed(noise(100_000))], essential=True)

        nursery.start_soon(outcome)
        assert seqs(await store.read("s", after=0, limit=9)) == [1]
        await free(store)
        await settled(lambda: len(committed) == 2)
        assert seqs(await store.read("s", after=0, limit=9)) == [1, 2]


async def test_broken_file_fails_everybody_and_the_writer(opener: Opener) -> None:
    """Any failure but a full disk: StoreError for who waits and who comes later, and out of `run`; a reader fails alone."""

    async def append(store: Store) -> None:
        with pytest.raises(StoreError):
            await store.append([renamed()], essential=True)

    async with opener() as store:
        with pytest.RaisesGroup(StoreError):
            async with trio.open_nursery() as writer:
                await writer.start(store.run, lambda event: None)
                await store.append([renamed()])
                await store._write(lambda database: database.db.execute("DROP TABLE event"))
                async with trio.open_nursery() as nursery:
                    for _ in range(5):
                        nursery.start_soon(append, store)
        await append(store)
        with pytest.raises(InternalError, match="cannot read"):
            await store.read("s", after=0, limit=1)


async def test_closed_log_ends_its_writer_and_refuses(opener: Opener) -> None:
    """What was asked before is written."""
    async with opener() as store:
        async with running(store) as committed:
            with trio.move_on_after(0):
                await store.append([renamed()])
            store.close()
        with pytest.raises(StoreError, match="closed"):
            await store.append([renamed()])
        assert len(committed) == 1


# --- what the threads leave behind ------------------------------------------------------------------------------------------------


def _descriptors() -> set[str]:
    return {name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")}


async def _threads_end(before: set[threading.Thread]) -> None:
    for thread in set(threading.enumerate()) - before:
        await trio.to_thread.run_sync(thread.join, 10)
        assert not thread.is_alive()


@pytest.mark.parametrize("how", ["use", "cancelled before", "error inside"])
async def test_no_thread_and_no_descriptor_is_left_open(tmp_path: Path, clock: SetClock, how: str) -> None:
    """A thread of apsw's that is left keeps the process from ending: also after an error or a cancellation at any moment."""
    path = str(tmp_path / "agentd.db")
    await trio.to_thread.run_sync(int)  # trio's own worker thread stays
    threads, descriptors = set(threading.enumerate()), _descriptors()
    with trio.CancelScope() as scope:
        if how == "cancelled before":
            scope.cancel()
        try:
            async with open_log(path, index_change, clock) as store, running(store):
                await store.append([renamed()])
                if how == "error inside":
                    raise ZeroDivisionError
        except* ZeroDivisionError:
            pass
    await _threads_end(threads)
    assert _descriptors() == descriptors
    assert sorted(os.listdir(tmp_path)) == ["agentd.db"]  # nor a WAL: the file alone can be copied
