"""Whether an input is taken, and what it starts: decided and reserved without an await, so that queue order is decision order."""

from __future__ import annotations

from typing import Any

from agentd.core.live import Live
from agentd.ports import NewEvent
from agentwire import events as ev
from agentwire.errors import Overloaded
from agentwire.types import Delivery, InputPart

MAX_QUEUED = 100
"""Inputs that may wait in one session."""
MAX_QUEUED_BYTES = 2 * 1024 * 1024
"""Of all that waits, encoded: the view that a watch begins with has it, and must fit a frame."""


def admit(
    live: Live,
    parts: tuple[InputPart, ...],
    delivery: Delivery,
    *,
    interactive: bool,
    model: str,
    max_steps: int,
    schema: dict[str, Any] | None = None,
    max_cost: float = 0.0,
) -> tuple[int, int | None, list[NewEvent]]:
    """Decide on an input: (its number, the turn it starts or None, what to append). The session is busy from then on.

    Error handling: Overloaded if too much waits in it.
    """
    _refuse_if_full(live, parts)
    live.inputs += 1
    number = live.inputs
    accepted = ev.InputAccepted(
        input=number,
        parts=parts,
        delivery=delivery,
        interactive=interactive,
        model=model,
        max_steps=max_steps,
        schema=schema,
        max_cost=max_cost,
    )
    bodies: list[Any] = [accepted]
    turn = None
    if not live.busy and live.state.turn is None and not live.state.queue:
        turn = live.state.turns + 1
        bodies.append(ev.TurnStarted(turn=turn, input=number, model=model))
        live.busy = True
    return number, turn, live.new(bodies)


def _refuse_if_full(live: Live, parts: tuple[InputPart, ...]) -> None:
    queue = live.state.queue
    if len(queue) >= MAX_QUEUED:
        raise Overloaded(f"{MAX_QUEUED} inputs are waiting in this session already; wait for some to be answered", retry_after=5.0)
    if queue and len(ev.encode_body([*(queued.parts for queued in queue), parts])) > MAX_QUEUED_BYTES:
        raise Overloaded("the inputs that wait in this session are long; wait for some to be answered", retry_after=5.0)
