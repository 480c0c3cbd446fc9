"""next_action and the ends of a turn, as tables of logs."""

from __future__ import annotations

from typing import Any

import pytest

from agentd.core import decide
from agentd.core.decide import AwaitApproval, CallModel, Finish, Guards, RunTools, SkipCalls, TakeSteer
from agentd.core.draft import Draft
from agentd.core.state import SessionState
from agentd.ports import PartStart, PartText, Spent
from agentwire import events as ev
from agentwire.types import ToolResult, Usage
from tests.core.logs import accepted, answered, asked, begun, created, ended, planned, replied, started, state_of

OPEN = (created(), accepted(1, max_steps=2), started())
ONE_CALL = (*OPEN, replied("", stop="tool_calls", calls=("c0",)), planned("c0"))
TWO_CALLS = (*OPEN, replied("", stop="tool_calls", calls=("c0", "c1")), planned("c0"), planned("c1"))
LONG = (created(), accepted(1, max_steps=50), started())
STEER = accepted(2, "wait", delivery="steer")


@pytest.mark.parametrize(
    ("log", "action"),
    [
        (OPEN, CallModel()),
        ((*OPEN, replied("hi")), Finish("done")),
        ((*OPEN, replied("hi", stop="length")), Finish("done")),
        ((*OPEN, replied("half", stop="interrupted")), CallModel()),
        ((*ONE_CALL, begun("c0")), "run c0"),
        ((*ONE_CALL, asked("c0")), "await c0"),
        ((*ONE_CALL, asked("c0"), answered("c0", "allow")), "run c0"),
        ((*ONE_CALL, asked("c0"), answered("c0", "deny")), "run c0"),
        ((*ONE_CALL, begun("c0"), ended("c0")), CallModel()),
        ((*TWO_CALLS, begun("c0"), asked("c1")), "run c0"),
        ((*TWO_CALLS, begun("c0"), asked("c1"), ended("c0")), "await c1"),
        ((*TWO_CALLS, begun("c0"), asked("c1"), STEER), "skip c1"),
        ((*ONE_CALL, begun("c0"), STEER), "run c0"),
        ((*ONE_CALL, begun("c0"), STEER, ended("c0")), "steer 2"),
        ((*OPEN, replied("hi"), STEER), "steer 2"),
        ((*OPEN, replied("hi"), STEER, ev.InputSteered(turn=1, input=2)), CallModel()),
    ],
)
def test_next_action(log: tuple[Any, ...], action: Any) -> None:
    """The log alone says what the turn does next."""
    found = decide.next_action(state_of(*log))
    match found:
        case RunTools(calls=calls):
            shown: Any = "run " + " ".join(call.id for call in calls)
        case SkipCalls(calls=calls):
            shown = "skip " + " ".join(call.id for call in calls)
        case AwaitApproval(calls=calls):
            shown = "await " + " ".join(call.id for call in calls)
        case TakeSteer(inputs=inputs):
            shown = "steer " + " ".join(str(queued.input) for queued in inputs)
        case _:
            shown = found
    assert shown == action


def test_the_turn_limit_ends_the_turn_with_its_own_error() -> None:
    """After max_steps requests the turn fails with turn_limit instead of asking again."""
    calls = replied("", step=1, stop="tool_calls", calls=("c1",))
    log = (*ONE_CALL, begun("c0"), ended("c0"), calls, planned("c1"), begun("c1"), ended("c1"))
    action = decide.next_action(state_of(*log))
    assert isinstance(action, Finish) and action.outcome == "failed"
    assert action.error is not None and action.error.code == "turn_limit"


def test_a_refusal_fails_the_turn() -> None:
    """Content the vendor refused is an error for people, not an empty answer."""
    action = decide.next_action(state_of(*OPEN, replied("", stop="refused")))
    assert isinstance(action, Finish) and action.error is not None and action.error.code == "refused"


def half_reply() -> Draft:
    draft = Draft(1, 0)
    draft.feed([PartStart(0, "text"), PartText(0, "Half"), PartStart(1, "tool_call", "look"), PartText(1, '{"n"')])
    return draft


def kinds(bodies: list[Any]) -> list[str]:
    return [ev.KIND_OF[type(body)] for body in bodies]


def test_closing_a_cancelled_turn_leaves_a_valid_history() -> None:
    """The partial text stays, half a call does not; started calls are unknown, the others cancelled; one turn_finished."""
    bodies = decide.close_turn(state_of(*OPEN), half_reply(), Finish("cancelled"))
    assert kinds(bodies) == ["assistant_message", "turn_finished"]
    assert [part.kind for part in bodies[0].parts] == ["text"] and bodies[0].stop == "interrupted"

    bodies = decide.close_turn(state_of(*TWO_CALLS, begun("c0"), asked("c1")), None, Finish("cancelled"))
    assert [(body.call, body.outcome) for body in bodies[:-1]] == [("c0", "unknown"), ("c1", "cancelled")]
    state = state_of(*TWO_CALLS, begun("c0"), asked("c1"), *bodies)
    assert [message.role for message in state.messages] == ["user", "assistant", "tool"] and state.turn is None


def test_half_a_call_alone_is_withdrawn() -> None:
    """What was shown of a call that cannot be kept ends with a message without parts; a draft nobody saw leaves nothing."""
    draft = Draft(1, 0)
    assert decide.interrupted_message(state_of(*OPEN), draft) == []
    draft.feed([PartStart(0, "tool_call", "look"), PartText(0, '{"n":')])
    (message,) = decide.interrupted_message(state_of(*OPEN), draft)
    assert message.parts == () and message.stop == "interrupted"
    state = state_of(*OPEN, message)
    assert [message.role for message in state.messages] == ["user"] and state.open_turn.steps == 1


def test_what_was_paid_before_the_first_word_is_counted() -> None:
    """A host had told what the input costs, and then nothing came: a message without parts, in the end of the turn, too."""
    draft = Draft(1, 0)
    draft.feed([Spent(Usage(input=900))])
    message, end = decide.close_turn(state_of(*OPEN), draft, Finish("cancelled"))
    assert message.parts == () and message.usage == end.usage == Usage(input=900) and end.steps == 1


def test_a_draft_of_another_step_is_not_taken() -> None:
    """A draft that was saved for an earlier reply says nothing about this one."""
    state = state_of(*OPEN, replied("whole", stop="interrupted"))
    assert decide.interrupted_message(state, half_reply()) == []


def test_resuming_does_not_repeat_an_effect() -> None:
    """Started calls become unknown unless they were declared safe when planned and are so now."""
    once = state_of(*ONE_CALL, begun("c0"))
    assert kinds(decide.resume_turn(once, None, frozenset({"look"}), clean=False)) == ["tool_finished", "turn_resumed"]
    reading = state_of(*OPEN, replied("", stop="tool_calls", calls=("c0",)), planned("c0", effect="read"), begun("c0"))
    assert kinds(decide.resume_turn(reading, None, frozenset({"look"}), clean=False)) == ["turn_resumed"]
    assert kinds(decide.resume_turn(reading, None, frozenset(), clean=False)) == ["tool_finished", "turn_resumed"]
    assert kinds(decide.resume_turn(state_of(*ONE_CALL, asked("c0")), None, frozenset(), clean=False)) == ["turn_resumed"]


@pytest.mark.parametrize(
    ("message", "more", "ends"),
    [
        (replied("hi"), (), True),
        (replied("hi", stop="length"), (), True),
        (replied("hi"), (STEER,), False),
        (replied("half", stop="interrupted"), (), False),
        (replied("", stop="refused"), (), False),
        (replied("", stop="tool_calls", calls=("c0",)), (), False),
    ],
)
def test_the_last_reply_takes_the_end_of_the_turn_with_it(message: Any, more: tuple[Any, ...], ends: bool) -> None:
    """What commits with the reply is what the loop would have decided on after it."""
    before = state_of(*OPEN, *more)
    bodies = decide.last_words(before, message)
    assert bool(bodies) is ends
    after = state_of(*OPEN, *more, message)
    if ends:
        assert decide.next_action(after) == Finish("done")
        assert bodies == [decide.turn_finished(after, "done")]
    elif message.stop != "tool_calls":
        assert decide.next_action(after) != Finish("done")


def test_only_a_crash_counts_as_a_resume() -> None:
    """A turn may outlive any number of stops in good order."""
    state = state_of(*OPEN)
    assert decide.resume_turn(state, None, frozenset(), clean=True)[-1].resumes == 0
    assert decide.resume_turn(state, None, frozenset(), clean=False)[-1].resumes == 1


def test_a_suspended_turn_stays_open() -> None:
    """A stop in good order keeps the partial text, marks an effect in doubt, and does not finish the turn."""
    assert kinds(decide.suspend_turn(state_of(*OPEN), half_reply())) == ["assistant_message"]
    assert kinds(decide.suspend_turn(state_of(*ONE_CALL, begun("c0")), None)) == ["tool_finished"]


def step(number: int, text: str = "seen") -> tuple[Any, ...]:
    """A reply with one call, and its result."""
    call = f"c{number}"
    return replied("", step=number, stop="tool_calls", calls=(call,)), planned(call), begun(call), ended(call, text)


def notes(state: SessionState) -> list[bool]:
    """For each result, whether the model is told that it goes in circles."""
    results = [part for message in state.messages for part in message.parts if isinstance(part, ToolResult)]
    return ["will not help" in part.parts[-1].text for part in results]  # type: ignore[union-attr]


def test_a_model_in_circles_is_told_and_then_stopped() -> None:
    """From the third time on; a result that differs, or a word of the user's, begins anew."""
    same = [*LONG, *(body for number in range(4) for body in step(number))]
    state = state_of(*same)
    assert notes(state) == [False, False, True, True] and decide.next_action(state, Guards(repeats=5)) == CallModel()
    end = decide.next_action(state, Guards(repeats=4))
    assert isinstance(end, Finish) and end.error is not None and end.error.code == "repeated_calls" and end.error.exit_code == 53
    assert decide.next_action(state, Guards()) == CallModel()
    other = state_of(*LONG, *step(0), *step(1), *step(2, "something else"), *step(3, "something else"))
    assert notes(other) == [False] * 4 and decide.next_action(other, Guards(repeats=3)) == CallModel()
    steered = state_of(*same[:-4], STEER, ev.InputSteered(turn=1, input=2), *same[-4:])
    assert notes(steered) == [False, False, True, False] and decide.next_action(steered, Guards(repeats=3)) == CallModel()


def test_one_call_alone_is_no_circle() -> None:
    """Not even where the limit is one: the first request comes before any call."""
    assert decide.next_action(state_of(*OPEN), Guards(repeats=1)) == CallModel()


def test_a_turn_has_its_time_without_that_of_people_and_of_stops() -> None:
    """In these logs a second passes with each event: what a question was open for, and how long no daemon ran, does not count."""
    worked = state_of(*OPEN, *step(0))
    began = worked.open_turn.began_at
    assert decide.next_action(worked, Guards(seconds=10, now=began + 10)) == CallModel()
    late = decide.next_action(worked, Guards(seconds=10, now=began + 10.5))
    assert isinstance(late, Finish) and late.error is not None and late.error.code == "deadline_exceeded"
    waited = state_of(*OPEN, *step(0)[:2], asked("c0"), answered("c0", "allow"), begun("c0"), ended("c0"))
    assert (waited.open_turn.waited, waited.open_turn.asked_at) == (1.0, 0.0)
    assert decide.next_action(waited, Guards(seconds=10, now=began + 11)) == CallModel()
    assert state_of(*OPEN, ev.TurnResumed(turn=1, resumes=1)).open_turn.waited == 1.0
    asked_twice = state_of(*OPEN, *step(0)[:2], asked("c0"), ev.TurnResumed(turn=1, resumes=1), ended("c0", outcome="skipped"))
    assert asked_twice.open_turn.waited == 2.0
