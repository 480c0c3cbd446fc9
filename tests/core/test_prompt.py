"""build_prompt: what fits, what is sent, and that every prefix of every log is a valid conversation."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.core.prompt import Facts, build_prompt, fit, paired
from agentd.ports import PER_MESSAGE, Message, ModelLimits
from agentwire.errors import ContextTooLong
from agentwire.types import BlobRef, Reasoning, Text, ToolCall, ToolResult
from tests.core.logs import Script, accepted, asked, begun, created, ended, finished, planned, replied, scripts, started, state_of
from tests.fakes.tools import spec

FACTS = Facts(date="Monday 1 January 2029", platform="Linux", user="ann")
LARGE = ModelLimits(context=100_000, max_output=1000)
TURN = [
    created(),
    accepted(1),
    started(),
    replied("Let me see. ", stop="interrupted"),
    replied("", step=1, stop="tool_calls", calls=("c0", "c1")),
    planned("c0"),
    begun("c0"),
    planned("c1"),
    asked("c1"),
    ended("c0"),
    ended("c1", outcome="denied"),
    replied("Seen.", step=2),
]


def user(text: str) -> Message:
    return Message("user", (Text(text=text),))


def said(text: str) -> Message:
    return Message("assistant", (Text(text=text),))


def test_many_tools_leave_a_small_model_its_context() -> None:
    """Two hundred tools do not fit a very small model's request, and need not: it is shown a few."""
    many = [spec(f"look{number}") for number in range(200)]
    state = state_of(*TURN[:3])
    small = build_prompt(state, ModelLimits(context=4096, max_output=512, family="embedded"), FACTS, many, model="m")
    assert small.messages == build_prompt(state, LARGE, FACTS, (), model="m").messages
    with pytest.raises(ContextTooLong):
        build_prompt(state, ModelLimits(context=4096, max_output=512), FACTS, many, model="m")


@pytest.mark.parametrize("length", range(3, len(TURN) + 1))
def test_every_prefix_of_a_log_is_a_valid_conversation(length: int) -> None:
    """Wherever a daemon died, the next request pairs each call with one result, right behind it."""
    messages = build_prompt(state_of(*TURN[:length]), LARGE, FACTS, [spec("look")], model="m").messages
    for index, message in enumerate(messages):
        calls = [part.id for part in message.parts if isinstance(part, ToolCall)]
        if calls:
            assert [part.call for part in messages[index + 1].parts if isinstance(part, ToolResult)] == calls
        if message.role == "tool":
            assert any(isinstance(part, ToolCall) for part in messages[index - 1].parts)


def test_the_system_prompt_knows_its_surroundings_and_suits_the_model() -> None:
    """A large model learns date, system, directory and tool manners; the embedded one gets one line and no tools."""
    state = state_of(*TURN[:3])
    large = build_prompt(state, LARGE, FACTS, [spec("look")], model="m")
    for fact in ("Monday 1 January 2029", "Linux", "/work", "ann", "# Tools"):
        assert fact in large.system
    assert "# Tools" not in build_prompt(state, LARGE, FACTS, [], model="m").system
    small = build_prompt(
        state, ModelLimits(context=4096, max_output=512, family="embedded", tools=False), FACTS, [spec("look")], model="m"
    )
    assert len(small.system) < 400 and small.tools == ()


def test_a_cut_reply_is_continued() -> None:
    """Only when the last word is the assistant's own, cut off."""
    assert build_prompt(state_of(*TURN[:4]), LARGE, FACTS, [], model="m").continuing
    assert not build_prompt(state_of(*TURN[:3]), LARGE, FACTS, [], model="m").continuing


def test_a_message_knows_its_size_and_its_calls() -> None:
    """Worked out once; thoughts cost nothing, a blob what is shown of it. Neither is written into a snapshot."""
    call = ToolCall(id="c", name="look", arguments_json="{}")
    asked_ = Message("assistant", (Reasoning(text="hm" * 50), Text(text="abc"), call))
    blob = BlobRef(blob="0" * 64, bytes=10_000, media="text/plain", head="begin", tail="end")
    told = Message("tool", (ToolResult(call="c", parts=(Text(text="one"), blob)),))
    assert (asked_.size - PER_MESSAGE, asked_.calls) == (3 + 4 + 2, ("c",))
    assert (told.size - PER_MESSAGE, told.calls) == (3 + 5 + 3, ("c",))
    assert (user("abcd").size - PER_MESSAGE, user("").calls) == (4, ())
    assert set(msgspec.to_builtins(told)) == {"role", "parts"}


CONVERSATIONS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), min_size=1, max_size=30)


@given(CONVERSATIONS, st.integers(900, 5000))
def test_what_is_kept_fits_begins_with_the_user_and_ends_with_the_newest(sizes: list[tuple[int, int]], budget: int) -> None:
    """The cut falls between turns and never costs the open turn."""
    messages = [message for asked_, said_ in sizes for message in (user("u" * asked_), said("a" * said_))]
    kept = fit(messages, budget)
    assert sum(message.size for message in kept) <= budget
    assert kept[0].role == "user" and list(kept) == messages[-len(kept) :]


def test_the_cut_moves_in_steps() -> None:
    """Turn after turn the prompt keeps its beginning, so that the vendor's cache hits; it moves seldom."""
    messages: list[Message] = []
    beginnings = []
    for number in range(200):
        messages += [user(f"{number:03}" * 30), said("a" * 90)]
        beginnings.append(fit(messages, 10_000)[0])
    assert len({id(beginning) for beginning in beginnings}) <= 20


def test_a_share_of_what_seems_to_fit() -> None:
    """Of the history, if that is less than what the model takes: asking for the same again would be in vain."""
    turns = [(accepted(number), started(number, number), replied("x" * 1000), finished()) for number in range(1, 10)]
    state = state_of(created(), *[body for turn in turns for body in turn][:-2])
    lengths = [len(build_prompt(state, LARGE, FACTS, [], model="m", share=share).messages) for share in (1.0, 0.6, 0.3)]
    assert lengths[0] == 17 and lengths == sorted(set(lengths), reverse=True)


def test_a_turn_that_cannot_fit_says_so() -> None:
    """Nothing is cut out of what the user just said."""
    with pytest.raises(ContextTooLong, match="larger"):
        fit([user("short"), said("x"), user("u" * 5000)], 1000)


def test_a_dangling_call_is_answered() -> None:
    """Even a history that should not exist becomes one that vendors accept."""
    call = Message("assistant", (ToolCall(id="c", name="look", arguments_json="{}"),))
    whole = paired([user("a"), call, user("b")])
    assert [message.role for message in whole] == ["user", "assistant", "tool", "user"]
    assert paired([user("a")]) == [user("a")]


def results(*calls: str) -> Message:
    return Message("tool", tuple(ToolResult(call=call, parts=(Text(text=f"of {call}"),)) for call in calls))


def calling(*calls: str) -> Message:
    return Message("assistant", tuple(ToolCall(id=call, name="look", arguments_json="{}") for call in calls))


@pytest.mark.parametrize(
    ("imported", "sent"),
    [
        ([results("x"), user("a")], [user("a")]),
        ([user("a"), calling("c"), results("c"), results("d"), said("b")], [user("a"), calling("c"), results("c"), said("b")]),
        ([calling("c", "d"), results("d"), results("c")], [calling("c", "d"), results("c", "d")]),
        ([calling("c", "d"), results("d", "c"), said("b")], [calling("c", "d"), results("c", "d"), said("b")]),
    ],
    ids=["nobody asked", "one too many", "one message each", "another order"],
)
def test_an_imported_history_is_put_in_order(imported: list[Message], sent: list[Message]) -> None:
    """Other programs pair calls and results otherwise; what is kept stays as it came, what is sent is what vendors accept."""
    assert list(paired(imported)) == sent


@given(scripts())
def test_any_log_gives_a_valid_conversation(script: Script) -> None:
    """Nothing is repaired but the call at the very end of a log that stopped there."""
    messages = state_of(*script.bodies).messages
    sent = paired(messages)
    assert list(sent[: len(messages)]) == messages and len(sent) <= len(messages) + 1
    for index, message in enumerate(sent):
        if message.calls and message.role == "assistant":
            assert sent[index + 1].calls == message.calls
