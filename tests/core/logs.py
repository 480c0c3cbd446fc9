"""Small logs of one session, for tests of the projection and of decisions."""

from __future__ import annotations

from typing import Any

from agentd.core.state import SessionState
from agentwire import events as ev
from agentwire.types import Delivery, Text, ToolCall, Usage


def event(seq: int, body: Any) -> ev.Event:
    data = ev.encode_body(body)
    return ev.Event(
        pos=seq, stream="s", seq=seq, user="ann", at=float(seq), kind=ev.KIND_OF[type(body)], version=1, body=body, data=data
    )


def state_of(*bodies: Any) -> SessionState:
    """The state after these events."""
    state = SessionState("s", "ann")
    for seq, body in enumerate(bodies, 1):
        state.apply(event(seq, body))
    return state


def created() -> ev.SessionCreated:
    return ev.SessionCreated(title="", cwd="/work", model="fake/model", environment={})


def accepted(
    number: int, text: str = "hello", *, delivery: Delivery = "queue", interactive: bool = True, max_steps: int = 5
) -> ev.InputAccepted:
    parts = (Text(text=text),)
    return ev.InputAccepted(
        input=number, parts=parts, delivery=delivery, interactive=interactive, model="fake/model", max_steps=max_steps
    )


def started(turn: int = 1, number: int = 1) -> ev.TurnStarted:
    return ev.TurnStarted(turn=turn, input=number, model="fake/model")


def replied(text: str, *, step: int = 0, stop: Any = "end", calls: tuple[str, ...] = ()) -> ev.AssistantMessage:
    parts: list[Any] = [Text(text=text)] if text else []
    parts += [ToolCall(id=call, name="look", arguments_json="{}") for call in calls]
    return ev.AssistantMessage(turn=1, step=step, model="fake/model", parts=tuple(parts), stop=stop, usage=Usage(input=1, output=2))


def planned(call: str, *, effect: Any = "once") -> ev.ToolPlanned:
    return ev.ToolPlanned(turn=1, call=call, name="look", arguments_json="{}", arguments_hash="h", effect=effect)


def begun(call: str) -> ev.ToolStarted:
    return ev.ToolStarted(turn=1, call=call)


def asked(call: str) -> ev.ApprovalRequested:
    return ev.ApprovalRequested(turn=1, call=call, name="look", arguments_json="{}", arguments_hash="h", expires_at=100.0)


def answered(call: str, decision: Any) -> ev.ApprovalAnswered:
    return ev.ApprovalAnswered(turn=1, call=call, decision=decision, by="ann")


def ended(call: str, text: str = "seen", *, outcome: Any = "ok") -> ev.ToolFinished:
    return ev.ToolFinished(turn=1, call=call, outcome=outcome, parts=(Text(text=text),))


def finished(outcome: Any = "done") -> ev.TurnFinished:
    return ev.TurnFinished(turn=1, outcome=outcome, steps=1, denials=0, usage=Usage())
