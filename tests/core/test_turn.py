"""The open turn: what of its time was spent waiting, and whether its steps repeat each other."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from agentd.core.turn import Call, Turn
from agentwire.types import PendingApproval, Text

QUESTION = PendingApproval(call="a", name="look", arguments_json="{}", arguments_hash="h", expires_at=9.0)


def turn(*calls: Call) -> Turn:
    made = Turn(1, 1, "m", interactive=True, max_steps=9)
    made.calls = {call.id: call for call in calls}
    return made


def call(name: str, said: str = "x", outcome: Any = "ok") -> Call:
    made = Call(name, "look", "{}", "h", "once")
    return evolve(made, outcome=outcome, parts=(Text(text=said),))


def test_the_time_of_questions_is_counted_once() -> None:
    """From the first that is open to the last that is settled, however many there are in between."""
    first, second = (Call(name, "look", "{}", "h", "once", approval=QUESTION) for name in "ab")
    asked = turn(first, second)
    asked.wait(10.0)
    asked.wait(11.0)
    first.decision = "allow"
    asked.wait(13.0)
    assert (asked.asked_at, asked.waited) == (10.0, 0.0)
    second.outcome = "skipped"
    asked.wait(15.0)
    assert (asked.asked_at, asked.waited) == (0.0, 5.0)


def test_a_step_is_the_same_if_all_of_it_is() -> None:
    """Calls, outcomes and results in their order; ids differ always."""
    made = turn()
    for calls, repeated in [
        ((call("1"), call("2", "y")), 0),
        ((call("3"), call("4", "y")), 1),
        ((call("5"), call("6", "y")), 2),
        ((call("7", "y"), call("8")), 0),
        ((call("9", "y"),), 0),
        ((call("10", "y", "error"),), 0),
        ((call("11", "y", "error"),), 1),
    ]:
        made.calls = {one.id: one for one in calls}
        results = made.end_step()
        assert made.repeated == repeated and [one.call for one in results] == list(made.calls)
        assert all(("will not help" in one.parts[-1].text) == (repeated >= 2) for one in results)  # type: ignore[union-attr]
