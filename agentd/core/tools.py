"""The registry of tools and the planning of calls: what is asked for, what may run, what is refused before it starts.

Theory of operation: a reply's calls go to the log together with the reply (`plan`): each as `tool_planned` and, in the same
transaction, how it begins: `tool_started` where permission is plain, `approval_requested` where a person must be asked,
`tool_finished` where it cannot run at all. From then on the log knows of every effect before it happens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

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


def plan(
    calls: Iterable[ToolCall], tools: Tools, policy: Policy, *, turn: int, interactive: bool, approve_until: float
) -> list[Any]:
    """The events that commit with the reply that made `calls`. `approve_until`: seconds since the epoch."""
    bodies: list[Any] = []
    for call in calls:
        found = tools.find(call.name)
        spec = found[1] if found else None
        digest = arguments_hash(call.name, call.arguments_json)
        bodies.append(
            ev.ToolPlanned(
                turn=turn,
                call=call.id,
                name=call.name,
                arguments_json=call.arguments_json,
                arguments_hash=digest,
                effect=spec.effect if spec else "once",
            )
        )
        bodies.append(_beginning(call, spec, tools, policy, turn, interactive, digest, approve_until))
    return bodies


def _beginning(
    call: ToolCall, spec: ToolSpec | None, tools: Tools, policy: Policy, turn: int, interactive: bool, digest: str, until: float
) -> Any:
    if spec is None:
        known = ", ".join(sorted(spec.name for spec in tools.specs())) or "none"
        return finished(turn, call.id, "error", f"there is no tool called {call.name}; the tools are: {known}")
    try:
        parse_arguments(call.arguments_json)
    except ToolError as error:
        return finished(turn, call.id, "invalid_arguments", str(error))
    verdict = decide(policy, spec)
    if verdict == "allow":
        return ev.ToolStarted(turn=turn, call=call.id)
    if verdict == "ask" and interactive:
        return ev.ApprovalRequested(
            turn=turn, call=call.id, name=call.name, arguments_json=call.arguments_json, arguments_hash=digest, expires_at=until
        )
    reason = "a rule forbids it" if verdict == "deny" else "it needs a person's approval and nobody is there to give it"
    return finished(turn, call.id, "denied", f"denied: {reason}")


def finished(turn: int, call: str, outcome: CallOutcome, text: str) -> ev.ToolFinished:
    """The outcome of a call that did not run to its end."""
    return ev.ToolFinished(turn=turn, call=call, outcome=outcome, parts=(Text(text=text),))
