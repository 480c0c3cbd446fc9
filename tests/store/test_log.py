"""The writer: who shares a commit, who waits, and what becomes of them when the disk is full, the writer dies or the log closes."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from agentd.core.index import index_change
from agentd.ports import IdemKey, NewEvent
from agentd.store.log import EventLog
from agentd.store.opening import open_inline, open_log
from agentd.store.sqlite import Database
from agentd.store.worker import Inline, Works
from agentwire.errors import ConfigError, InternalError, InvalidParams, StorageFull, StoreError
from agentwire.events import MAX_EVENT, Event
from tests.core.logs import finished, replied
from tests.fakes.house import TrioClock
from tests.store.running import fill, free, noise, on_file, renamed, running

BIG = noise(60_000)


def log(path: str = ":memory:") -> EventLog:
    return open_inline(index_change, TrioClock(), path)


def seqs(events: Any) -> list[int]:
    return [event.seq for event in events]


class Slow(Works):
    """A disk whose commits take as long as the test wants. `batches` has what each commit was given."""

    def __init__(self, store: EventLog) -> None:
        self.batches: list[int] = []
        self._held: list[Callable[[], None]] = []
        self._stalls = False
        self._through = store._writes
        store._writes = self  # the seam between the log and the thread of its connection

    def submit(self, work: Callable[[], Any], done: Callable[[Any], object]) -> None:
        given = getattr(work, "args", ())
        if given and isinstance(given[0], list):
            self.batches.append(len(given[0]))
        if self._stalls:
            self._held.append(lambda: self._through.submit(work, done))
        else:
            self._through.submit(work, done)

    def stall(self) -> None:
        self._stalls = True

    def go_on(self) -> None:
        self._stalls = False
        while self._held:
            self._held.pop(0)()


async def settle() -> None:
    """Until every other task waits for something."""
    await trio.testing.wait_all_tasks_blocked()


# --- group commit -----------------------------------------------------------------------------------------------------------------


async def test_what_gathers_during_a_commit_shares_the_next() -> None:
    """Fifty waiting appends cost one sync of the disk, and are in the order in which they were asked."""
    store = log()
    slow = Slow(store)
    async with running(store) as committed, trio.open_nursery() as nursery:
        slow.stall()
        for number in range(51):
            nursery.start_soon(store.append, [renamed(str(number))])
            await settle()
        slow.go_on()
        await settle()
        assert slow.batches == [1, 50]
        assert [event.body.title for event in committed] == [str(number) for number in range(51)]


async def test_a_flood_is_committed_in_bounded_batches() -> None:
    """Nobody waits for the synchronous stretch after thousands of appends."""
    store = log()
    slow = Slow(store)
    async with running(store) as committed, trio.open_nursery() as nursery:
        for _ in range(1200):
            nursery.start_soon(store.append, [renamed()])
        await settle()
        assert max(slow.batches) <= 500 and seqs(committed) == list(range(1, 1201))


async def test_cancelled_wait_does_not_take_the_append_back() -> None:
    """Cancelled while queued, while the commit runs, or before it even began to wait: the event is in the log."""
    store = log()
    slow = Slow(store)
    async with running(store) as committed:
        slow.stall()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.append, [renamed("in the commit")])
            await settle()
            nursery.start_soon(store.append, [renamed("queued")])
            await settle()
            nursery.cancel_scope.cancel()
        with trio.CancelScope() as scope:
            scope.cancel()
            await store.append([renamed("before")])
        slow.go_on()
        await store.flush()
        assert [event.body.title for event in committed] == ["in the commit", "queued", "before"]


async def test_cancelled_writer_finishes_what_was_asked_before() -> None:
    """Whoever waits is told what became of his events, truly; only later ones get an error."""
    store = log()
    slow = Slow(store)
    heard: list[Event] = []
    async with trio.open_nursery() as waiters, trio.open_nursery() as nursery:
        await nursery.start(store.run, heard.extend)
        slow.stall()
        for _ in range(2):  # one in the commit, one queued
            waiters.start_soon(store.append, [renamed()])
            await settle()
        nursery.cancel_scope.cancel()
        slow.go_on()
    assert seqs(heard) == [1, 2]
    with pytest.raises(StoreError, match="stopped"):
        await store.append([renamed()])


# --- drafts -----------------------------------------------------------------------------------------------------------------------


async def test_drafts_are_committed_together_and_before_the_events_of_their_batch() -> None:
    """All sessions' drafts in one commit; a message takes along what was streamed before it."""
    store = log()
    slow = Slow(store)
    async with running(store):
        await store.append([renamed(), renamed(stream="t")])
        for stream in ("s", "t", "s"):
            store.save_draft(stream, b"x")
        await settle()
        assert slow.batches == [1, 3] and await on_file(store, "synchronous") == 1
        store.save_draft("s", b"y")
        await store.append([NewEvent("s", "ann", replied("xxy"))])
        assert await store.load_draft("s") == [] and await store.load_draft("t") == [b"x"]


@pytest.mark.parametrize("body", [replied("all"), finished()], ids=["message", "turn"])
async def test_what_is_saved_while_its_message_is_written_is_gone_too(body: Any) -> None:
    """The saver may come between a message's append and its commit: no row may stay behind."""
    store = log()
    slow = Slow(store)
    async with running(store), trio.open_nursery() as nursery:
        await store.append([renamed()])
        slow.stall()
        nursery.start_soon(store.append, [NewEvent("s", "ann", body)])
        await settle()
        store.save_draft("s", b"late")
        slow.go_on()
        await settle()
        assert await store.load_draft("s") == []


async def test_draft_has_no_hole_after_a_full_disk() -> None:
    """What could not be saved is saved with the next commit that succeeds, in order; the disk is not tried for it in between."""
    store = log()
    async with running(store):
        await store.append([renamed()])
        store.save_draft("s", b"1")
        await settle()
        await fill(store)
        slow = Slow(store)
        for chunk in (BIG.encode(), b"3"):
            store.save_draft("s", chunk)
            await settle()
        assert slow.batches == [1] and store.full
        await free(store)
        await store.append([renamed()])
        await settle()
        assert await store.load_draft("s") == [b"1", BIG.encode(), b"3"]


# --- a full disk ------------------------------------------------------------------------------------------------------------------


async def test_full_disk_fails_what_may_fail_and_keeps_outcomes(autojump_clock: trio.testing.MockClock) -> None:
    """An input is refused at once; the outcome of an effect waits, is tried each second, and is written when space returns."""
    store = log()
    done: list[float] = []

    async def outcome() -> None:
        await store.append([renamed(BIG)], essential=True)
        done.append(trio.current_time())

    async with running(store) as committed, trio.open_nursery() as nursery:
        await store.append([renamed()])
        await fill(store)
        slow = Slow(store)
        with pytest.raises(StorageFull, match="nothing was lost"):
            await store.append([renamed(BIG)])
        began = trio.current_time()
        nursery.start_soon(outcome)
        await trio.sleep(4.5)
        assert len(slow.batches) == 1 + 5 and not done and store.full
        assert seqs(await store.read("s", after=0, limit=9)) == [1]
        await free(store)
        await trio.sleep(1)
        assert done == [began + 5] and seqs(committed) == [1, 2]


async def test_big_inputs_on_a_full_disk_do_not_keep_an_outcome_out(autojump_clock: trio.testing.MockClock) -> None:
    """A client that tries its long input again and again: an outcome for which there is room gets written, and only it."""
    store = log()
    refused = 0

    async def insist() -> None:
        nonlocal refused
        while True:
            with pytest.raises(StorageFull):
                await store.append([renamed(BIG)])
            refused += 1

    async with running(store) as committed, trio.open_nursery() as nursery:
        await store.append([renamed()])
        await fill(store)
        slow = Slow(store)
        slow.stall()
        nursery.start_soon(insist)
        await settle()
        nursery.start_soon(insist)
        await settle()
        with trio.fail_after(5):
            slow.go_on()
            await store.append([renamed("outcome")], essential=True)
        nursery.cancel_scope.cancel()
        assert [event.body.title for event in committed] == ["x", "outcome"] and refused


async def test_outcomes_of_a_full_disk_keep_their_order(autojump_clock: trio.testing.MockClock) -> None:
    """Kept before newly asked, in the order of the calls, one without the other's failure."""
    store = log()

    async with running(store) as committed, trio.open_nursery() as nursery:
        await store.append([renamed()])
        await fill(store)
        for number in range(5):
            nursery.start_soon(_outcome, store, f"{number}{BIG}")
            await trio.sleep(0.3)
        await free(store)
        await trio.sleep(2)
        assert [event.body.title[0] for event in committed] == ["x", "0", "1", "2", "3", "4"]


async def test_who_may_be_refused_does_not_wait_behind_an_outcome(autojump_clock: trio.testing.MockClock) -> None:
    """While an outcome waits for space an input hears within a second that there is none; so does the end of the boot."""
    store = log()

    async with running(store), trio.open_nursery() as nursery:
        await store.append([renamed()])
        await fill(store)
        nursery.start_soon(_outcome, store, BIG)
        await trio.sleep(0.5)
        with trio.fail_after(1.5), pytest.raises(StorageFull):
            await store.append([renamed(BIG)])
        with trio.fail_after(1.5), pytest.raises(StorageFull):
            await store.put_blob("s", BIG.encode())
        await free(store)


async def _outcome(store: EventLog, title: str) -> None:
    await store.append([renamed(title)], essential=True)


async def test_full_disk_keeps_nobody_from_stopping(autojump_clock: trio.testing.MockClock) -> None:
    """A log that closes on a full disk gives its outcomes up with an error after one more attempt; the writer ends."""
    store = log()

    async def outcome() -> None:
        with pytest.raises(StorageFull):
            await store.append([renamed(BIG)], essential=True)

    with trio.fail_after(3):
        async with trio.open_nursery() as waiters, running(store):
            await store.append([renamed()])
            await fill(store)
            store.save_draft("s", BIG.encode())
            waiters.start_soon(outcome)
            await trio.sleep(0.5)


async def test_blob_of_an_outcome_waits_for_space_like_the_outcome(autojump_clock: trio.testing.MockClock) -> None:
    """The long output of a tool that has run is not lost because the disk is full at that moment."""
    store = log()
    names: list[str] = []

    async def put() -> None:
        names.append(await store.put_blob("s", BIG.encode(), essential=True))

    async with running(store), trio.open_nursery() as nursery:
        await store.append([renamed()])
        await fill(store)
        with pytest.raises(StorageFull):
            await store.put_blob("s", BIG.encode())
        nursery.start_soon(put)
        await trio.sleep(2)
        await free(store)
        await trio.sleep(2)
        assert await store.get_blob("s", names[0], 0, 5) == (BIG[:5].encode(), len(BIG))


# --- the end ----------------------------------------------------------------------------------------------------------------------


async def test_dead_writer_wakes_every_waiter_now_and_later() -> None:
    """A file that cannot be written any more: whoever waits, and whoever comes, gets StoreError; so does the daemon."""
    store = log()
    slow = Slow(store)
    failed: list[str] = []

    async def append(title: str) -> None:
        with pytest.raises(StoreError):
            await store.append([renamed(title)], essential=True)
        failed.append(title)

    with pytest.RaisesGroup(StoreError):
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run, lambda events: None)
            await store.append([renamed()])
            store._writer.db.execute("DROP TABLE event")
            slow.stall()
            for number in range(3):
                nursery.start_soon(append, f"{number}")
                await settle()
            slow.go_on()
    await append("later")
    store.save_draft("s", b"x")
    with pytest.raises(StoreError):
        await store.flush()
    assert sorted(failed) == ["0", "1", "2", "later"]


async def test_projection_that_fails_stops_the_log() -> None:
    """What is committed but was not applied must not be built upon: nobody gets a success, the daemon ends and replays."""
    store = log()

    def explode(event: Event) -> None:
        raise ZeroDivisionError

    with pytest.RaisesGroup(ZeroDivisionError):
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run, explode)
            with pytest.raises(StoreError, match="ZeroDivisionError"):
                await store.append([renamed()])
    assert seqs(await store.read("s", after=0, limit=9)) == [1]


async def test_closing_writes_what_was_asked_before() -> None:
    """Queued appends and drafts are committed, then the writer ends; whoever comes later is told."""
    store = log()
    slow = Slow(store)
    async with trio.open_nursery() as waiters, running(store) as committed:
        slow.stall()
        for _ in range(3):
            waiters.start_soon(store.append, [renamed()])
            await settle()
        store.save_draft("s", b"x")
        store.close()
        store.close()
        slow.go_on()
        with pytest.raises(StoreError, match="closed"):
            await store.append([renamed()])
        store.save_draft("s", b"too late")
    assert seqs(committed) == [1, 2, 3] and await store.load_draft("s") == [b"x"]


async def test_flush_waits_for_all_before_it() -> None:
    """After it the log has what anybody appended before, also those who do not wait any more."""
    store = log()
    slow = Slow(store)
    async with running(store) as committed, trio.open_nursery() as nursery:
        slow.stall()
        with trio.move_on_after(0):
            await store.append([renamed()])
        flushed = trio.Event()

        async def flush() -> None:
            await store.flush()
            assert seqs(committed) == [1]
            flushed.set()

        nursery.start_soon(flush)
        await settle()
        assert not flushed.is_set()
        slow.go_on()
        await flushed.wait()


# --- values that cannot be written ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "error"), [("x" * MAX_EVENT, InvalidParams), ("\ud800", UnicodeEncodeError)], ids=["too long", "half a character"]
)
async def test_event_that_cannot_be_stored_is_its_appenders_error(title: str, error: type[Exception]) -> None:
    """It never reaches the batch of others."""
    store = log()
    async with running(store) as committed:
        with pytest.raises(error):
            await store.append([renamed(), renamed(title)])
        await store.append([renamed()])
        assert seqs(committed) == [1]


# --- any interleaving -------------------------------------------------------------------------------------------------------------

appenders = st.lists(
    st.tuples(st.sampled_from("abc"), st.lists(st.integers(1, 4), min_size=1, max_size=6), st.integers(0, 6)),
    min_size=1,
    max_size=8,
)


class Uneven(Inline):
    """Everything takes a few rounds of the loop."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def submit(self, work: Callable[[], Any], done: Callable[[Any], object]) -> None:
        self._later(self._chance.randrange(4), work, done)

    def _later(self, rounds: int, work: Callable[[], Any], done: Callable[[Any], object]) -> None:
        if rounds:
            trio.lowlevel.current_trio_token().run_sync_soon(self._later, rounds - 1, work, done)
        else:
            super().submit(work, done)


@given(appenders, st.integers(), st.integers(1, 5))
def test_any_interleaving_gives_the_order_of_the_file(plans: list[tuple[str, list[int], int]], seed: int, batch: int) -> None:
    """Several tasks on several streams, some cancelled, commits of any length, batches of any size: what `on_commit` heard is
    the file in the order of pos; seqs are gap-free; who returns has been heard; each task's events are in its order."""

    async def scenario() -> None:
        store, chance = log(), random.Random(seed)
        heard: list[Event] = []
        store._writes = Uneven(chance)

        async def task(number: int, stream: str, sizes: list[int], patience: int) -> None:
            with trio.move_on_after(patience) as scope:
                for step, size in enumerate(sizes):
                    await trio.sleep(chance.randrange(2))
                    events = await store.append([renamed(f"{number}:{step}", stream) for _ in range(size)])
                    assert scope.cancelled_caught or heard[-1].pos >= events[-1].pos

        async with running(store, heard.append) as committed:
            async with trio.open_nursery() as nursery:
                for number, (stream, sizes, patience) in enumerate(plans):
                    nursery.start_soon(task, number, stream, sizes, patience or 1000)
            await store.flush()
            assert committed == heard and [event.pos for event in heard] == list(range(1, len(heard) + 1))
            for stream in "abc":
                mine = [event for event in heard if event.stream == stream]
                stored = await store.read(stream, after=0, limit=1000)
                assert seqs(stored) == seqs(mine) == list(range(1, len(mine) + 1))
                assert [event.data for event in stored] == [event.data for event in mine]
            for number in range(len(plans)):
                steps = [int(event.body.title.split(":")[1]) for event in heard if event.body.title.startswith(f"{number}:")]
                assert steps == sorted(steps)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agentd.store.log._BATCH", batch)
        trio.run(scenario, clock=trio.testing.MockClock(autojump_threshold=0))


# --- opening ----------------------------------------------------------------------------------------------------------------------


async def test_newer_schema_is_a_configuration_error(tmp_path: Path) -> None:
    """The daemon then exits 78; the connection and its thread are closed."""
    path = str(tmp_path / "agentd.db")
    async with open_log(path, index_change, TrioClock()) as store:
        await on_file(store, "user_version", 99)
    with pytest.raises(ConfigError, match="schema 99"):
        async with open_log(path, index_change, TrioClock()):
            raise AssertionError


@pytest.mark.parametrize(("make", "advice"), [("file", "Move the file away"), ("directory", "Check the permissions")])
async def test_what_is_no_log_says_what_to_do(tmp_path: Path, make: str, advice: str) -> None:
    """A file of something else is never overwritten; a directory cannot be opened."""
    path = tmp_path / "agentd.db"
    if make == "file":
        path.write_bytes(b"Dear diary, " * 1000)
    else:
        path.mkdir()
    with pytest.raises(StoreError, match=advice):
        async with open_log(str(path), index_change, TrioClock()):
            raise AssertionError
    assert make == "directory" or path.read_bytes().startswith(b"Dear diary")


async def test_replays_do_not_write(tmp_path: Path) -> None:
    """The connection of the readers cannot change anything, whatever a statement says."""
    async with open_log(str(tmp_path / "agentd.db"), index_change, TrioClock()) as store:

        def write(database: Database) -> None:
            database.db.execute("DELETE FROM event")

        with pytest.raises(InternalError, match="readonly"):
            await store._read(write, store._reader)


def test_key_needs_its_transaction() -> None:
    """An answer that cannot be made takes the events back: no effect without its key."""

    async def scenario() -> None:
        store = log()
        key = IdemKey(user="ann", key="k", digest="d", answer=lambda events: events[5].data)
        with pytest.RaisesGroup(IndexError):
            async with running(store):
                with pytest.raises(StoreError):
                    await store.append([renamed()], key=key)
        assert await store.read("s", after=0, limit=1) == [] and await store.answered("ann", "k") is None

    trio.run(scenario)
