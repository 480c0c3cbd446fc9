"""Whole turns in Anthropic's dialect: whatever happens in them, each request is one that the vendor takes, and its cache holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import trio

from agentd.providers.chat_request import CONTINUE
from tests.conformance.valid_messages import valid
from tests.fakes.model_script import Answer, Call, Cut, Redacted, Reply, Say, Think, text
from tests.fakes.tools import FakeTools, spec
from tests.fakes.town import town

CALLS = Reply([Think("hm ", signature="s1"), Redacted("E="), Say("I look. "), Call("look", {"at": "x"}), Call("look", {"at": "y"})])


async def asked(script: Sequence[Answer], turns: int) -> list[Any]:
    """The messages of each request of a session, without the marks for the vendor's cache."""
    look = FakeTools([spec("look", at={"type": "string"})])
    async with town([], script, tools=[look], dialect="messages") as where:
        live = await where.house.create(model="b/x")
        for _ in range(turns):
            await where.house.prompt(live, "go")
            with trio.fail_after(30):
                await where.house.idle(live)
        assert live.state.messages[-1].role == "assistant"
        for request in where.servers[1].seen:
            valid(request.body)
        return [_unmarked(request.body["messages"]) for request in where.servers[1].seen]


def _unmarked(messages: list[Any]) -> list[Any]:
    for message in messages:
        for block in message["content"]:
            block.pop("cache_control", None)
    return messages


async def test_thoughts_go_back_with_their_calls() -> None:
    """Hidden ones too, in their places; and every request begins with the whole of the one before, which the vendor has cached."""
    first, second, third = await asked([CALLS, Reply([Think("so ", signature="s2"), Say("done")]), text("again")], turns=2)
    assert [block["type"] for block in second[1]["content"]] == ["thinking", "redacted_thinking", "text", "tool_use", "tool_use"]
    assert second[1]["content"][0] == {"type": "thinking", "thinking": "hm ", "signature": "s1"}
    assert [block["type"] for block in second[2]["content"]] == ["tool_result", "tool_result"]
    assert [block["type"] for block in third[3]["content"]] == ["thinking", "text"]
    assert (second[: len(first)], third[: len(second)]) == (first, second)


async def test_going_on_in_the_middle() -> None:
    """What was thought before the break led to a reply that is not there, and does not go back; what was thought after it does."""
    cut = Reply([Think("hm ", signature="s1"), Say("Once upon "), Cut()])
    rest = Reply([Think("ah ", signature="s2"), Say("a time")])
    _, going_on, after = await asked([cut, rest, text("again")], turns=2)
    assert [message["content"][-1].get("text") for message in going_on] == ["go", "Once upon ", CONTINUE]
    assert [block.get("text", block["type"]) for block in after[1]["content"]] == ["Once upon ", "thinking", "a time"]


async def test_a_break_before_any_word() -> None:
    """Thoughts alone are not gone on from: the vendor would refuse them at the end of a message."""
    cut = Reply([Think("hm ", signature="s1"), Cut()])
    first, again = await asked([cut, text("hi")], turns=1)
    assert first == again
