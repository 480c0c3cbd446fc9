"""Parameters and results of the methods about tools, permissions and jobs; the table is in methods.py."""

from __future__ import annotations

from typing import Any, Literal

from attrs import Factory, field, frozen
from attrs import validators as v

from agentwire.requests import PAGE, SOME_TEXT, SessionRef
from agentwire.types import (
    Access,
    CallOutcome,
    CallRecord,
    JobInfo,
    Mode,
    ResultPart,
    Rule,
    ToolInfo,
    Verdict,
)


@frozen(kw_only=True)
class ToolList:
    """`warnings`: tools that are not offered, and why."""

    tools: tuple[ToolInfo, ...]
    warnings: tuple[str, ...] = ()


@frozen(kw_only=True)
class CallTool:
    """Call a tool oneself: that is its approval, deny rules still hold. `session`: whose directory, environment and mode it has;
    without one, `cwd`. `key`: idempotency, 24 h."""

    name: str = field(validator=v.and_(SOME_TEXT, v.max_len(200)))
    arguments: dict[str, Any] = Factory(dict)
    session: str = ""
    cwd: str = field(default="/", validator=v.and_(v.matches_re(r"/.*"), v.max_len(4096)))
    environment: dict[str, str] = Factory(dict)
    key: str = field(default="", validator=v.max_len(200))


@frozen(kw_only=True)
class ToolCalled:
    """`call` is its id in the ledger."""

    call: str
    outcome: CallOutcome
    parts: tuple[ResultPart, ...]
    seconds: float


@frozen(kw_only=True)
class ToolHistory:
    """Calls of the ledger, newest first; all conditions hold, an empty one always does. `before`: the `cursor` of the last page."""

    tool: str = field(default="", validator=v.max_len(200))
    session: str = ""
    outcome: Literal[
        "", "ok", "error", "denied", "cancelled", "skipped", "unknown", "not_executed", "invalid_arguments", "open"
    ] = ""
    since: float | None = None
    limit: int = field(default=50, validator=PAGE)
    before: int | None = field(default=None, validator=v.optional(v.ge(1)))


@frozen(kw_only=True)
class CallPage:
    """`cursor` None: the last page."""

    calls: tuple[CallRecord, ...]
    cursor: int | None = None


@frozen(kw_only=True)
class PermissionContext:
    """Whose rules: with `session` those of its directory, mode and its own; else those of `cwd`."""

    session: str = ""
    cwd: str = field(default="/", validator=v.and_(v.matches_re(r"/.*"), v.max_len(4096)))


@frozen(kw_only=True)
class RuleList:
    """Strongest first. `mode`: what holds where no rule does. `untrusted`: a project's file whose rules do not count yet."""

    rules: tuple[Rule, ...]
    mode: Mode
    untrusted: str = ""


@frozen(kw_only=True)
class ChangeRule:
    """A rule of the user's, or with `session` of that session only."""

    rule: str = field(validator=v.and_(SOME_TEXT, v.max_len(2000)))
    verdict: Verdict
    session: str = ""


@frozen(kw_only=True)
class ExplainPermission(PermissionContext):
    """`arguments`: of the call; what is said about it is what would happen."""

    name: str = field(validator=v.and_(SOME_TEXT, v.max_len(200)))
    arguments: dict[str, Any] = Factory(dict)


@frozen(kw_only=True)
class PermissionExplained:
    """`rule`: the one that decides, as it stands; empty: none does, and `why` says what decided instead. `sandbox`: in words."""

    verdict: Verdict
    why: str
    rule: str = ""
    source: str = ""
    accesses: tuple[Access, ...] = ()
    proposes: tuple[str, ...] = ()
    sandbox: str = ""


@frozen(kw_only=True)
class TrustProject:
    """Let the rules in a project's `.agentd/config.toml` count, as it is now (`sha256` as `permission/list` told); `trusted` False:
    not any more."""

    cwd: str = field(validator=v.and_(v.matches_re(r"/.*"), v.max_len(4096)))
    trusted: bool = True


@frozen(kw_only=True)
class ProjectTrust:
    path: str
    sha256: str
    rules: tuple[Rule, ...]


@frozen(kw_only=True)
class JobList:
    jobs: tuple[JobInfo, ...]


@frozen(kw_only=True)
class JobRef(SessionRef):
    number: int = field(validator=v.ge(1))


@frozen(kw_only=True)
class ReadJob(JobRef):
    """Output from byte `offset` on, at most 64 KiB; negative: so many bytes from its end."""

    offset: int = -65536


@frozen(kw_only=True)
class JobOutput:
    """`offset`: where `text` begins; `end`: where to read on; earlier output than `oldest` is not kept any more."""

    job: JobInfo
    text: str
    offset: int
    end: int
    oldest: int = 0
