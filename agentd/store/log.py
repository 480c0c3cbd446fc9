"""Group commit: one writer between the appenders and the file.

Theory of operation: `append` encodes, puts an item on the queue and waits. All that is on the queue is committed as one transaction
in the connection's thread; when that is done, one call in the trio thread hands the events to `on_commit` and wakes the appenders:
so whoever returns from `append` finds its event applied, and queue order is the order of the log. While a commit runs the next
batch gathers; fifty waiting appends cost one sync of the disk. `run` is there for what needs a task: to wait until a full disk is
tried again, and to fail.

The wait of an appender can be cancelled, the append cannot: "cancelled" never means "not written" (`flush` tells).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import apsw
import structlog
import trio
from attrs import define
from outcome import Error, Outcome, Value

from agentd.ports import Adopt, CallFilter, CallSums, Clock, IdemKey, NewEvent, UsageFilter, UsageKey
from agentd.steady import Steady
from agentd.store import blob
from agentd.store.check import BROKEN
from agentd.store.reader import Reader
from agentd.store.sqlite import ENDS_DRAFT, Append, Database, Draft, Encoded, Item, Write
from agentd.store.worker import Works
from agentwire.errors import InternalError, InvalidParams, StorageFull, StoreError
from agentwire.events import MAX_EVENT, Event, encode_body
from agentwire.types import CallRecord, SessionFilter, SessionInfo, UsageRow

log = structlog.get_logger()

T = TypeVar("T")

_RETRY = 1.0
"""Seconds between attempts to write outcomes that must not be lost while the disk is full."""
_INSTANT = 1e-6
"""Seconds: what a float of today's date can tell apart."""
_BATCH = 500
"""Appends of one commit at most: bounds the synchronous stretch after it."""


@define(eq=False)
class _Waiting:
    """A queued item and the task that waits for it, unless that was cancelled."""

    item: Item
    essential: bool
    task: trio.lowlevel.Task | None

    async def wait(self) -> None:
        def give_up(_: object) -> trio.lowlevel.Abort:
            self.task = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(give_up)

    def over(self, error: Exception | None = None) -> None:
        task, self.task = self.task, None
        if task is not None:
            trio.lowlevel.reschedule(task, Value(None) if error is None else Error(error))


class EventLog:
    """ports.Store on a SQLite file. `writes` and `reads`: the threads of its two connections."""

    def __init__(self, writer: Database, reader: Reader, writes: Works, reads: Works, clock: Clock) -> None:
        self._writer, self._reader = writer, reader
        self._writes, self._reads = writes, reads
        self._clock, self._steady = clock, Steady(clock)
        self._newest = 0.0
        self._queue: list[_Waiting] = []
        self._drafts: list[Draft] = []
        self._on_commit: Callable[[Sequence[Event]], None] | None = None
        self._call = trio.Event()  # for `run`: there is something to wait for, or it is over
        self._busy = self._resting = self._closing = self._over = False
        self._failure: StoreError | None = None
        self._cause: BaseException | None = None
        self._full = False
        self._erased = trio.Event()
        self.damage = ""
        """What is wrong with the file, as far as anybody has met it."""

    # --- the writer --------------------------------------------------------------------------------------------------------

    async def run(self, on_commit: Callable[[Sequence[Event]], None], *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Until it is closed and everything is written. Error handling: raises what the log failed with."""
        self._newest = await self._writes.run(self._writer.newest)
        self._on_commit = on_commit
        task_status.started()
        self._next()
        try:
            await self._watch_over()
        except (Exception, trio.Cancelled) as error:  # what was asked for is done, and told; what comes later is refused
            self._closing, self._resting = True, False
            self._next()
            with trio.CancelScope(shield=True):
                await self._watch_over()
            self._failure = self._failure or StoreError(f"the event log has stopped: {error!r}")
            raise
        if self._cause is not None:
            raise self._cause

    async def _watch_over(self) -> None:
        """Until it is over."""
        while not self._over:
            await self._call.wait()
            self._call = trio.Event()
            if self._resting:
                await trio.sleep(_RETRY)
                self._resting = False
                self._next()

    def close(self) -> None:
        """Let the writer end once its queue is empty; later appends fail."""
        self._closing = True
        self._next()

    def _next(self) -> None:
        """Give the thread what there is to do, unless it is at work."""
        if self._busy or self._resting or self._over or self._on_commit is None:
            return
        if self._queue or (self._drafts and not self._full):  # drafts alone do not knock on a full disk
            self._busy = True
            self._commit()
        elif self._writer.untidy:  # behind the commits: nobody waits for it
            self._busy = True
            self._writes.submit(self._writer.tidy, self._tidied)
        elif self._closing:
            self._over = True
            self._call.set()

    def _commit(self) -> None:
        batch = self._take()
        # Drafts first: those of this batch's messages were streamed before them and must be gone after. None on a full disk.
        drafts: list[Draft] = []
        if not self._full:
            drafts, self._drafts = self._drafts, []
        items: list[Item] = [*drafts, *(waiting.item for waiting in batch)]
        self._writes.submit(partial(self._writer.commit, items), partial(self._committed, batch, drafts))

    def _take(self) -> list[_Waiting]:
        size = _BATCH
        if self._full and self._queue[0].essential:  # what was kept goes alone: a big input must not make it fail again
            size = next((at for at, waiting in enumerate(self._queue) if not waiting.essential), size)
        batch, self._queue = self._queue[:size], self._queue[size:]
        return batch

    def _committed(self, batch: list[_Waiting], drafts: list[Draft], result: Outcome[None]) -> None:
        self._busy = False
        try:
            result.unwrap()
            self._full = False
            self._publish(batch)
        except StorageFull as error:
            self._drafts[:0] = drafts  # a draft with a hole in the middle would be worse than a late one
            self._keep_outcomes(batch, error)
        except BaseException as error:  # noqa: BLE001 - of the file, or of who was told: `run` raises it
            self._fail(error, batch)
        self._next()

    def _tidied(self, result: Outcome[None]) -> None:
        self._busy = False
        try:
            result.unwrap()
        except BaseException as error:  # noqa: BLE001 - as above
            self._fail(error, [])
        self._next()

    def _publish(self, batch: list[_Waiting]) -> None:
        assert self._on_commit is not None
        events = [event for waiting in batch if isinstance(waiting.item, Append) for event in waiting.item.committed]
        # What was streamed while its message was being written is in the message.
        if self._drafts:
            ended = {event.stream for event in events if event.kind in ENDS_DRAFT}
            self._drafts = [draft for draft in self._drafts if draft.stream not in ended]
        self._on_commit(events)
        for waiting in batch:
            waiting.over()
        if any(isinstance(waiting.item, Append) and waiting.item.erase for waiting in batch):
            self._erased.set()
            self._erased = trio.Event()

    def _keep_outcomes(self, batch: list[_Waiting], error: StorageFull) -> None:
        """The disk is full: fail what may fail, keep the outcomes of effects that have happened, try again in a second."""
        self._full = True
        kept = [waiting for waiting in batch if waiting.essential]
        if kept:  # whoever waits behind them would wait as long as they do
            batch, self._queue = [*batch, *self._queue], []
            kept = [waiting for waiting in batch if waiting.essential]
        for waiting in batch:
            if not waiting.essential:
                waiting.over(error)
        if self._closing and kept:  # the next boot will find these effects unknown; waiting for space could take for ever
            log.critical("outcomes_lost", count=len(kept), reason=str(error))
            for waiting in kept:
                waiting.over(error)
            return
        self._queue[:0] = kept
        if kept:
            self._resting = True
            self._call.set()

    def _fail(self, cause: BaseException, batch: list[_Waiting]) -> None:
        """For good: everybody who waits is told, and `run` ends."""
        if isinstance(cause, apsw.Error):
            self._note(cause)
            told = StoreError(f"cannot write {self._writer.path}: {cause}")
            told.__cause__ = cause
            cause = told
        self._cause = cause
        self._failure = cause if isinstance(cause, StoreError) else StoreError(f"the event log has stopped: {cause!r}")
        for waiting in (*batch, *self._queue):
            waiting.over(self._failure)
        self._queue.clear()
        self._over = True
        self._call.set()

    def _note(self, error: Exception) -> None:
        if isinstance(error, BROKEN):
            self.damage = self.damage or str(error)

    # --- appending ---------------------------------------------------------------------------------------------------------

    async def append(
        self,
        events: Sequence[NewEvent],
        *,
        key: IdemKey | None = None,
        erase: str | None = None,
        adopt: Adopt | None = None,
        essential: bool = False,
    ) -> Sequence[Event]:
        at = self._stamp()
        encoded = [Encoded(new.stream, new.user, at, new.body, _encode(new.body)) for new in events]
        item = Append(encoded, key, self._steady.now(), erase, adopt)
        await self._submit(item, essential=essential)
        return item.committed

    def _stamp(self) -> float:
        """Now; after what was there before even if the clock was set back: the order of sessions is that of their events."""
        now = self._clock.now()
        self._newest = now if now >= self._newest else self._newest + _INSTANT
        return self._newest

    async def _write(self, action: Callable[[Database], T], *, essential: bool = False) -> T:
        item = Write(action)
        await self._submit(item, essential=essential)
        result: T = item.result
        return result

    async def maintain(self, action: Callable[[apsw.Connection], T]) -> T:
        """Do something to the file in a transaction between the commits. Raises StorageFull, StoreError."""
        return await self._write(lambda database: action(database.db))

    async def alone(self, action: Callable[[apsw.Connection], T]) -> T:
        """The same outside of any transaction: what cannot be done in one. Commits wait for it."""
        return await self._writes.run(action, self._writer.db)

    @property
    def erased(self) -> trio.Event:
        """Set with the next commit that erases a stream."""
        return self._erased

    async def _submit(self, item: Item, *, essential: bool) -> None:
        if self._failure:
            raise self._failure
        if self._closing:
            raise StoreError("the event log is closed")
        waiting = _Waiting(item, essential, trio.lowlevel.current_task())
        self._queue.append(waiting)
        self._next()
        await waiting.wait()

    async def flush(self) -> None:
        await self._submit(Write(lambda _: None), essential=True)

    def save_draft(self, stream: str, chunk: bytes) -> None:
        if not (self._closing or self._failure):
            self._drafts.append(Draft(stream, chunk))
            trio.lowlevel.current_trio_token().run_sync_soon(self._next, idempotent=True)  # with those that come with it

    async def save_snapshot(self, stream: str, seq: int, code: str, state: bytes) -> None:
        await self._write(lambda database: database.save_snapshot(stream, seq, code, state))

    async def put_blob(self, stream: str, content: bytes, *, essential: bool = False) -> str:
        name = await self._read(blob.address, content)  # 32 MiB would hold up the loop, or the commits, for 100 ms
        await self._write(lambda database: database.put_blob(stream, content, name), essential=essential)
        return name

    async def start_boot(self, boot: str) -> Sequence[float]:
        at = self._clock.now()
        return await self._write(lambda database: database.start_boot(boot, at))

    async def end_boot(self, boot: str) -> None:
        at = self._clock.now()
        await self._write(lambda database: database.end_boot(boot, at))

    # --- reading -----------------------------------------------------------------------------------------------------------

    async def read(self, stream: str, *, after: int, limit: int) -> Sequence[Event]:
        return await self._read(self._reader.read, stream, after, limit)

    async def read_back(self, stream: str, *, before: int, limit: int) -> Sequence[Event]:
        return await self._read(self._reader.read_back, stream, before, limit)

    async def answered(self, user: str, key: str) -> tuple[str, bytes] | None:
        return await self._read(self._reader.answered, user, key, self._steady.now())

    async def load_draft(self, stream: str) -> Sequence[bytes]:
        return await self._read(self._reader.load_draft, stream)

    async def load_snapshot(self, stream: str, code: str) -> tuple[int, bytes] | None:
        return await self._read(self._reader.load_snapshot, stream, code)

    async def get_blob(self, stream: str, name: str, offset: int, limit: int) -> tuple[bytes, int] | None:
        return await self._read(self._reader.get_blob, stream, name, offset, limit)

    async def sessions(self, user: str, which: SessionFilter, *, before: str, limit: int) -> Sequence[SessionInfo]:
        return await self._read(self._reader.sessions, user, which, before, limit)

    async def find_session(self, user: str, prefix: str) -> Sequence[str]:
        return await self._read(self._reader.find_session, user, prefix)

    async def unfinished(self) -> Sequence[tuple[str, str]]:
        return await self._read(self._reader.unfinished)

    async def count_sessions(self) -> int:
        return await self._read(self._reader.count_sessions)

    async def users(self) -> Sequence[str]:
        return await self._read(self._reader.users)

    async def usage(self, by: UsageKey, which: UsageFilter, *, limit: int) -> Sequence[UsageRow]:
        return await self._read(self._reader.usage, by, which, limit)

    async def calls(self, user: str, which: CallFilter, *, before: int | None, limit: int) -> Sequence[CallRecord]:
        return await self._read(self._reader.calls, user, which, before, limit)

    async def call_sums(self, user: str) -> Sequence[CallSums]:
        return await self._read(self._reader.call_sums, user)

    async def direct_calls(self) -> Sequence[tuple[str, str, bool]]:
        return await self._read(self._reader.direct_calls)

    async def _read(self, function: Callable[..., T], *args: Any) -> T:
        try:
            result = await self._reads.run(function, *args)
        except apsw.Error as error:  # who asked cannot be answered; nobody else need hear of it
            self._note(error)
            log.error("read_failed", path=self._reader.path, reason=str(error))
            raise InternalError(f"cannot read {self._reader.path}: {error}") from error
        await trio.lowlevel.checkpoint_if_cancelled()
        return result

    @property
    def full(self) -> bool:
        return self._full

    @property
    def path(self) -> str:
        return self._writer.path


def _encode(body: object) -> bytes:
    data = encode_body(body)
    if len(data) > MAX_EVENT:
        size = f"{len(data) / 2**20:.1f} MiB"
        raise InvalidParams(
            f"the content is {size}; one event holds at most {MAX_EVENT // 2**20} MiB. Put it in a file and name the file."
        )
    return data
