"""The projection: what each event does to a session, and that replaying is living."""

from __future__ import annotations

import msgspec
import pytest
import trio
import trio.testing
from hypothesis import given

from agentd.core.state import SessionState, title_of
from agentwire import convert
from agentwire import events as ev
from agentwire.types import Text, ToolResult, Usage
from tests.core.logs import (
    Script,
    accepted,
    answered,
    asked,
    begun,
    created,
    ended,
    event,
    finished,
    planned,
    replied,
    scripts,
    started,
    state_of,
)
from tests.fakes.house import open_house
from tests.fakes.models import FakeModels, Say

HELLO = FakeModels(lambda prompt: Say(["Hello"]))


def texts(state: SessionState) -> list[tuple[str, str]]:
    return [(message.role, "".join(part.text for part in message.parts if isinstance(part, Text))) for message in state.messages]


def test_a_session_is_called_by_its_first_line() -> None:
    """Without a title the first line of the first input names the session; a given name stays."""
    state = state_of(created(), accepted(1, "\n  fix the build\nplease"), accepted(2, "other"))
    assert state.title == "fix the build"
    assert title_of((Text(text="x" * 100),)) == "x" * 59 + "…"
    assert state_of(created(), ev.SessionRenamed(title="mine"), accepted(1, "hello")).title == "mine"


def test_an_input_waits_until_a_turn_starts_on_it() -> None:
    """Queued inputs keep their order; an interrupt goes first; the turn's input becomes a user message."""
    state = state_of(created(), accepted(1, "a"), accepted(2, "b"), accepted(3, "c", delivery="interrupt"))
    assert [queued.input for queued in state.queue] == [3, 1, 2]
    state = state_of(created(), accepted(1, "a"), accepted(2, "b"), started(1, 1))
    assert [queued.input for queued in state.queue] == [2]
    assert texts(state) == [("user", "a")]
    assert state.status == "running"


def test_results_enter_the_conversation_together_and_in_call_order() -> None:
    """However late the first call's result comes, history has one tool message behind the calls, in their order."""
    log = [created(), accepted(1), started(), replied("", stop="tool_calls", calls=("c0", "c1")), planned("c0"), planned("c1")]
    half = state_of(*log, begun("c0"), begun("c1"), ended("c1", "second"))
    assert [message.role for message in half.messages] == ["user", "assistant"]
    whole = state_of(*log, begun("c0"), begun("c1"), ended("c1", "second"), ended("c0", "first", outcome="error"))
    results = whole.messages[-1].parts
    assert [(part.call, part.is_error) for part in results if isinstance(part, ToolResult)] == [("c0", True), ("c1", False)]


def test_a_reply_that_goes_on_from_an_interrupted_one_is_one_message() -> None:
    """Text kept before a seam and the text after it are one assistant message for whoever reads on."""
    state = state_of(created(), accepted(1), started(), replied("Half a ", stop="interrupted"), replied("sentence.", step=1))
    assert texts(state) == [("user", "hello"), ("assistant", "Half a sentence.")]


def test_a_steer_between_the_halves_keeps_them_apart() -> None:
    """What the user said in between stays in between."""
    log = (created(), accepted(1), started(), replied("Half a ", stop="interrupted"), accepted(2, "stop that", delivery="steer"))
    state = state_of(*log, ev.InputSteered(turn=1, input=2), replied("Fine.", step=1))
    assert texts(state) == [("user", "hello"), ("assistant", "Half a "), ("user", "stop that"), ("assistant", "Fine.")]


def test_a_late_steer_becomes_a_queued_input() -> None:
    """A steer that no request took in waits as an input of its own."""
    state = state_of(created(), accepted(1), started(), accepted(2, delivery="steer"), replied("x"), finished())
    assert [queued.delivery for queued in state.queue] == ["queue"]
    assert state.turn is None and state.status == "idle"


def test_status_tells_of_a_pending_question() -> None:
    """awaiting_approval while a question is open, running once it is answered."""
    log = [created(), accepted(1), started(), replied("", stop="tool_calls", calls=("c0",)), planned("c0"), asked("c0")]
    assert state_of(*log).status == "awaiting_approval"
    assert state_of(*log, answered("c0", "allow")).status == "running"


def test_a_turn_adds_up_usage_and_denials() -> None:
    """Tokens and denied calls of all steps are in the open turn."""
    log = [created(), accepted(1), started(), replied("", stop="tool_calls", calls=("c0",)), planned("c0")]
    turn = state_of(*log, ended("c0", outcome="denied"), replied("no", step=1)).open_turn
    assert turn.usage == Usage(input=2, output=4)
    assert turn.denials == 1


def test_a_snapshot_is_the_state() -> None:
    """Encoding a state and structuring it again loses nothing, whatever is open in it."""
    log = [
        created(),
        accepted(1),
        started(),
        replied("a", stop="tool_calls", calls=("c0",)),
        planned("c0"),
        asked("c0"),
        accepted(2),
    ]
    state = state_of(*log)
    again = convert.structure_stored(msgspec.json.encode(state), SessionState)
    assert again == state


def test_an_answer_that_comes_too_late_changes_nothing() -> None:
    """A log may have one behind the end of its call or of its turn: it stays readable."""
    log = (created(), accepted(1), started(), replied("", calls=("c0",)), planned("c0"), asked("c0"), ended("c0"))
    for late in (log, (*log, finished())):
        assert state_of(*late, answered("c0", "allow")).turn == state_of(*late).turn


def test_events_come_in_order() -> None:
    """A gap in a stream is a bug that must not pass silently."""
    with pytest.raises(AssertionError):
        SessionState("s", "ann").apply(event(2, created()))


async def test_replaying_is_living(autojump_clock: trio.testing.MockClock) -> None:
    """The log replayed gives the live state."""
    async with open_house(HELLO) as house:
        live = await house.create()
        for text in ("a", "b", "c"):
            await house.prompt(live, text)
        await house.idle(live)
        replayed = SessionState(live.state.id, "local")
        for found in house.events:
            replayed.apply(found)
        assert replayed == live.state


@given(scripts())
def test_a_log_is_complete_where_no_step_is_half_done(script: Script) -> None:
    """Between steps and between turns; never between a call and its result, at a seam, or behind a steer."""
    state = SessionState("s", "ann")
    complete = []
    for seq, body in enumerate(script.bodies, 1):
        state.apply(event(seq, body))
        if state.complete:
            complete.append(seq)
    assert complete == script.complete


@given(scripts())
def test_every_call_has_one_result_right_behind_it(script: Script) -> None:
    """Also where the first call of a reply is refused before the second one is even planned."""
    messages = state_of(*script.bodies).messages
    for index, message in enumerate(messages):
        if message.role == "tool":
            assert messages[index - 1].role == "assistant" and messages[index - 1].calls == message.calls
        elif message.calls:
            assert index == len(messages) - 1 or messages[index + 1].role == "tool"


@given(scripts())
def test_a_snapshot_of_any_log_is_its_state(script: Script) -> None:
    """At whatever event it is taken."""
    state = state_of(*script.bodies)
    assert convert.structure_stored(msgspec.json.encode(state), SessionState) == state
