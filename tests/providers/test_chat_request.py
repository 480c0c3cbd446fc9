"""The request: what hosts get is what was said, in their words; and the bytes are the same whether or not anything was kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentd.ports import Message, Prompt, ToolSpec
from agentd.providers.chat_request import CONTINUE, ChatRequests, encode_request
from agentwire.types import BlobRef, Reasoning, Text, ToolCall, ToolResult


def request(*messages: Message, system: str = "", continuing: bool = False, **options: Any) -> dict[str, Any]:
    prompt = Prompt(model="m", system=system, messages=messages, continuing=continuing)
    value: dict[str, Any] = json.loads(encode_request(prompt, **options))
    return value


def user(text: str) -> Message:
    return Message("user", (Text(text=text),))


def test_streams_with_usage() -> None:
    """The smallest request: nothing in it that a compatible host might not know."""
    assert request(user("hi")) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_history_with_tools() -> None:
    """Text parts are joined, calls and results paired by our ids, thoughts not sent."""
    asked = Message(
        "assistant",
        (Reasoning(text="hm"), Text(text="I "), Text(text="look"), ToolCall(id="c1", name="look", arguments_json='{"a": 1}')),
    )
    told = Message("tool", (ToolResult(call="c1", parts=(Text(text="no such file"),), is_error=True),))
    assert request(user("hi"), asked, told, system="be brief")["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": "I look",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "Error: no such file"},
    ]


def test_several_results_in_one_message() -> None:
    """Each is a message of its own; of a blob the model gets the beginning and is told so."""
    blob = BlobRef(blob="0" * 64, bytes=99_999, media="text/plain", head="line 1")
    told = Message("tool", (ToolResult(call="a", parts=(blob,)), ToolResult(call="b", parts=(Text(text="2"), Text(text="3")))))
    assert [message["content"] for message in request(told)["messages"]] == [
        "line 1\n[only the beginning of 99999 bytes of text/plain]",
        "23",
    ]


def test_thoughts_for_hosts_that_want_them_back() -> None:
    """DeepSeek refuses an assistant message with calls and without `reasoning_content`, be it empty."""
    call = ToolCall(id="c", name="n", arguments_json="{}")
    first, second, third = request(
        Message("assistant", (Reasoning(text="hm"), call)),
        Message("assistant", (call,)),
        Message("assistant", (Reasoning(text="hm"), Text(text="x"))),
        reasoning=True,
    )["messages"]
    assert (first["reasoning_content"], second["reasoning_content"]) == ("hm", "")
    assert "reasoning_content" not in third


@pytest.mark.parametrize("arguments", ["{", "", "[1]", "\ud800", "[" * 100_000])
def test_invalid_arguments_stay_a_valid_request(arguments: str) -> None:
    """Hosts parse arguments in their chat template: what the model got wrong is shown to it, wrapped."""
    said = request(Message("assistant", (ToolCall(id="c", name="n", arguments_json=arguments),)))["messages"][0]
    assert json.loads(said["tool_calls"][0]["function"]["arguments"]) == {"invalid_json": arguments}


def test_empty_assistant_messages_are_left_out() -> None:
    """Hosts refuse them."""
    assert len(request(user("a"), Message("assistant", (Reasoning(text="hm"),)), user("b"))["messages"]) == 2


def test_tools() -> None:
    tool = ToolSpec(name="look", description="Looks.", parameters={"type": "object"})
    sent = json.loads(encode_request(Prompt(model="m", system="", messages=(user("x"),), tools=(tool,))))
    function = {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}
    assert sent["tools"] == [{"type": "function", "function": function}]


def test_longest_output_by_its_name() -> None:
    """OpenAI's newer models refuse the old name; compatible hosts may not know the new one. Only OpenAI gets a cache key."""
    prompt = Prompt(model="m", system="", messages=(user("x"),), max_output=7, session="s1")
    official, compatible = json.loads(encode_request(prompt, official=True)), json.loads(encode_request(prompt))
    assert (official["max_completion_tokens"], official["prompt_cache_key"]) == (7, "s1")
    assert compatible["max_tokens"] == 7
    assert not {"max_completion_tokens", "prompt_cache_key"} & set(compatible)


def test_continuing() -> None:
    """A cut reply stays the model's own; a short instruction asks for the rest, unless the host needs none."""
    half = Message("assistant", (Text(text="Once upon a"),))
    messages = request(user("tell"), half, continuing=True)["messages"]
    assert [(message["role"], message["content"]) for message in messages[1:]] == [("assistant", "Once upon a"), ("user", CONTINUE)]
    assert request(user("tell"), half, continuing=True, prefill=True)["messages"][-1]["role"] == "assistant"
    nothing = Message("assistant", (Reasoning(text="hm"),))
    assert request(user("tell"), nothing, continuing=True)["messages"] == [{"role": "user", "content": "tell"}]


def test_extra_fields() -> None:
    """A host's own fields are laid over ours."""
    assert request(user("x"), extra={"temperature": 0, "model": "other"})["model"] == "other"


def test_lone_surrogates_are_replaced() -> None:
    assert request(user("a\ud800b"))["messages"][0]["content"] == "a?b"


# --- what is kept ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("official", "reasoning"), [(False, True), (True, False)])
def test_what_was_kept_changes_no_byte(official: bool, reasoning: bool) -> None:
    """The second request of a session is the one that is made from nothing. (How histories are kept: test_kept.py.)"""
    requests = ChatRequests(official=official, reasoning=reasoning)
    call = ToolCall(id="c", name="n", arguments_json="{}")
    history = [user("a"), Message("assistant", (Reasoning(text="hm"), call)), Message("tool", (ToolResult(call="c", parts=()),))]
    for length in (1, 2, 3):
        prompt = Prompt(model="m", system="be brief", messages=history[:length], max_output=9, session="s")
        assert b"".join(requests.encode(prompt)) == encode_request(prompt, official=official, reasoning=reasoning)
