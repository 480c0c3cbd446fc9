"""Value types of the wire: parts, messages, views. Frozen; a bad value cannot be built from the wire (convert.py is strict)."""

from __future__ import annotations

from typing import Any, Literal

from attrs import Factory, field, frozen
from attrs import validators as v

# --- parts -------------------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Text:
    text: str
    kind: Literal["text"] = "text"


@frozen(kw_only=True)
class Reasoning:
    """What the model thought aloud. `vendor` is opaque and goes back only to the provider that made it (signatures)."""

    text: str
    vendor: dict[str, Any] | None = None
    kind: Literal["reasoning"] = "reasoning"


@frozen(kw_only=True)
class ToolCall:
    """`arguments_json` stays the model's own bytes: it may be invalid JSON, and history must still show what was asked."""

    id: str
    name: str
    arguments_json: str
    kind: Literal["tool_call"] = "tool_call"


@frozen(kw_only=True)
class BlobRef:
    """Content over the event limit. `head` is its beginning as text, `tail` its end; `bytes` its whole length."""

    blob: str
    bytes: int
    media: str
    head: str = ""
    tail: str = ""
    kind: Literal["blob"] = "blob"


@frozen(kw_only=True)
class ToolResult:
    call: str
    parts: tuple[ResultPart, ...]
    is_error: bool = False
    kind: Literal["tool_result"] = "tool_result"


@frozen(kw_only=True)
class Image:
    """A picture that the user or a tool shows; its content is the blob. `media`: image/png, image/jpeg, image/webp or image/gif."""

    blob: str
    bytes: int
    media: str
    kind: Literal["image"] = "image"


@frozen(kw_only=True)
class File:
    """A document that the user hands over (a PDF, a text); its content is the blob. `name` without its folder."""

    blob: str
    bytes: int
    media: str
    name: str
    kind: Literal["file"] = "file"


@frozen(kw_only=True)
class Citation:
    """Where the text before it comes from, as the model says. Any of them may be empty. `quote`: the words it relies on."""

    url: str = ""
    title: str = ""
    quote: str = ""
    kind: Literal["citation"] = "citation"


@frozen(kw_only=True)
class Access:
    """One thing that a tool call would do, as far as its arguments tell.

    `command`: a simple command, `words` is its argv. `read`, `write`: `target` is an absolute path with its links resolved.
    `network`: `target` is a host, or `*` for any. `unclear`: it cannot be told, and `target` says why.
    """

    kind: AccessKind
    target: str = ""
    words: tuple[str, ...] = ()


@frozen(kw_only=True)
class Todo:
    """One thing on a session's list of what is to be done."""

    text: str = field(validator=v.and_(v.min_len(1), v.max_len(500)))
    state: TodoState = "pending"


InputPart = Text | Image | File
ResultPart = Text | BlobRef | Image
ReplyPart = Text | Reasoning | ToolCall | Citation
Part = Text | Reasoning | ToolCall | ToolResult | Citation | Image | File


@frozen(kw_only=True)
class HistoryMessage:
    """One message of a conversation, as it is exported and imported. Only messages of role `tool` hold tool results."""

    role: Role
    parts: tuple[Part, ...]


@frozen(kw_only=True)
class Usage:
    """Tokens of one model request as the vendor reported them; 0 where it said nothing.

    `input` has the `cached` ones in it and those `written` to the vendor's cache, which may cost more, `output` the `reasoning`:
    vendors that count them apart are translated.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    written: int = 0
    reasoning: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input=self.input + other.input,
            output=self.output + other.output,
            cached=self.cached + other.cached,
            written=self.written + other.written,
            reasoning=self.reasoning + other.reasoning,
        )


@frozen(kw_only=True)
class ErrorInfo:
    """An `AgentError` as data, for events. `retry_after`: seconds after which trying again may help, if that is known."""

    code: str
    message: str
    retryable: bool = False
    retry_after: float | None = None


# --- words with a fixed set of values -----------------------------------------------------------------------------------------

Role = Literal["user", "assistant", "tool"]
Delivery = Literal["queue", "steer", "interrupt"]
StopReason = Literal["end", "tool_calls", "length", "refused", "interrupted"]
Effect = Literal["read", "idempotent", "once"]
Decision = Literal["allow", "deny"]
CallOutcome = Literal["ok", "error", "denied", "cancelled", "skipped", "unknown", "not_executed", "invalid_arguments"]
TurnOutcome = Literal["done", "cancelled", "failed", "interrupted"]
SessionStatus = Literal["idle", "running", "awaiting_approval"]
PartKind = Literal["text", "reasoning", "tool_call", "citation"]
Cut = Literal["", "parts", "text"]
AccessKind = Literal["command", "read", "write", "network", "unclear"]
Verdict = Literal["allow", "ask", "deny"]
Mode = Literal["default", "accept-edits", "plan", "dont-ask", "bypass"]
ModeChoice = Literal["", "default", "accept-edits", "plan", "dont-ask", "bypass"]
Remember = Literal["", "session", "always"]
RuleScope = Literal["built-in", "configuration", "project", "user", "session"]
TodoState = Literal["pending", "in_progress", "done"]
JobState = Literal["running", "done", "failed", "killed", "lost"]
CallState = Literal["planned", "waiting", "started", "over"]
CheckName = Literal["connect", "first token", "streaming", "tool call", "structured output", "usage"]

# --- views (what a client is told about current state) -------------------------------------------------------------------------


@frozen(kw_only=True)
class SessionInfo:
    """One row of the session index. Times are seconds since the epoch, UTC."""

    id: str
    title: str
    cwd: str
    model: str
    status: SessionStatus
    created_at: float
    updated_at: float
    turns: int
    queued: int
    pinned: bool = False
    parent: str = ""


@frozen(kw_only=True)
class SessionFilter:
    """Which sessions: all conditions hold; an empty one holds always. Times are seconds since the epoch.

    `text` is part of the title, in any case; `pinned` None: both.
    """

    cwd: str = ""
    text: str = field(default="", validator=v.max_len(200))
    status: Literal["", "idle", "running", "awaiting_approval"] = ""
    model: str = ""
    parent: str = ""
    pinned: bool | None = None
    active_after: float | None = None
    active_before: float | None = None
    created_before: float | None = None


@frozen(kw_only=True)
class Preferences:
    """What a session does differently from the configuration. In a change, None leaves a preference as it is.

    `model` empty, `max_steps` 0, `instructions` empty, `mode` empty: as configured. `pinned`: never cleaned up.
    """

    model: str | None = field(default=None, validator=v.optional(v.max_len(200)))
    max_steps: int | None = field(default=None, validator=v.optional(v.and_(v.ge(0), v.le(10_000))))
    instructions: str | None = field(default=None, validator=v.optional(v.max_len(16_000)))
    pinned: bool | None = None
    mode: ModeChoice | None = None


@frozen(kw_only=True)
class SessionSettings:
    """A session's preferences, none of them None, and its variables."""

    preferences: Preferences
    variables: dict[str, str]


@frozen(kw_only=True)
class QueuedInput:
    input: int
    parts: tuple[InputPart, ...]
    delivery: Delivery
    interactive: bool
    model: str
    max_steps: int
    schema: dict[str, Any] | None = None
    max_cost: float = 0.0


@frozen(kw_only=True)
class PendingApproval:
    """A question about one call. An answer is bound to `call` and `arguments_hash`. `expires_at`: seconds since the epoch.

    `accesses`: what the call would do; `why` it is asked about; `proposes`: the rules that "session" or "always" would add.
    """

    call: str
    name: str
    arguments_json: str
    arguments_hash: str
    expires_at: float
    accesses: tuple[Access, ...] = ()
    why: str = ""
    proposes: tuple[str, ...] = ()


@frozen(kw_only=True)
class JobInfo:
    """A background process of a session. `number` counts from 1 in the session; `code`: its exit code, negative for a signal."""

    number: int
    command: str
    cwd: str
    state: JobState
    started_at: float
    call: str = ""
    finished_at: float | None = None
    code: int | None = None


@frozen(kw_only=True)
class Rule:
    """A permission rule, `Tool` or `Tool(pattern)`, what it says, and where it is from: `source` is for people."""

    rule: str
    verdict: Verdict
    scope: RuleScope
    source: str = ""


@frozen(kw_only=True)
class ToolInfo:
    """A tool as it is offered. `source`: functions, builtin, or an MCP server's name. The counts are of all its calls."""

    name: str
    source: str
    description: str
    parameters: dict[str, Any]
    effect: Effect
    policy: Verdict
    calls: int = 0
    errors: int = 0
    denied: int = 0
    seconds: float = 0.0
    last_at: float | None = None


@frozen(kw_only=True)
class CallRecord:
    """A call in the ledger. Times are seconds since the epoch; `seconds` it ran; `rule`: what allowed, asked or denied it.

    `turn` 0: it was made by a person or a program, not by a model. `arguments_json` may be cut.
    """

    pos: int
    session: str
    turn: int
    call: str
    name: str
    arguments_json: str
    state: CallState
    planned_at: float
    started_at: float | None = None
    finished_at: float | None = None
    outcome: CallOutcome | None = None
    seconds: float = 0.0
    rule: str = ""


@frozen(kw_only=True)
class SandboxStatus:
    """Whether tools can be walled in. `state`: ok, unavailable (nothing runs), or off (by configuration). `remedy`: what to do."""

    state: Literal["ok", "unavailable", "off"]
    detail: str = ""
    remedy: str = ""


@frozen(kw_only=True)
class DraftPart:
    """A part streamed so far. `name` is the tool's, for a tool call."""

    part: int
    type: PartKind
    text: str
    name: str = ""


@frozen(kw_only=True)
class DraftView:
    turn: int
    step: int
    parts: tuple[DraftPart, ...]


@frozen(kw_only=True)
class SessionView:
    """What a watcher needs before the tail; messages are fetched with `event/list`."""

    info: SessionInfo
    turn: int | None
    queue: tuple[QueuedInput, ...]
    approvals: tuple[PendingApproval, ...]
    draft: DraftView | None
    todos: tuple[Todo, ...] = ()
    jobs: tuple[JobInfo, ...] = ()


@frozen(kw_only=True)
class LongPrice:
    """A `Price` of requests with more than `tokens` tokens of input."""

    tokens: int
    input: float
    output: float
    cached: float


@frozen(kw_only=True)
class Price:
    """US dollars for a million tokens. `cached`: input that the vendor had in its cache.

    `written`: input that it put there; None: like any other. `above`: what a request costs that is longer, all of it.
    """

    input: float
    output: float
    cached: float
    written: float | None = None
    above: tuple[LongPrice, ...] = ()

    def at(self, tokens: int) -> Price:
        """The price of one request with so many tokens of input."""
        longer = max((one for one in self.above if tokens > one.tokens), key=lambda one: one.tokens, default=None)
        if longer is None:
            return self
        written = None if self.written is None or not self.input else self.written / self.input * longer.input
        return Price(input=longer.input, output=longer.output, cached=longer.cached, written=written)

    @property
    def dearest(self) -> float:
        """Of any input."""
        return max(self.input, self.written or 0.0)


@frozen(kw_only=True)
class ModelInfo:
    """`id` is `provider/model`, or an alias; `context` and `max_output` are in tokens, 0 if unknown; `note` is one line for people.

    `price` None: nobody knows. `capabilities`: of tools, images, files, schema, reasoning; `emulated-tools` and `emulated-schema`
    where we make up for what the model lacks. `known`: there are data about this model, not only safe defaults. `source`:
    configured (somebody named it), built-in, or discovered (its host lists it). `health`: of its circuit, empty if all is well.
    """

    id: str
    context: int = 0
    max_output: int = 0
    price: Price | None = None
    capabilities: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()
    source: Literal["configured", "built-in", "discovered"] = "discovered"
    known: bool = True
    default: bool = False
    available: bool = True
    health: str = ""
    note: str = ""


@frozen(kw_only=True)
class ConfigValue:
    key: str
    value: Any
    source: str


@frozen(kw_only=True)
class StorageInfo:
    path: str
    bytes: int
    full: bool


@frozen(kw_only=True)
class BackupInfo:
    """A verified copy of the store. `at`: seconds since the epoch."""

    path: str
    at: float
    bytes: int


@frozen(kw_only=True)
class StoreInfo:
    """`reclaimable`: bytes that a vacuum would give back; `disk_free`: bytes left where the store is; `backups`: newest first."""

    path: str
    schema: int
    bytes: int
    wal_bytes: int
    reclaimable: int
    disk_free: int
    full: bool
    events: int
    sessions: int
    blobs: int
    blob_bytes: int
    backups: tuple[BackupInfo, ...]


@frozen(kw_only=True)
class CircuitStatus:
    """Something the router leaves alone for a while: a provider, one of its keys (`openai#2`), or a model (`openai/x`).

    `state`: open (not asked), half-open (one request may try). `seconds`: until it may be tried. `code`: of the error that did it,
    `not_found` if its host does not have the model.
    """

    target: str
    state: Literal["open", "half-open"]
    seconds: float
    failures: int
    code: str
    reason: str


@frozen(kw_only=True)
class ProviderStatus:
    name: str
    state: str
    detail: str = ""


@frozen(kw_only=True)
class UsageRow:
    """What was used, summed up over `requests` model requests. `key`: what the row is about (a day, a model, a session, a user).

    `cost` in US dollars of those with a known price, None if there are only others; `unpriced`: requests whose price nobody knows;
    `estimated`: requests whose tokens their host did not report.
    """

    key: str
    requests: int
    usage: Usage
    cost: float | None
    unpriced: int
    estimated: int = 0
    title: str = ""


@frozen(kw_only=True)
class BudgetState:
    """One budget and what was used of it: `usd` are US dollars, `tokens` those of input and output. A day begins at midnight UTC.

    `reserved`: for requests on their way, at worst; what is left is `limit` less both. Where no turn or no session is asked about,
    nothing of its budget is used.
    """

    scope: Literal["turn", "session", "day"]
    unit: Literal["usd", "tokens"]
    limit: float
    used: float = 0.0
    reserved: float = 0.0


@frozen(kw_only=True)
class ModelCheck:
    """One thing that was tried with a model. `seconds` it took; `detail` what was seen; `remedy` what to do if it failed; `code` of
    the error that it failed with, if there was one."""

    name: CheckName
    outcome: Literal["ok", "failed", "skipped"]
    seconds: float = 0.0
    detail: str = ""
    remedy: str = ""
    code: str = ""


@frozen(kw_only=True)
class DaemonStatus:
    pid: int
    boot: str
    version: str
    protocol: int
    started_at: float
    uptime: float
    socket: str
    model: str
    sessions: int
    running: int
    clients: int
    rss: int
    storage: StorageInfo
    resumes_suspended: bool = False
    providers: tuple[ProviderStatus, ...] = ()
    circuits: tuple[CircuitStatus, ...] = ()
    sandbox: SandboxStatus | None = None
    warnings: tuple[str, ...] = Factory(tuple)
