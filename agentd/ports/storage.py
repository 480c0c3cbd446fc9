"""What core asks of the store: the log, and its keeping."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

from attrs import Factory, frozen

from agentwire.events import Event
from agentwire.types import BackupInfo, CallOutcome, CallRecord, CallState, SessionFilter, SessionInfo, StoreInfo, Usage, UsageRow

_DAY = 86400


@frozen
class NewEvent:
    """An event to append; the store gives it pos, seq and time."""

    stream: str
    user: str
    body: Any


@frozen(kw_only=True)
class IdemKey:
    """Commits with the events. `answer` makes the stored reply from the committed events (runs in the store's thread)."""

    user: str
    key: str
    digest: str
    answer: Callable[[Sequence[Event]], bytes]


@frozen(kw_only=True)
class CallChange:
    """How far a tool call of the stream has come. `planned`: a new one, of the tool `name`, for `session` if a person or a program
    made it; else it is the newest open one of this id."""

    call: str
    state: CallState
    name: str = ""
    session: str = ""
    outcome: CallOutcome | None = None
    seconds: float = 0.0


@frozen(kw_only=True)
class CallFilter:
    """Which calls: all conditions hold; an empty one holds always. `open`: those without an outcome yet. `since`: when planned."""

    tool: str = ""
    session: str = ""
    outcome: CallOutcome | Literal["", "open"] = ""
    since: float | None = None


@frozen
class CallSums:
    """All calls of one tool. `errors`: those that failed or had wrong arguments; `seconds` they ran; `last_at`: the newest."""

    name: str
    calls: int
    errors: int
    denied: int
    seconds: float
    last_at: float | None


@frozen(kw_only=True)
class IndexChange:
    """What an event does to its session's row: columns set, counters moved, `title` if the session has none, or a new row.

    `call`: what it does to the ledger, too.
    """

    set: Mapping[str, Any] = Factory(dict)
    add: Mapping[str, int] = Factory(dict)
    title: str = ""
    create: bool = False
    call: CallChange | None = None


@frozen(kw_only=True)
class UsageChange:
    """A model request that is to be counted for the session's user, on the day of the event. `cost` None: nobody knows."""

    model: str
    usage: Usage
    cost: float | None
    estimated: bool


@frozen(kw_only=True)
class UsageFilter:
    """Which requests: all conditions hold; an empty one holds always. Days as `day_of` numbers them, both included."""

    user: str = ""
    session: str = ""
    since: int | None = None
    until: int | None = None


def day_of(at: float) -> int:
    """The day of a time, in UTC, counted from the epoch."""
    return int(at // _DAY)


@frozen(kw_only=True)
class Adopt:
    """Blobs of stream `source` that the new stream refers to as well."""

    stream: str
    source: str
    blobs: frozenset[str]


UsageKey = Literal["all", "day", "session", "model", "user"]
Indexer = Callable[[Any], IndexChange | UsageChange | CallChange | None]
"""What an event does to the rows that are derived from it."""


class Store(Protocol):
    """The log: the only truth. One writer; everything else is derived from what it commits."""

    async def run(self, on_commit: Callable[[Sequence[Event]], None], *, task_status: Any) -> None:
        """The writer. `on_commit` gets the events of each commit, in order, synchronously, before their appenders wake.

        Error handling: StorageFull fails one batch and the writer lives; any other failure fails every waiter, now and later,
        with StoreError and is raised from here.
        """

    async def append(
        self,
        events: Sequence[NewEvent],
        *,
        key: IdemKey | None = None,
        erase: str | None = None,
        adopt: Adopt | None = None,
        essential: bool = False,
    ) -> Sequence[Event]:
        """Commit `events`, all or nothing, in the order of the calls. Cancelling the wait does not take the events back.

        `erase` deletes that stream and all that belongs to it in the same transaction; `adopt` shares blobs with it. `essential`:
        the outcome of an effect that has happened: on a full disk it is kept and retried each second instead of failing.
        """

    async def flush(self) -> None:
        """Wait until everything appended so far is committed or has failed."""

    async def read(self, stream: str, *, after: int, limit: int) -> Sequence[Event]:
        """The next events after seq `after`: at most `limit`, and no more than a frame can hold; empty only at the end."""

    async def read_back(self, stream: str, *, before: int, limit: int) -> Sequence[Event]:
        """The last events before seq `before`, oldest first, bounded like `read`."""

    async def answered(self, user: str, key: str) -> tuple[str, bytes] | None:
        """The digest and stored reply of an idempotency key, for 24 h."""

    def save_draft(self, stream: str, chunk: bytes) -> None:
        """Add to the stream's draft with the next commit; it vanishes with the stream's next assistant message or turn end."""

    async def load_draft(self, stream: str) -> Sequence[bytes]: ...

    async def save_snapshot(self, stream: str, seq: int, code: str, state: bytes) -> None: ...

    async def load_snapshot(self, stream: str, code: str) -> tuple[int, bytes] | None: ...

    async def start_boot(self, boot: str) -> Sequence[float]:
        """Record that a daemon begins; returns when each earlier one began that has not ended cleanly since the last clean end."""

    async def end_boot(self, boot: str) -> None:
        """Record a clean end."""

    async def put_blob(self, stream: str, content: bytes, *, essential: bool = False) -> str:
        """Store by content; returns the sha256 in hex. The reference belongs to `stream` and goes with it.

        For a stream that has no events, or not any more, nothing is stored. `essential` as for `append`.
        """

    async def get_blob(self, stream: str, blob: str, offset: int, limit: int) -> tuple[bytes, int] | None:
        """A piece and the whole length; None if `stream` has no such blob."""

    async def sessions(self, user: str, which: SessionFilter, *, before: str, limit: int) -> Sequence[SessionInfo]:
        """Newest activity first; `before` is `updated_at:id` of the last one seen. Raises ValueError if it is something else."""

    async def find_session(self, user: str, prefix: str) -> Sequence[str]:
        """Up to two ids that begin with `prefix`."""

    async def unfinished(self) -> Sequence[tuple[str, str]]:
        """(user, session) with an open turn, queued input or running jobs, for recovery."""

    async def count_sessions(self) -> int: ...

    async def users(self) -> Sequence[str]:
        """Who has sessions."""

    async def usage(self, by: UsageKey, which: UsageFilter, *, limit: int) -> Sequence[UsageRow]:
        """Sums of requests: days newest first, else what cost most first. `all`: one row without a key, or none.

        A day's key is its date. Requests of sessions that were deleted have the session "".
        """

    async def calls(self, user: str, which: CallFilter, *, before: int | None, limit: int) -> Sequence[CallRecord]:
        """The user's tool calls, newest first; `before`: the `pos` of the last one seen."""

    async def call_sums(self, user: str) -> Sequence[CallSums]:
        """Of each tool that was ever called, except in sessions that were deleted."""

    async def direct_calls(self) -> Sequence[tuple[str, str, bool]]:
        """(user, call, whether it had started) of the open calls that people and programs made, for recovery."""

    @property
    def full(self) -> bool:
        """True while the last write failed for lack of space."""

    @property
    def path(self) -> str:
        """Where it is, for people."""


class Keeper(Protocol):
    """The store's upkeep while it is in use. Long work; cancelled, it ends soon and leaves nothing half done."""

    async def info(self) -> StoreInfo: ...

    async def check(self, *, full: bool) -> Sequence[str]:
        """One line for each problem of one state of the store. `full`: with all indices and the content of every blob."""

    async def backup(self, path: str) -> BackupInfo:
        """A verified copy at `path` (a folder: in it; empty: beside the other backups).

        Error handling: Conflict if there is such a file, StorageFull; then nothing is left of it.
        """

    async def restore(self, path: str) -> tuple[BackupInfo, str]:
        """Check a backup (empty: the newest) and decide that it is the store from the next opening on. Returns what was chosen, and
        where the present store will be kept.

        Error handling: NotFound, InvalidParams for what is no sound backup, ConfigError for one of a newer release, StorageFull.
        """

    async def withdraw(self) -> None:
        """Take a decision of `restore` back."""

    async def vacuum(self) -> tuple[int, int]:
        """Give unused space back to the disk while commits go on; bytes before and after. Raises StorageFull."""


class Clock(Protocol):
    """Wall time, for display and stored deadlines only."""

    def now(self) -> float:
        """Seconds since the epoch."""


Sleeper = Callable[[float], Awaitable[None]]
