"""METHODS: every method of the daemon with its parameters, result and scope: one table for all transports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import Factory, field, frozen
from attrs import validators as v

from agentwire.requests import PAGE, SOME_TEXT
from agentwire.requests import Empty as Empty
from agentwire.requests import SessionRef as SessionRef
from agentwire.tool_methods import CallPage as CallPage
from agentwire.tool_methods import CallTool as CallTool
from agentwire.tool_methods import ChangeRule as ChangeRule
from agentwire.tool_methods import ExplainPermission as ExplainPermission
from agentwire.tool_methods import JobList as JobList
from agentwire.tool_methods import JobOutput as JobOutput
from agentwire.tool_methods import JobRef as JobRef
from agentwire.tool_methods import PermissionContext as PermissionContext
from agentwire.tool_methods import PermissionExplained as PermissionExplained
from agentwire.tool_methods import ProjectTrust as ProjectTrust
from agentwire.tool_methods import ReadJob as ReadJob
from agentwire.tool_methods import RuleList as RuleList
from agentwire.tool_methods import ToolCalled as ToolCalled
from agentwire.tool_methods import ToolHistory as ToolHistory
from agentwire.tool_methods import ToolList as ToolList
from agentwire.tool_methods import TrustProject as TrustProject
from agentwire.types import (
    BackupInfo,
    BudgetState,
    ConfigValue,
    DaemonStatus,
    Decision,
    Delivery,
    ErrorInfo,
    HistoryMessage,
    InputPart,
    JobInfo,
    ModelCheck,
    ModelInfo,
    Preferences,
    Remember,
    SessionFilter,
    SessionInfo,
    SessionSettings,
    SessionView,
    StoreInfo,
    UsageRow,
)

Scope = Literal["read", "chat", "tools", "admin"]


@frozen(kw_only=True)
class Initialize:
    """`environment` maps each configuration variable set at the client to `sha256(salt + value)` in hex, first 16 digits.

    `prompting`: a prompt will probably follow, so what its first model request would wait for is loaded now.
    """

    protocol: int
    client: str = ""
    version: str = ""
    salt: str = ""
    environment: dict[str, str] = Factory(dict)
    prompting: bool = False


@frozen(kw_only=True)
class Initialized:
    """`environment_differs` names the variables whose value the daemon does not have; `notice` is one line for people."""

    protocol: int
    version: str
    pid: int
    boot: str
    user: str
    model: str
    environment_differs: tuple[str, ...]
    notice: str = ""


@frozen(kw_only=True)
class ConfigView:
    values: tuple[ConfigValue, ...]
    warnings: tuple[str, ...]


@frozen(kw_only=True)
class Reloaded:
    """The configuration was read again. `changed`: the keys with a new value; `needs_restart`: those of them that wait for one."""

    changed: tuple[str, ...]
    needs_restart: tuple[str, ...]


@frozen(kw_only=True)
class Restart:
    """`environment`: the daemon's whole environment from then on; without it, the one it has."""

    environment: Mapping[str, str] | None = field(default=None, repr=False)


@frozen(kw_only=True)
class ListModels:
    """`refresh`: ask all hosts anew which models they have; else what they said before holds."""

    refresh: bool = False


@frozen(kw_only=True)
class ModelList:
    models: tuple[ModelInfo, ...]


@frozen(kw_only=True)
class ResolveModel:
    """What a name of a model stands for: as for a prompt; empty: the default."""

    model: str = field(default="", validator=v.max_len(200))


@frozen(kw_only=True)
class ModelResolved:
    """`model` as a session keeps it; `models`: those that may be asked for it, in order, as is known without asking them."""

    model: str
    models: tuple[ModelInfo, ...]


@frozen(kw_only=True)
class CheckModel:
    """Try a model: `provider/model`, an alias (its first candidate is tried), `provider/` for that provider's default model; empty:
    the default. It is asked directly, without failover."""

    model: str = field(default="", validator=v.max_len(200))


@frozen(kw_only=True)
class ModelChecked:
    """`candidates`: all models that the name stands for, of which `model`, the first, was tried."""

    model: str
    candidates: tuple[str, ...]
    checks: tuple[ModelCheck, ...]


@frozen(kw_only=True)
class PullModel:
    """Begin to fetch a model, join the pull of it that is under way, or, with its number in `pull`, see how that one is doing."""

    model: str = field(validator=v.and_(v.matches_re(r"[^/\s]+/\S+"), v.max_len(200)))
    pull: int = 0


@frozen(kw_only=True)
class Pulling:
    """A pull goes on in the daemon whoever watches it. `completed` of `total` bytes, 0 while nobody knows; `detail`: what its host
    does at the moment, in its words. `error`: why it failed."""

    model: str
    pull: int
    state: Literal["running", "done", "failed"]
    completed: int = 0
    total: int = 0
    detail: str = ""
    error: ErrorInfo | None = None


@frozen(kw_only=True)
class CreateSession:
    cwd: str = field(validator=v.and_(v.matches_re(r"/.*"), v.max_len(4096)))
    title: str = field(default="", validator=v.max_len(200))
    model: str = field(default="", validator=v.max_len(200))
    environment: dict[str, str] = Factory(dict)
    key: str = ""


@frozen(kw_only=True)
class ListSessions(SessionFilter):
    """Newest activity first. `before`: the `cursor` of the page before."""

    limit: int = field(default=50, validator=PAGE)
    before: str = ""


@frozen(kw_only=True)
class SessionList:
    """`cursor` is empty on the last page."""

    sessions: tuple[SessionInfo, ...]
    cursor: str = ""


@frozen(kw_only=True)
class RenameSession(SessionRef):
    title: str = field(validator=v.and_(SOME_TEXT, v.max_len(200)))


@frozen(kw_only=True)
class SetSession(SessionRef):
    """Change preferences and variables: what is None among the preferences stays, a variable that is None goes."""

    preferences: Preferences = Factory(Preferences)
    variables: dict[str, str | None] = Factory(dict)


@frozen(kw_only=True)
class ForkSession(SessionRef):
    """A new session with the messages up to `seq`, which must end a complete step; without it, up to the last complete step."""

    seq: int | None = field(default=None, validator=v.optional(v.ge(1)))
    title: str = field(default="", validator=v.max_len(200))
    key: str = field(default="", validator=v.max_len(200))


@frozen(kw_only=True)
class CleanSessions:
    """Delete what has been idle for `idle` seconds, or was created `age` seconds ago; 0: no such condition.

    Never one that is pinned, at work or watched. `dry_run`: only tell which.
    """

    idle: float = field(default=0.0, validator=v.ge(0))
    age: float = field(default=0.0, validator=v.ge(0))
    dry_run: bool = False


@frozen(kw_only=True)
class Cleaned:
    """The sessions that were deleted (or would be), as they were: at most 1,000. `more`: there are others, ask again."""

    sessions: tuple[SessionInfo, ...]
    more: bool = False


@frozen(kw_only=True)
class ListMessages(SessionRef):
    """The conversation as a model is shown it, from message `offset` on (from 0); a page ends earlier if it grows long."""

    offset: int = field(default=0, validator=v.ge(0))
    limit: int = field(default=200, validator=PAGE)


@frozen(kw_only=True)
class MessagePage:
    """`total`: how many messages the session has."""

    messages: tuple[HistoryMessage, ...]
    total: int


@frozen(kw_only=True)
class AddMessages(SessionRef):
    """Messages that were said elsewhere, behind those that are there. The session must not be at work."""

    messages: tuple[HistoryMessage, ...] = field(validator=SOME_TEXT)
    key: str = field(default="", validator=v.max_len(200))


@frozen(kw_only=True)
class AddedMessages:
    """The messages are durable; `seq` is that of the last event they became."""

    seq: int


@frozen(kw_only=True)
class DeleteSession(SessionRef):
    force: bool = False


@frozen(kw_only=True)
class Prompt(SessionRef):
    """`interactive`: somebody is there to answer approvals. `model` empty: the session's. `key`: idempotency, 24 h.

    Images and files among the `parts` refer to blobs that the session has (`blob/put`). `schema`: a JSON schema that the answer
    must follow. `max_cost`: US dollars that the turn may cost; 0: as configured.
    """

    parts: tuple[InputPart, ...] = field(validator=SOME_TEXT)
    delivery: Delivery = "queue"
    interactive: bool = False
    model: str = field(default="", validator=v.max_len(200))
    max_steps: int = field(default=0, validator=v.and_(v.ge(0), v.le(10_000)))
    schema: dict[str, Any] | None = None
    max_cost: float = field(default=0.0, validator=v.ge(0))
    key: str = field(default="", validator=v.max_len(200))


@frozen(kw_only=True)
class Prompted:
    """The input is durable. `turn` is None if it waits behind a running turn; `seq` is that of its event."""

    input: int
    seq: int
    turn: int | None


@frozen(kw_only=True)
class Cancelled:
    """`turn`: the one that is being cancelled; None if none was running."""

    turn: int | None


@frozen(kw_only=True)
class Watch(SessionRef):
    """Without `after`: a view, then the tail. With it: every event after that seq, then the tail."""

    after: int | None = field(default=None, validator=v.optional(v.ge(0)))


@frozen(kw_only=True)
class Watching:
    """`seq` is the stream's newest; `boot` changes when the daemon restarts. `view` is None when `after` was given."""

    session: str
    seq: int
    boot: str
    view: SessionView | None


@frozen(kw_only=True)
class ListEvents(SessionRef):
    """A page of a session's log in order: the first after `after`, or the last before `before`."""

    after: int | None = field(default=None, validator=v.optional(v.ge(0)))
    before: int | None = field(default=None, validator=v.optional(v.ge(1)))
    limit: int = field(default=200, validator=PAGE)


@frozen(kw_only=True)
class EventPage:
    """Events as they are on the wire; `more`: there are others beyond this page."""

    events: tuple[Any, ...]
    more: bool


@frozen(kw_only=True)
class AnswerApproval(SessionRef):
    """`arguments_hash` must be the one that was asked about: an answer cannot slip onto another call.

    `remember`: an `allow` also adds the rules that the question proposes, for the session or for all of the user's.
    """

    call: str = field(validator=SOME_TEXT)
    arguments_hash: str
    decision: Decision
    note: str = field(default="", validator=v.max_len(2000))
    remember: Remember = ""


@frozen(kw_only=True)
class GetBlob(SessionRef):
    """A piece of at most 256 KiB."""

    blob: str = field(validator=v.matches_re(r"[0-9a-f]{64}"))
    offset: int = field(default=0, validator=v.ge(0))


@frozen(kw_only=True)
class PutBlob(SessionRef):
    """A piece of at most 256 KiB of a blob of `bytes` bytes, at most 32 MiB; pieces come in order. `data` is base64."""

    blob: str = field(validator=v.matches_re(r"[0-9a-f]{64}"))
    bytes: int = field(validator=v.and_(v.ge(0), v.le(32 * 1024 * 1024)))
    offset: int = field(validator=v.ge(0))
    data: str = field(validator=v.max_len(512 * 1024))


@frozen(kw_only=True)
class BlobStored:
    """`received`: bytes so far; the blob is stored once all have come."""

    received: int


@frozen(kw_only=True)
class GetUsage:
    """What was used. `since`, `until`: seconds since the epoch; the days (UTC) that they are in count whole.

    `session`: only of this one; `turn` needs it. `user` is for administrators and tells of everybody.
    """

    by: Literal["day", "session", "model", "user", "turn"] = "day"
    since: float | None = None
    until: float | None = None
    session: str = ""
    limit: int = field(default=50, validator=PAGE)


@frozen(kw_only=True)
class UsageReport:
    """Days and turns newest first, others what cost most first, `limit` of them; `total` is of all. A row's `title` is that of the
    session, or the models of the turn. `unpriced`: the models whose price nobody knew. `budgets`: those that are set."""

    rows: tuple[UsageRow, ...]
    total: UsageRow
    unpriced: tuple[str, ...] = ()
    budgets: tuple[BudgetState, ...] = ()


@frozen(kw_only=True)
class CheckStore:
    """`full`: every page and index; else what is quick."""

    full: bool = False


@frozen(kw_only=True)
class StoreChecked:
    """`problems` is empty if the store is sound."""

    problems: tuple[str, ...]
    seconds: float


@frozen(kw_only=True)
class StorePath:
    """`path`: an absolute path; empty: beside the other backups, or the newest of them."""

    path: str = field(default="", validator=v.matches_re(r"(/.*)?"))


@frozen(kw_only=True)
class StoreRestored:
    """The daemon restarts with the backup; what was there is kept at `kept`."""

    backup: BackupInfo
    kept: str


@frozen(kw_only=True)
class Vacuumed:
    """Bytes of the file before and after."""

    before: int
    after: int


@frozen(kw_only=True)
class BlobPiece:
    """`data` is base64; `bytes` the length of the whole blob."""

    data: str
    bytes: int


@frozen
class Method:
    """`idempotent`: takes an idempotency `key`."""

    params: type[Any]
    result: type[Any]
    scope: Scope
    idempotent: bool = False


METHODS: dict[str, Method] = {
    "initialize": Method(Initialize, Initialized, "read"),
    "daemon/status": Method(Empty, DaemonStatus, "read"),
    "daemon/stop": Method(Empty, Empty, "admin"),
    "daemon/restart": Method(Restart, Empty, "admin"),
    "daemon/reload": Method(Empty, Reloaded, "admin"),
    "config/get": Method(Empty, ConfigView, "admin"),
    "model/list": Method(ListModels, ModelList, "read"),
    "model/resolve": Method(ResolveModel, ModelResolved, "read"),
    "model/test": Method(CheckModel, ModelChecked, "admin"),
    "model/pull": Method(PullModel, Pulling, "admin"),
    "session/create": Method(CreateSession, SessionInfo, "chat", idempotent=True),
    "session/list": Method(ListSessions, SessionList, "read"),
    "session/get": Method(SessionRef, SessionInfo, "read"),
    "session/rename": Method(RenameSession, SessionInfo, "chat"),
    "session/settings": Method(SessionRef, SessionSettings, "read"),
    "session/set": Method(SetSession, SessionSettings, "chat"),
    "session/fork": Method(ForkSession, SessionInfo, "chat", idempotent=True),
    "session/clean": Method(CleanSessions, Cleaned, "chat"),
    "session/delete": Method(DeleteSession, Empty, "chat"),
    "session/prompt": Method(Prompt, Prompted, "chat", idempotent=True),
    "session/cancel": Method(SessionRef, Cancelled, "chat"),
    "session/watch": Method(Watch, Watching, "read"),
    "session/unwatch": Method(SessionRef, Empty, "read"),
    "event/list": Method(ListEvents, EventPage, "read"),
    "job/list": Method(SessionRef, JobList, "read"),
    "job/output": Method(ReadJob, JobOutput, "read"),
    "job/kill": Method(JobRef, JobInfo, "chat"),
    "approval/answer": Method(AnswerApproval, Empty, "chat"),
    "message/list": Method(ListMessages, MessagePage, "read"),
    "message/add": Method(AddMessages, AddedMessages, "chat", idempotent=True),
    "blob/get": Method(GetBlob, BlobPiece, "read"),
    "blob/put": Method(PutBlob, BlobStored, "chat"),
    "permission/list": Method(PermissionContext, RuleList, "read"),
    "permission/add": Method(ChangeRule, Empty, "admin"),
    "permission/remove": Method(ChangeRule, Empty, "admin"),
    "permission/explain": Method(ExplainPermission, PermissionExplained, "read"),
    "permission/trust": Method(TrustProject, ProjectTrust, "admin"),
    "tool/list": Method(Empty, ToolList, "read"),
    "tool/call": Method(CallTool, ToolCalled, "tools", idempotent=True),
    "tool/history": Method(ToolHistory, CallPage, "read"),
    "usage/get": Method(GetUsage, UsageReport, "read"),
    "store/info": Method(Empty, StoreInfo, "admin"),
    "store/check": Method(CheckStore, StoreChecked, "admin"),
    "store/backup": Method(StorePath, BackupInfo, "admin"),
    "store/restore": Method(StorePath, StoreRestored, "admin"),
    "store/vacuum": Method(Empty, Vacuumed, "admin"),
}
