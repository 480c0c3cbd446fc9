"""The session index, the sums of model requests and the ledger of tool calls: kept by the store in the same transaction as the
events they derive from."""

from __future__ import annotations

from typing import Any

from agentd.core.state import title_of
from agentd.ports import CallChange, IndexChange, UsageChange
from agentwire import events as ev


def index_change(body: Any) -> IndexChange | UsageChange | CallChange | None:
    """What `body` does to its session's row, sums or calls; None for the events that do nothing to them."""
    match body:
        case ev.SessionCreated(title=title, cwd=cwd, model=model, parent=parent):
            fresh = {"title": title, "cwd": cwd, "model": model, "parent": parent, "status": "idle", "turns": 0, "queued": 0}
            return IndexChange(set=fresh, create=True)
        case ev.SessionRenamed(title=title):
            return IndexChange(set={"title": title})
        case ev.SessionConfigured(preferences=preferences):
            chosen = {"model": preferences.model, "pinned": preferences.pinned}
            return IndexChange(set={name: value for name, value in chosen.items() if value is not None})
        case ev.InputAccepted(parts=parts):
            return IndexChange(add={"queued": 1}, title=title_of(parts))
        case ev.TurnStarted(turn=turn):
            return IndexChange(set={"status": "running", "turns": turn}, add={"queued": -1})
        case ev.AssistantMessage(model=model, usage=usage, cost=cost, estimated=estimated):
            return UsageChange(model=model, usage=usage, cost=cost, estimated=estimated)
        case ev.ToolPlanned(call=call, name=name, session=session):
            return CallChange(call=call, state="planned", name=name, session=session)
        case ev.ApprovalRequested(call=call):
            return IndexChange(set={"status": "awaiting_approval"}, call=CallChange(call=call, state="waiting"))
        case ev.ToolStarted(call=call):
            return CallChange(call=call, state="started")
        case ev.ToolFinished(call=call, outcome=outcome, seconds=seconds):
            return CallChange(call=call, state="over", outcome=outcome, seconds=seconds)
        case _:
            return _ALWAYS.get(type(body))


_ALWAYS: dict[type[Any], IndexChange] = {
    ev.MessageAdded: IndexChange(),  # something has happened in it
    ev.InputSteered: IndexChange(add={"queued": -1}),
    ev.ApprovalAnswered: IndexChange(set={"status": "running"}),
    ev.TurnFinished: IndexChange(set={"status": "idle"}),
    ev.JobStarted: IndexChange(add={"jobs": 1}),
    ev.JobFinished: IndexChange(add={"jobs": -1}),
}
"""What does the same to its row whatever is in it."""
