"""Conversations from elsewhere: a message of any length becomes events, and those the same message again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.core import history
from agentd.core.history import added, blobs_of, refuse_misplaced
from agentd.ports import Message
from agentwire.errors import InvalidParams
from agentwire.events import MAX_EVENT, encode_body
from agentwire.types import BlobRef, HistoryMessage, Reasoning, Text, ToolCall, ToolResult
from tests.core.logs import created, state_of
from tests.wire.strategies import values

CALL = ToolCall(id="c", name="look", arguments_json="{}")
RESULT = ToolResult(call="c", parts=(Text(text="seen"),))


def message(role: Any, *parts: Any) -> HistoryMessage:
    return HistoryMessage(role=role, parts=parts)


def told(*messages: HistoryMessage) -> list[Message]:
    """The conversation that their events make."""
    return state_of(created(), *added(messages)).messages


MESSAGES = st.lists(values(HistoryMessage).filter(lambda message: message.parts), max_size=5)


@pytest.mark.parametrize("limit", [1, 40, history._LIMIT])
@given(messages=MESSAGES)
def test_messages_come_back_as_they_were(limit: int, messages: list[HistoryMessage]) -> None:
    """Every part kind, wherever the limit of one event cuts: the same messages, the same parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "_LIMIT", limit)
        patch.setattr(history, "_SLICE", max(1, limit // 8))
        assert told(*messages) == [Message(message.role, message.parts) for message in messages]


@pytest.mark.parametrize("char", ["x", "\x00", "é", "🙂"])
@pytest.mark.parametrize("role", ["user", "assistant"])
def test_a_message_too_long_for_one_event_is_split(role: str, char: str) -> None:
    """However its characters are encoded, no event exceeds its limit; its neighbours stay apart from it."""
    long = message(role, Text(text=char * 1_500_000), Text(text="tail"), Text(text=char * 100_000))
    before, after = message(role, Text(text="before")), message(role, Text(text="after"))
    assert all(len(encode_body(event)) < MAX_EVENT for event in added([long]))
    assert told(before, long, after) == [Message(one.role, one.parts) for one in (before, long, after)]


def test_a_message_that_fits_is_one_event() -> None:
    """Also a long one."""
    assert len(added([message("user", Text(text="x" * 500_000)), message("assistant", Text(text="y"), CALL)])) == 2


def test_a_state_between_the_halves_of_a_message_is_not_complete() -> None:
    """Nor behind a call without its result."""
    bodies = added([message("user", Text(text="x" * 1_000_000)), message("assistant", CALL), message("tool", RESULT)])
    complete = [state_of(created(), *bodies[:length]).complete for length in range(len(bodies) + 1)]
    assert complete == [True, *[False] * (len(bodies) - 3), True, False, True]


def test_blobs_are_found_in_results() -> None:
    """A fork shares them with its source."""
    blob = BlobRef(blob="a" * 64, bytes=1, media="text/plain")
    assert blobs_of([message("tool", ToolResult(call="c", parts=(blob, Text(text="x"))), RESULT)]) == {"a" * 64}
    assert blobs_of([message("user", Text(text="a" * 64)), message("assistant", CALL)]) == frozenset()


@pytest.mark.parametrize(
    ("role", "part", "allowed"),
    [
        ("user", Text(text=""), True),
        ("user", Reasoning(text="hm"), False),
        ("user", CALL, False),
        ("user", RESULT, False),
        ("assistant", Text(text="x"), True),
        ("assistant", Reasoning(text="hm"), True),
        ("assistant", CALL, True),
        ("assistant", RESULT, False),
        ("tool", RESULT, True),
        ("tool", Text(text="x"), False),
        ("tool", CALL, False),
    ],
)
def test_each_role_has_its_parts(role: str, part: Any, allowed: bool) -> None:
    """Who may say what; the error names the place."""
    messages = [message("user", Text(text="hi")), message(role, part)]
    if allowed:
        refuse_misplaced(messages)
    else:
        with pytest.raises(InvalidParams, match=r"messages\[1\]\.parts\[0\]: a"):
            refuse_misplaced(messages)


def test_a_message_says_something() -> None:
    """One without parts is nothing that a model could be sent."""
    with pytest.raises(InvalidParams, match=r"messages\[0\]"):
        refuse_misplaced([message("assistant")])
