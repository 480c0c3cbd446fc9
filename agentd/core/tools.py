"""The registry of tools and the planning of calls: what is asked for, what may run, what is refused before it starts.

Theory of operation: a reply's calls go to the log together with the reply (`Planner`): each as `tool_planned` and, in the same
transaction, how it begins: `tool_started` where permission is plain, `approval_requested` where a person must be asked,
`tool_finished` where it cannot run at all. From then on the log knows of every effect before it happens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from attrs import frozen

from agentd.core.permit import Judgement, Policy, decide
from agentd.core.schemas import Schemas, meant_by
from agentd.ports import Place, ToolContext, ToolOutcome, ToolSource, ToolSpec
from agentwire import events as ev
from agentwire.errors import ToolError
from agentwire.types import Access, CallOutcome, Text, ToolCall

log = structlog.get_logger()

_decoder = msgspec.json.Decoder(dict[str, Any])

UNKNOWN = "interrupted: the effect may or may not have happened; check before repeating the call"
NOT_EXECUTED = "not executed: the turn ended before the call started"


@frozen
class Offered:
    """A tool and where it comes from."""

    source: ToolSource
    spec: ToolSpec


class Tools:
    """Every tool of every source, by name. A name that is taken is refused to later sources, and the log says so once."""

    def __init__(self, sources: Sequence[ToolSource] = ()) -> None:
        self._sources = tuple(sources)
        self._offered: dict[str, Offered] = {}
        self._known: list[Sequence[ToolSpec] | None] = [None] * len(self._sources)
        self._specs: tuple[ToolSpec, ...] = ()
        self._clashes: set[tuple[str, str]] = set()
        self._schemas = Schemas()

    async def refresh(self) -> None:
        """Let sources look for changed tools; called before a turn's first request."""
        for source in self._sources:
            await source.refresh()

    @property
    def offered(self) -> Mapping[str, Offered]:
        """All tools by their names, as their sources have them now."""
        for source, known in zip(self._sources, self._known, strict=True):
            if source.specs() is not known:
                self._gather()
                break
        return self._offered

    def _gather(self) -> None:
        offered: dict[str, Offered] = {}
        self._known = [source.specs() for source in self._sources]
        for source in self._sources:
            for spec in source.specs():
                first = offered.setdefault(spec.name, Offered(source, spec))
                if first.source is not source and (clash := (spec.name, source.name)) not in self._clashes:
                    self._clashes.add(clash)
                    log.warning("tool_name_taken", tool=spec.name, source=source.name, taken_by=first.source.name)
        self._offered, self._specs = offered, tuple([one.spec for one in offered.values()])

    @property
    def refused(self) -> Sequence[str]:
        """In a sentence each: the tools that are not offered because their names are taken."""
        known = self.offered
        return [
            f"the tool {name} of {source} is not offered: {known[name].source.name} has one of that name"
            for name, source in sorted(self._clashes)
            if name in known
        ]

    async def prepare(self) -> None:
        """Before calls are planned: what takes long the first time is done beside the loop."""
        await self._schemas.prepare()

    def fit(self, spec: ToolSpec, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments of a call as they are meant. Raises ToolError for those that do not fit the tool's schema."""
        return self._schemas.fit(spec, arguments)

    def specs(self) -> tuple[ToolSpec, ...]:
        """All tools; the same object as long as they are the same, for what is made of them once."""
        _ = self.offered
        return self._specs

    def find(self, name: str) -> Offered | None:
        return self.offered.get(name)

    async def call(self, name: str, arguments_json: str, context: ToolContext) -> ToolOutcome:
        """Run a planned call. A `ToolError` becomes its outcome; other exceptions are bugs and pass."""
        found = self.find(name)
        if found is None:
            return _said("error", f"there is no tool called {name} any more")
        try:
            return await found.source.call(name, meant_by(found.spec.parameters, parse_arguments(arguments_json)), context)
        except ToolError as error:
            return _said("error", str(error))


def _said(outcome: CallOutcome, text: str) -> ToolOutcome:
    return ToolOutcome(outcome=outcome, parts=(Text(text=text),))


def parse_arguments(arguments_json: str) -> Mapping[str, Any]:
    """The arguments as an object. Raises ToolError in words the model can act on."""
    try:
        return _decoder.decode(arguments_json or "{}")
    except msgspec.DecodeError as error:
        raise ToolError(f"the arguments are not a JSON object: {error}. Send the call again with valid JSON.") from None


def arguments_hash(name: str, arguments_json: str) -> str:
    return hashlib.sha256(f"{name}\0{arguments_json}".encode()).hexdigest()


@frozen(kw_only=True)
class Planner:
    """Plans the calls of one reply. `approve_until`: seconds since the epoch, when an unanswered question becomes a no."""

    tools: Tools
    policy: Policy
    place: Place
    turn: int
    interactive: bool
    approve_until: float

    def plan(self, calls: Iterable[ToolCall]) -> list[Any]:
        """The events that commit with the reply that made `calls`."""
        return [body for call in calls for body in self._events(call)]

    def _events(self, call: ToolCall) -> list[Any]:
        found = self.tools.find(call.name)
        if found is None:
            known = ", ".join(sorted(self.tools.offered)) or "none"
            return self._refused(call, "error", f"there is no tool called {call.name}; the tools are: {known}")
        try:
            arguments = self.tools.fit(found.spec, parse_arguments(call.arguments_json))
            accesses = tuple(found.source.accesses(call.name, arguments, self.place))
        except ToolError as error:
            return self._refused(call, "invalid_arguments", str(error), found.spec)
        judged = decide(self.policy, found.spec, accesses)
        planned = self._planned(call, found.spec, accesses, judged.why)
        if judged.verdict == "allow":
            return [planned, ev.ToolStarted(turn=self.turn, call=call.id)]
        if judged.verdict == "ask" and self.interactive:
            return [planned, self._question(planned, judged)]
        alone = "; it needs a person's approval and nobody is there to give it" if judged.verdict == "ask" else ""
        return [planned, finished(self.turn, call.id, "denied", f"denied: {judged.why}{alone}")]

    def _refused(self, call: ToolCall, outcome: CallOutcome, text: str, spec: ToolSpec | None = None) -> list[Any]:
        return [self._planned(call, spec, (), ""), finished(self.turn, call.id, outcome, text)]

    def _planned(self, call: ToolCall, spec: ToolSpec | None, accesses: tuple[Access, ...], rule: str) -> ev.ToolPlanned:
        return ev.ToolPlanned(
            turn=self.turn,
            call=call.id,
            name=call.name,
            arguments_json=call.arguments_json,
            arguments_hash=arguments_hash(call.name, call.arguments_json),
            effect=spec.effect if spec else "once",
            accesses=accesses,
            rule=rule,
        )

    def _question(self, planned: ev.ToolPlanned, judged: Judgement) -> ev.ApprovalRequested:
        return ev.ApprovalRequested(
            turn=self.turn,
            call=planned.call,
            name=planned.name,
            arguments_json=planned.arguments_json,
            arguments_hash=planned.arguments_hash,
            expires_at=self.approve_until,
            accesses=planned.accesses,
            why=judged.why,
            proposes=judged.proposes,
        )


def finished(turn: int, call: str, outcome: CallOutcome, text: str) -> ev.ToolFinished:
    """The outcome of a call that did not run to its end."""
    return ev.ToolFinished(turn=turn, call=call, outcome=outcome, parts=(Text(text=text),))
