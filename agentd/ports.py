"""The extension points: what core asks of models, tools, storage and processes, and the small values that pass between them.

Adapters implement these Protocols; only `agentd.wiring` names an adapter. Every Protocol has one conformance suite under
tests/conformance/ that runs on each implementation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from operator import attrgetter
from typing import Any, Literal, NamedTuple, Protocol

from attrs import Factory, field, frozen

from agentwire.events import Event
from agentwire.types import (
    BackupInfo,
    BlobRef,
    CallOutcome,
    Effect,
    ModelInfo,
    PartKind,
    Reasoning,
    SessionFilter,
    SessionInfo,
    StopReason,
    StoreInfo,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from agentwire.types import Part as Part

# --- models --------------------------------------------------------------------------------------------------------------------

PER_MESSAGE = 16
"""Characters a message costs beside its text (roles, separators)."""


@frozen
class Message:
    """One entry of a conversation as a model sees it. Tool results have role `tool`.

    What every request asks of every message is worked out once. It has private names: a snapshot holds the public ones.
    """

    role: Literal["user", "assistant", "tool"]
    parts: tuple[Part, ...]
    _size: int = field(init=False, eq=False, repr=False, default=0)
    _calls: tuple[str, ...] = field(init=False, eq=False, repr=False, default=())

    def __attrs_post_init__(self) -> None:
        size, calls = PER_MESSAGE, []
        for part in self.parts:
            match part:
                case Text():
                    size += len(part.text)
                case ToolCall():
                    size += len(part.name) + len(part.arguments_json)
                    calls.append(part.id)
                case ToolResult():
                    size += sum([len(inner.head if isinstance(inner, BlobRef) else inner.text) for inner in part.parts])
                    calls.append(part.call)
                case Reasoning():
                    pass  # not sent back, except by the vendor that made it
                case _:
                    raise TypeError(f"not a part: {part!r}")
        object.__setattr__(self, "_size", size)
        object.__setattr__(self, "_calls", tuple(calls))

    @property
    def size(self) -> int:
        """Characters it costs in a request."""
        return self._size

    @property
    def calls(self) -> tuple[str, ...]:
        """The ids of the calls that it asks for, or that it answers."""
        return self._calls


size_of: Callable[[Message], int] = attrgetter("_size")
calls_of: Callable[[Message], tuple[str, ...]] = attrgetter("_calls")
"""For maps over a whole history: in C, at a fifth of what the properties cost."""


@frozen(kw_only=True)
class ToolSpec:
    """What a tool is. `parameters` is a JSON Schema object; `policy` holds where no rule of the user's does."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    effect: Effect = "once"
    policy: Literal["allow", "ask", "deny"] = "ask"


@frozen(kw_only=True)
class Prompt:
    """One model request. `model` is the vendor's name without our provider prefix; `session` lets a vendor route to its cache.

    `continuing`: the last message is the assistant's own, cut off; the reply must go on from there.
    """

    model: str
    system: str
    messages: Sequence[Message]
    tools: Sequence[ToolSpec] = ()
    max_output: int = 0
    session: str = ""
    continuing: bool = False


@frozen(kw_only=True)
class ModelLimits:
    """`context` and `max_output` in tokens, `chars_per_token` to estimate. `family` picks the system prompt."""

    context: int
    max_output: int
    chars_per_token: float = 3.5
    family: Literal["large", "embedded"] = "large"
    tools: bool = True


class PartStart(NamedTuple):
    """A part begins. `part` counts from 0 in the reply; `name` is the tool's, for a tool call."""

    part: int
    type: PartKind
    name: str = ""


class PartText(NamedTuple):
    """More of a part's text (for a tool call: of its arguments' JSON)."""

    part: int
    text: str


class Stop(NamedTuple):
    """The reply ended cleanly."""

    reason: StopReason


class Spent(NamedTuple):
    """Tokens as reported; the last report holds."""

    usage: Usage


Delta = PartStart | PartText | Stop | Spent


class Stream(Protocol):
    """One reply on its way."""

    async def drain(self, sink: Callable[[Sequence[Delta]], None]) -> None:
        """Feed `sink` with all that each read brought until the reply ends; returns after a `Stop` was given.

        Error handling: raises ProviderError when the stream breaks before its `Stop`; what was given until then stays given.
        """


class Provider(Protocol):
    """A model vendor's endpoint."""

    name: str

    def limits(self, model: str) -> ModelLimits: ...

    def stream(self, prompt: Prompt) -> AbstractAsyncContextManager[Stream]:
        """Send one request. The scope owns the HTTP exchange: leaving it, also by cancellation, closes it.

        Error handling: entering raises a ProviderError (AuthFailed, RateLimited, ProviderDown, ...).
        """

    async def models(self) -> Sequence[ModelInfo]: ...

    async def prewarm(self) -> None:
        """Load what the first request would have to wait for; cheap when it is there already. Failures show at the request."""

    def status(self) -> tuple[str, str]:
        """(state, detail) for `agentctl status`: ready, idle, starting, unavailable, ..."""

    async def run(self, *, task_status: Any) -> None:
        """Long-lived service of the provider (a child process, upkeep); calls `task_status.started()` first."""

    async def aclose(self) -> None: ...


class Models(Protocol):
    """What core asks for a stream: the router."""

    def limits(self, model: str) -> ModelLimits: ...

    def stream(self, model: str, prompt: Prompt) -> AbstractAsyncContextManager[Stream]: ...


# --- tools ---------------------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class ToolContext:
    """What a tool may know of where it runs. `cwd` and `environment` are the session's."""

    call: str
    session: str
    cwd: str
    environment: Mapping[str, str] = Factory(dict)


@frozen(kw_only=True)
class ToolOutcome:
    outcome: CallOutcome
    parts: tuple[Text | BlobRef, ...]


class ToolSource(Protocol):
    """Where tools come from."""

    name: str

    async def run(self, *, task_status: Any) -> None: ...

    async def refresh(self) -> None:
        """Look for changed tools; called before a turn's first request, so it must be cheap when nothing changed."""

    def specs(self) -> Sequence[ToolSpec]: ...

    async def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        """Run one call. Cancelling it ends everything it started within 1 s.

        Error handling: raises ToolError for what the model should read as the result; anything else is a bug of the source.
        """


# --- storage -------------------------------------------------------------------------------------------------------------------


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
class IndexChange:
    """What an event does to its session's row: columns set, counters moved, `title` if the session has none, or a new row."""

    set: Mapping[str, Any] = Factory(dict)
    add: Mapping[str, int] = Factory(dict)
    title: str = ""
    create: bool = False


@frozen(kw_only=True)
class Adopt:
    """Blobs of stream `source` that the new stream refers to as well."""

    stream: str
    source: str
    blobs: frozenset[str]


Indexer = Callable[[Any], IndexChange | None]


class Store(Protocol):
    """The log: the only truth. One writer; everything else is derived from what it commits."""

    async def run(self, on_commit: Callable[[Event], None], *, task_status: Any) -> None:
        """The writer. `on_commit` gets every committed event in order, synchronously, before its appender wakes.

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
        """(user, session) with an open turn or queued input, for recovery."""

    async def count_sessions(self) -> int: ...

    async def users(self) -> Sequence[str]:
        """Who has sessions."""

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


# --- processes -----------------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Profile:
    """How a child is started: a directory, and a built environment (never ours)."""

    cwd: str
    environment: Mapping[str, str]


class Process(Protocol):
    """A child with its whole process group. Everything is safe to call after the end."""

    pid: int

    async def send(self, data: bytes) -> None:
        """Write to its stdin; what a child that is gone did not read is dropped without an error."""

    async def receive(self, limit: int = 65536) -> bytes:
        """Bytes from its stdout, b"" at the end: of the pipe, or 0.5 s after its exit if somebody else holds the pipe open."""

    def stderr_tail(self) -> str:
        """The last 64 KiB it said on stderr."""

    async def wait(self) -> int:
        """Its exit code (negative: the signal), by pidfd and not by end of pipe."""

    async def kill(self) -> None:
        """SIGKILL to the whole group; returns when the child is reaped."""


class Spawner(Protocol):
    def start(self, argv: Sequence[str], profile: Profile) -> AbstractAsyncContextManager[Process]:
        """Start a child in a group of its own; leaving the scope kills what is left of the group.

        Error handling: entering raises ToolError if the program or the directory cannot be used.
        """


# --- time ----------------------------------------------------------------------------------------------------------------------


class Clock(Protocol):
    """Wall time, for display and stored deadlines only."""

    def now(self) -> float:
        """Seconds since the epoch."""


Sleeper = Callable[[float], Awaitable[None]]
