"""What core asks of tools."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from attrs import Factory, field, frozen

from agentd.ports.processes import Profile, Sandbox
from agentwire.types import Access, BlobRef, CallOutcome, Effect, JobInfo, ResultPart, Verdict


@frozen(kw_only=True)
class ToolSpec:
    """What a tool is. `parameters` is a JSON Schema object.

    `policy` holds where neither a rule nor the mode nor what the call would do (`ToolSource.accesses`) decides. `network`: it
    needs the network, whatever its arguments. `personal`: it is a question to a person, which nothing else can answer.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    effect: Effect = "once"
    policy: Verdict = "ask"
    network: bool = False
    personal: bool = False
    _size: int = field(init=False, eq=False, repr=False, default=0)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_size", len(self.description) + len(str(self.parameters)))

    @property
    def size(self) -> int:
        """Characters that it takes in a request; worked out once, for each request asks."""
        return self._size


@frozen(kw_only=True)
class Place:
    """Where a call would run: `cwd` and `environment` are the session's; `roots`: the directories of its workspace, links
    resolved, the first is that of `cwd`."""

    session: str
    cwd: str
    environment: Mapping[str, str] = Factory(dict)
    roots: tuple[str, ...] = ()


class Jobs(Protocol):
    """The background processes of one session."""

    async def start(self, call: str, command: str, argv: Sequence[str], profile: Profile) -> JobInfo:
        """Start `argv`, which is `command` in people's words. It outlives the call and the turn, not the daemon.

        Error handling: ToolError if it cannot be started or too many run.
        """

    def list(self) -> Sequence[JobInfo]: ...

    async def wait(self, number: int, seconds: float) -> JobInfo:
        """How it is, once it has ended or so many seconds have passed. Error handling: NotFound."""

    async def output(self, number: int, offset: int) -> tuple[bytes, int, int]:
        """What is kept from byte `offset` on (negative: from the end), where that begins, and how much there was in all.

        Error handling: NotFound.
        """

    async def kill(self, number: int) -> JobInfo:
        """Returns when nothing of it lives. Error handling: NotFound."""


@frozen(kw_only=True)
class ToolContext(Place):
    """What a running call may know and do.

    `accesses`: what was planned and allowed; the tool does no more. `sandbox`: the walls for every process that it starts; None:
    none at all. `answer`: what a person said who approved. `progress`: tell what it has said lately; cheap, may be called often.
    `blob`: keep content of the session, with its media type, as a part of the result. `hidden`: whether no tool may read a path
    without a question, for those that look through directories.
    """

    call: str
    user: str = ""
    accesses: tuple[Access, ...] = ()
    sandbox: Sandbox | None = None
    answer: str = ""
    progress: Callable[[str], None] = lambda _tail: None
    jobs: Jobs | None = None
    blob: Callable[[bytes, str], Awaitable[BlobRef]] | None = None
    hidden: Callable[[str], bool] = lambda _path: False


@frozen(kw_only=True)
class ToolOutcome:
    """`bodies`: events of the session that commit together with the outcome."""

    outcome: CallOutcome
    parts: tuple[ResultPart, ...]
    bodies: tuple[Any, ...] = ()


class ToolSource(Protocol):
    """Where tools come from."""

    name: str

    async def run(self, *, task_status: Any) -> None: ...

    async def refresh(self) -> None:
        """Look for changed tools; called before a turn's first request, so it must be cheap when nothing changed."""

    def specs(self) -> Sequence[ToolSpec]: ...

    def accesses(self, name: str, arguments: Mapping[str, Any], place: Place) -> Sequence[Access]:
        """What a call would do, so that it can be judged before anything happens; nothing if only the tool's name counts.

        Error handling: ToolError for arguments that it does not take.
        """

    async def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        """Run one call. Cancelling it ends everything it started within 1 s.

        Error handling: raises ToolError for what the model should read as the result; anything else is a bug of the source.
        """


class FixedTools:
    """What a `ToolSource` needs besides `accesses` and `call` if its tools, `offered`, never change and nothing of it runs."""

    offered: Sequence[ToolSpec]

    async def run(self, *, task_status: Any) -> None:
        task_status.started()

    async def refresh(self) -> None:
        """There is nothing to look for."""

    def specs(self) -> Sequence[ToolSpec]:
        return self.offered
