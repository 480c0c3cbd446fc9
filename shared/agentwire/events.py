"""Every event kind, and which of them persist.

An event is one frozen fact about a stream (a session, or `user:<name>`). Its kind on the wire is the class name in snake case.
PERSISTED events get a gap-free `seq` in their stream and are in the log for ever; TRANSIENT ones exist only for whoever watches
at that moment. A class that is in neither table cannot be encoded, and a test fails.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from attrs import frozen

from agentwire.types import (
    Access,
    BlobRef,
    CallOutcome,
    Cut,
    Decision,
    Delivery,
    DraftPart,
    Effect,
    ErrorInfo,
    InputPart,
    JobState,
    Part,
    Preferences,
    Remember,
    ReplyPart,
    ResultPart,
    Role,
    StopReason,
    Text,
    Todo,
    TurnOutcome,
    Usage,
    Verdict,
)

MAX_EVENT = 1024 * 1024
"""Bytes of one encoded event body; longer content is a blob."""

# --- the life of a session -----------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class SessionCreated:
    """`environment` is the allow-listed part of the client's environment that tools of this session see.

    `parent`: the session it was forked from, empty if from none.
    """

    title: str
    cwd: str
    model: str
    environment: dict[str, str]
    parent: str = ""


@frozen(kw_only=True)
class SessionRenamed:
    title: str


@frozen(kw_only=True)
class SessionConfigured:
    """Preferences and variables given other values; what is None among the preferences stays, a variable that is None goes."""

    preferences: Preferences
    variables: dict[str, str | None]


@frozen(kw_only=True)
class MessageAdded:
    """A message that was said elsewhere: in the session this one was forked from, or in the file it was imported from.

    `more`: it is too long for one event and goes on in the next one, with further `parts`, or within its last `text`.
    """

    role: Role
    parts: tuple[Part, ...]
    more: Cut = ""


@frozen(kw_only=True)
class SessionDeleted:
    """In the stream `user:<name>`: the session's own stream is erased with it."""

    session: str


# --- the life of a turn ----------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class InputAccepted:
    """A user's input is durable. It waits until a turn starts on it or takes it in as a steer. `input` counts from 1.

    `schema`: the JSON schema that the answer must follow. `max_cost`: US dollars the turn may cost; 0: as configured.
    """

    input: int
    parts: tuple[InputPart, ...]
    delivery: Delivery
    interactive: bool
    model: str
    max_steps: int
    schema: dict[str, Any] | None = None
    max_cost: float = 0.0


@frozen(kw_only=True)
class TurnStarted:
    """`turn` counts from 1; the turn answers `input`, which leaves the queue and becomes a user message."""

    turn: int
    input: int
    model: str


@frozen(kw_only=True)
class TurnResumed:
    """A new boot goes on with the open turn. `resumes` counts the times, at most 3."""

    turn: int
    resumes: int


@frozen(kw_only=True)
class InputSteered:
    """A queued `steer` input became a user message of the running turn, before its next model request."""

    turn: int
    input: int


@frozen(kw_only=True)
class AssistantMessage:
    """One reply of the model, whole (or what there was of it: `stop` = interrupted). `step` counts from 0 within the turn.

    `model`: the one that answered, `provider/model`. `cost`: US dollars for `usage`; None: its price is not known. `estimated`: its
    host did not report all of `usage`; what was sent and what came was counted instead.
    """

    turn: int
    step: int
    model: str
    parts: tuple[ReplyPart, ...]
    stop: StopReason
    usage: Usage
    cost: float | None = None
    estimated: bool = False


@frozen(kw_only=True)
class AnswerRejected:
    """The reply before it does not follow the turn's schema: the model is told the `reason` and asked again."""

    turn: int
    reason: str


@frozen(kw_only=True)
class ReplyRestarted:
    """The seam: reply `step` of `model` broke off (`reason`); the next one that can is asked to go on from the text that was kept.

    `attempt` counts the seams of a reply, from 1.
    """

    turn: int
    step: int
    attempt: int
    reason: ErrorInfo
    model: str = ""


@frozen(kw_only=True)
class ToolPlanned:
    """The model asked for a call; commits together with its message. `arguments_hash` is sha256 over name, NUL, arguments.

    `accesses`: what it would do, as it was judged by; the tool does no more than that. `rule`: what decided, in words.
    `turn` 0, in the stream `user:<name>`: a person or a program called the tool, for `session` if it is not empty.
    """

    turn: int
    call: str
    name: str
    arguments_json: str
    arguments_hash: str
    effect: Effect
    accesses: tuple[Access, ...] = ()
    rule: str = ""
    session: str = ""


@frozen(kw_only=True)
class ApprovalRequested:
    """`why` it is asked; `proposes`: the rules that an answer for the session, or for always, would add."""

    turn: int
    call: str
    name: str
    arguments_json: str
    arguments_hash: str
    expires_at: float
    accesses: tuple[Access, ...] = ()
    why: str = ""
    proposes: tuple[str, ...] = ()


@frozen(kw_only=True)
class ApprovalAnswered:
    """The first answer; `by` is a user's name, `deadline`, or `rule` where a rule that was added since answers it.

    `remember`: the proposed rules were added with it, for the session or for the user.
    """

    turn: int
    call: str
    decision: Decision
    by: str
    note: str = ""
    remember: Remember = ""


@frozen(kw_only=True)
class RuleAdded:
    """A permission rule of this session; in the stream `user:<name>`: of all of the user's sessions."""

    rule: str
    verdict: Verdict


@frozen(kw_only=True)
class RuleRemoved:
    rule: str
    verdict: Verdict


@frozen(kw_only=True)
class ProjectTrusted:
    """In the stream `user:<name>`: the project file `path` counts as long as its content has this hash. Empty: not any more."""

    path: str
    sha256: str


@frozen(kw_only=True)
class TodosChanged:
    """The session's list of what is to be done is this now."""

    todos: tuple[Todo, ...]


@frozen(kw_only=True)
class JobStarted:
    """A background process of the session. Commits before the process may do anything. `number` counts from 1."""

    number: int
    call: str
    command: str
    cwd: str


@frozen(kw_only=True)
class JobFinished:
    """`state` lost: the daemon ended before it. `code`: negative for a signal, None if it was killed. `parts`: what it said, its
    end or all of it; `bytes`: how much that was in all."""

    number: int
    state: JobState
    code: int | None = None
    parts: tuple[Text | BlobRef, ...] = ()
    bytes: int = 0


@frozen(kw_only=True)
class ToolStarted:
    """Commits before the effect: from here on the call may have happened."""

    turn: int
    call: str


@frozen(kw_only=True)
class ToolFinished:
    turn: int
    call: str
    outcome: CallOutcome
    parts: tuple[ResultPart, ...]
    seconds: float = 0.0


@frozen(kw_only=True)
class TurnFinished:
    """`steps` model requests were made; `denials` calls were denied.

    `cost`: US dollars of the requests whose price is known; None: of none of them.
    """

    turn: int
    outcome: TurnOutcome
    steps: int
    denials: int
    usage: Usage
    error: ErrorInfo | None = None
    cost: float | None = None


# --- transient -------------------------------------------------------------------------------------------------------------------


class Delta(msgspec.Struct, frozen=True, kw_only=True):  # made at every token: a Struct is made in a tenth of the time
    """What one read from the model brought: for each part the text to add at `offset` (in code points)."""

    turn: int
    step: int
    parts: tuple[DraftPartDelta, ...]


class DraftPartDelta(msgspec.Struct, frozen=True, kw_only=True):
    part: int
    type: str
    offset: int
    text: str
    name: str = ""


@frozen(kw_only=True)
class DraftReset:
    """The draft of `step` is withdrawn and replaced by `parts` (after a crash, or when a reply is tried again)."""

    turn: int
    step: int
    parts: tuple[DraftPart, ...]


@frozen(kw_only=True)
class ModelWaits:
    """The next request to `model` is sent in so many seconds, and not sooner because of `reason`."""

    turn: int
    step: int
    model: str
    seconds: float
    reason: str


@frozen(kw_only=True)
class ToolProgress:
    """What a running call has said lately: the last lines of its output, not what is new."""

    turn: int
    call: str
    tail: str


@frozen(kw_only=True)
class WatchClosed:
    """The last frame of a watch. Watch again with `after` = `seq`.

    `reason`: lagged | deleted | stopping | cursor_expired | broken.
    """

    reason: str
    seq: int


PERSISTED: tuple[type[Any], ...] = (
    SessionCreated,
    SessionRenamed,
    SessionConfigured,
    SessionDeleted,
    MessageAdded,
    InputAccepted,
    TurnStarted,
    TurnResumed,
    InputSteered,
    AssistantMessage,
    AnswerRejected,
    ReplyRestarted,
    ToolPlanned,
    ApprovalRequested,
    ApprovalAnswered,
    ToolStarted,
    ToolFinished,
    TurnFinished,
    RuleAdded,
    RuleRemoved,
    ProjectTrusted,
    TodosChanged,
    JobStarted,
    JobFinished,
)
TRANSIENT: tuple[type[Any], ...] = (Delta, DraftReset, ModelWaits, ToolProgress, WatchClosed)


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


KIND_OF: dict[type[Any], str] = {cls: _snake(cls.__name__) for cls in PERSISTED + TRANSIENT}
CLASS_OF: dict[str, type[Any]] = {kind: cls for cls, kind in KIND_OF.items()}
VERSION_OF: dict[str, int] = {KIND_OF[cls]: 1 for cls in PERSISTED}
"""The version a kind is written with; reading an older one goes through `convert.upcast`."""

# --- the envelope ----------------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Event:
    """A committed event. `at`: seconds since the epoch; `data`: the body as stored JSON, which goes to every transport as it is."""

    pos: int
    stream: str
    seq: int
    user: str
    at: float
    kind: str
    version: int
    body: Any
    data: bytes


_encoder = msgspec.json.Encoder()


def encode_body(body: object) -> bytes:
    """A body as JSON bytes."""
    return _encoder.encode(body)


def encode_event(event: Event) -> bytes:
    """The JSON object every transport sends for a persisted event; the body's bytes are not encoded again."""
    return b'{"stream":"%b","seq":%d,"pos":%d,"at":%.3f,"kind":"%b","version":%d,"data":%b}' % (
        event.stream.encode(),
        event.seq,
        event.pos,
        event.at,
        event.kind.encode(),
        event.version,
        event.data,
    )


def encode_transient(stream: str, body: object) -> bytes:
    """The same for an event that is not in the log: no seq, no pos."""
    return b'{"stream":"%b","kind":"%b","data":%b}' % (stream.encode(), KIND_OF[type(body)].encode(), _encoder.encode(body))


_EVENT_HEAD = b'{"jsonrpc":"2.0","method":"event","params":'


def event_frame(encoded: bytes) -> bytes:
    """The IPC frame around an encoded event: the same bytes for every watcher."""
    return _EVENT_HEAD + encoded + b"}\n"
