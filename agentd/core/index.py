"""The session index, one row a session, and the sums of model requests: kept by the store in the same transaction as the events
they derive from."""

from __future__ import annotations

from typing import Any

from agentd.core.state import title_of
from agentd.ports import IndexChange, UsageChange
from agentwire import events as ev


def index_change(body: Any) -> IndexChange | UsageChange | None:
    """What `body` does to its session's row or sums; None for the many events that do nothing to them."""
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
        case _:
            return _ALWAYS.get(type(body))


_ALWAYS: dict[type[Any], IndexChange] = {
    ev.MessageAdded: IndexChange(),  # something has happened in it
    ev.InputSteered: IndexChange(add={"queued": -1}),
    ev.ApprovalRequested: IndexChange(set={"status": "awaiting_approval"}),
    ev.ApprovalAnswered: IndexChange(set={"status": "running"}),
    ev.TurnFinished: IndexChange(set={"status": "idle"}),
    ev.JobStarted: IndexChange(add={"jobs": 1}),
    ev.JobFinished: IndexChange(add={"jobs": -1}),
}
"""What does the same to its row whatever is in it."""
