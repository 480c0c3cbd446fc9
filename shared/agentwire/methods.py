"""METHODS: every method of the daemon with its parameters, result and scope: one table for all transports."""

from __future__ import annotations

from typing import Any, Literal

from attrs import Factory, field, frozen
from attrs import validators as v

from agentwire.types import (
    ConfigValue,
    DaemonStatus,
    Decision,
    Delivery,
    InputPart,
    ModelInfo,
    SessionInfo,
    SessionView,
)

Scope = Literal["read", "chat", "tools", "admin"]

_page: Any = v.and_(v.ge(1), v.le(1000))
_some_text: Any = v.min_len(1)


@frozen(kw_only=True)
class Empty:
    """No parameters, or nothing to say but that it was done."""


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
class ModelList:
    models: tuple[ModelInfo, ...]


@frozen(kw_only=True)
class CreateSession:
    cwd: str = field(validator=v.and_(v.matches_re(r"/.*"), v.max_len(4096)))
    title: str = field(default="", validator=v.max_len(200))
    model: str = field(default="", validator=v.max_len(200))
    environment: dict[str, str] = Factory(dict)
    key: str = ""


@frozen(kw_only=True)
class ListSessions:
    """Newest activity first. `before`: the `cursor` of the page before."""

    cwd: str = ""
    limit: int = field(default=50, validator=_page)
    before: str = ""


@frozen(kw_only=True)
class SessionList:
    """`cursor` is empty on the last page."""

    sessions: tuple[SessionInfo, ...]
    cursor: str = ""


@frozen(kw_only=True)
class SessionRef:
    """`session` is an id or a unique beginning of one."""

    session: str = field(validator=_some_text)


@frozen(kw_only=True)
class RenameSession:
    session: str = field(validator=_some_text)
    title: str = field(validator=v.and_(_some_text, v.max_len(200)))


@frozen(kw_only=True)
class DeleteSession:
    session: str = field(validator=_some_text)
    force: bool = False


@frozen(kw_only=True)
class Prompt:
    """`interactive`: somebody is there to answer approvals. `model` empty: the session's. `key`: idempotency, 24 h."""

    session: str = field(validator=_some_text)
    parts: tuple[InputPart, ...] = field(validator=_some_text)
    delivery: Delivery = "queue"
    interactive: bool = False
    model: str = field(default="", validator=v.max_len(200))
    max_steps: int = field(default=0, validator=v.and_(v.ge(0), v.le(10_000)))
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
class Watch:
    """Without `after`: a view, then the tail. With it: every event after that seq, then the tail."""

    session: str = field(validator=_some_text)
    after: int | None = field(default=None, validator=v.optional(v.ge(0)))


@frozen(kw_only=True)
class Watching:
    """`seq` is the stream's newest; `boot` changes when the daemon restarts. `view` is None when `after` was given."""

    session: str
    seq: int
    boot: str
    view: SessionView | None


@frozen(kw_only=True)
class ListEvents:
    """A page of a session's log in order: the first after `after`, or the last before `before`."""

    session: str = field(validator=_some_text)
    after: int | None = field(default=None, validator=v.optional(v.ge(0)))
    before: int | None = field(default=None, validator=v.optional(v.ge(1)))
    limit: int = field(default=200, validator=_page)


@frozen(kw_only=True)
class EventPage:
    """Events as they are on the wire; `more`: there are others beyond this page."""

    events: tuple[Any, ...]
    more: bool


@frozen(kw_only=True)
class AnswerApproval:
    """`arguments_hash` must be the one that was asked about: an answer cannot slip onto another call."""

    session: str = field(validator=_some_text)
    call: str = field(validator=_some_text)
    arguments_hash: str
    decision: Decision
    note: str = field(default="", validator=v.max_len(2000))


@frozen(kw_only=True)
class GetBlob:
    """A piece of at most 256 KiB."""

    session: str = field(validator=_some_text)
    blob: str = field(validator=v.matches_re(r"[0-9a-f]{64}"))
    offset: int = field(default=0, validator=v.ge(0))


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
    "config/get": Method(Empty, ConfigView, "admin"),
    "model/list": Method(Empty, ModelList, "read"),
    "session/create": Method(CreateSession, SessionInfo, "chat", idempotent=True),
    "session/list": Method(ListSessions, SessionList, "read"),
    "session/get": Method(SessionRef, SessionInfo, "read"),
    "session/rename": Method(RenameSession, SessionInfo, "chat"),
    "session/delete": Method(DeleteSession, Empty, "chat"),
    "session/prompt": Method(Prompt, Prompted, "chat", idempotent=True),
    "session/cancel": Method(SessionRef, Cancelled, "chat"),
    "session/watch": Method(Watch, Watching, "read"),
    "session/unwatch": Method(SessionRef, Empty, "read"),
    "event/list": Method(ListEvents, EventPage, "read"),
    "approval/answer": Method(AnswerApproval, Empty, "chat"),
    "blob/get": Method(GetBlob, BlobPiece, "read"),
}
