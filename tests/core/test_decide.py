"""next_action and the ends of a turn, as tables of logs."""

from __future__ import annotations

from typing import Any

import pytest

from agentd.core import decide
from agentd.core.decide import AwaitApproval, CallModel, Finish, RunTools, SkipCalls, TakeSteer
from agentd.core.draft import Draft
from agentd.ports import PartStart, PartText, Spent
from agentwire import events as ev
from agentwire.types import Usage
from tests.core.logs import accepted, answered, asked, begun, created, ended, planned, replied, started, state_of

OPEN = (created(), accepted(1, max_steps=2), started())
ONE_CALL = (*OPEN, replied("", stop="tool_calls", calls=("c0",)), planned("c0"))
TWO_CALLS = (*OPEN, replied("", stop="tool_calls", calls=("c0", "c1")), planned("c0"), planned("c1"))
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
