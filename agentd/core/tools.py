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
from attrs import frozen

from agentd.core.permit import Policy, decide
from agentd.ports import ToolContext, ToolOutcome, ToolSource, ToolSpec
from agentwire import events as ev
from agentwire.errors import ToolError
from agentwire.types import CallOutcome, Text, ToolCall

_decoder = msgspec.json.Decoder(dict[str, Any])

UNKNOWN = "interrupted: the effect may or may not have happened; check before repeating the call"
NOT_EXECUTED = "not executed: the turn ended before the call started"


class Tools:
    """Every tool of every source, by name. The first source that has a name keeps it."""

    def __init__(self, sources: Sequence[ToolSource] = ()) -> None:
        self._sources = tuple(sources)

    async def refresh(self) -> None:
        """Let sources look for changed tools; called before a turn's first request."""
        for source in self._sources:
            await source.refresh()

    def specs(self) -> list[ToolSpec]:
        return list({spec.name: spec for source in reversed(self._sources) for spec in source.specs()}.values())

    def find(self, name: str) -> tuple[ToolSource, ToolSpec] | None:
        return next(((source, spec) for source in self._sources for spec in source.specs() if spec.name == name), None)

    async def call(self, name: str, arguments_json: str, context: ToolContext) -> ToolOutcome:
        """Run a planned call. A `ToolError` becomes its outcome; other exceptions are bugs and pass."""
        found = self.find(name)
        if found is None:
            return _said("error", f"there is no tool called {name} any more")
        try:
            return await found[0].call(name, parse_arguments(arguments_json), context)
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
    turn: int
    interactive: bool
    approve_until: float

    def plan(self, calls: Iterable[ToolCall]) -> list[Any]:
        """The events that commit with the reply that made `calls`."""
        bodies: list[Any] = []
        for call in calls:
            found = self.tools.find(call.name)
            spec = found[1] if found else None
            planned = ev.ToolPlanned(
                turn=self.turn,
                call=call.id,
                name=call.name,
                arguments_json=call.arguments_json,
                arguments_hash=arguments_hash(call.name, call.arguments_json),
                effect=spec.effect if spec else "once",
            )
            bodies += [planned, self._beginning(planned, spec)]
        return bodies

    def _beginning(self, planned: ev.ToolPlanned, spec: ToolSpec | None) -> Any:
        if spec is None:
            known = ", ".join(sorted(spec.name for spec in self.tools.specs())) or "none"
            return self._over(planned, "error", f"there is no tool called {planned.name}; the tools are: {known}")
        try:
            parse_arguments(planned.arguments_json)
        except ToolError as error:
            return self._over(planned, "invalid_arguments", str(error))
        verdict = decide(self.policy, spec)
        if verdict == "allow":
            return ev.ToolStarted(turn=self.turn, call=planned.call)
        if verdict == "ask" and self.interactive:
            return self._question(planned)
        reason = "a rule forbids it" if verdict == "deny" else "it needs a person's approval and nobody is there to give it"
        return self._over(planned, "denied", f"denied: {reason}")

    def _question(self, planned: ev.ToolPlanned) -> ev.ApprovalRequested:
        return ev.ApprovalRequested(
            turn=self.turn,
            call=planned.call,
            name=planned.name,
            arguments_json=planned.arguments_json,
            arguments_hash=planned.arguments_hash,
            expires_at=self.approve_until,
        )

    def _over(self, planned: ev.ToolPlanned, outcome: CallOutcome, text: str) -> ev.ToolFinished:
        return finished(self.turn, planned.call, outcome, text)


def finished(turn: int, call: str, outcome: CallOutcome, text: str) -> ev.ToolFinished:
    """The outcome of a call that did not run to its end."""
    return ev.ToolFinished(turn=turn, call=call, outcome=outcome, parts=(Text(text=text),))
