"""The open turn and its calls, as part of a session's projection: written only by applying events."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec
from attrs import define, field

from agentwire.types import (
    Access,
    CallOutcome,
    Decision,
    Effect,
    PendingApproval,
    ResultPart,
    StopReason,
    Text,
    ToolResult,
    Usage,
)

_WARN_AT = 2
"""Repetitions of a step with whose results the model is told that it goes in circles."""
_CIRCLES = (
    "[the same call with the same result, {times} times in a row: doing it again will not help. Try something else, or tell the "
    "user what is in the way]"
)


@define
class Call:
    """One tool call of the newest reply and how far it has come."""

    id: str
    name: str
    arguments_json: str
    arguments_hash: str
    effect: Effect
    accesses: tuple[Access, ...] = ()
    started: bool = False
    approval: PendingApproval | None = None
    decision: Decision | None = None
    decided_by: str = ""
    note: str = ""
    outcome: CallOutcome | None = None
    parts: tuple[ResultPart, ...] = ()

    @property
    def awaits_answer(self) -> bool:
        return self.outcome is None and self.approval is not None and self.decision is None


@define
class Turn:
    """The open turn. `steps` counts replies so far; `restarts` the seams since the last whole reply; `rejections` the answers that
    did not follow `schema`. `began_at`: seconds since the epoch; `waited`: seconds of them for people, and since `asked_at` for one
    more. `repeated`: steps in a row that made the same calls with the same results as the one before; `said`: a digest of these.
    """

    number: int
    input: int
    model: str
    interactive: bool
    max_steps: int
    steps: int = 0
    stop: StopReason | None = None
    restarts: int = 0
    resumes: int = 0
    denials: int = 0
    steered: bool = False
    schema: dict[str, Any] | None = None
    max_cost: float = 0.0
    rejections: int = 0
    began_at: float = 0.0
    waited: float = 0.0
    asked_at: float = 0.0
    repeated: int = 0
    said: str = ""
    usage: Usage = Usage()
    cost: float | None = None
    calls: dict[str, Call] = field(factory=dict)

    @property
    def open_calls(self) -> list[Call]:
        return [call for call in self.calls.values() if call.outcome is None]

    def wait(self, at: float) -> None:
        """A question was asked or is settled: time in which one is open is not the turn's own."""
        waiting = any(call.awaits_answer for call in self.calls.values())
        if waiting and not self.asked_at:
            self.asked_at = at
        elif self.asked_at and not waiting:
            self.waited, self.asked_at = self.waited + at - self.asked_at, 0.0

    def end_step(self) -> tuple[ToolResult, ...]:
        """All calls of the reply are over: their results, for the model. Is this the same step as the one before?"""
        did = [(call.name, call.arguments_json, call.outcome, call.parts) for call in self.calls.values()]
        said = sha256(msgspec.json.encode(did)).hexdigest()
        self.repeated, self.said = self.repeated + 1 if said == self.said else 0, said
        note = (Text(text=_CIRCLES.format(times=self.repeated + 1)),) if self.repeated >= _WARN_AT else ()
        return tuple(
            ToolResult(call=call.id, parts=(*call.parts, *note), is_error=call.outcome != "ok") for call in self.calls.values()
        )
