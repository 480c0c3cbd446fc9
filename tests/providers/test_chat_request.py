"""The request: what hosts get is what was said, in their words; and the bytes are the same whether or not anything was kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from agentd.ports import Message, Prompt, ToolSpec
from agentd.providers import chat_request
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

texts = st.text(max_size=8) | st.integers(0, 40_000).map("x".__mul__) | st.just("a\ud800b")
calls = st.builds(ToolCall, id=texts, name=texts, arguments_json=texts | st.just("{}"))
results = st.builds(ToolResult, call=texts, parts=st.lists(st.builds(Text, text=texts), max_size=2).map(tuple))
messages = st.one_of(
    st.builds(Message, st.just("user"), st.lists(st.builds(Text, text=texts), max_size=2).map(tuple)),
    st.builds(
        Message,
        st.just("assistant"),
        st.lists(st.builds(Text, text=texts) | st.builds(Reasoning, text=texts) | calls, max_size=2).map(tuple),
    ),
    st.builds(Message, st.just("tool"), st.lists(results, max_size=2).map(tuple)),
)
changes = st.one_of(
    st.tuples(st.just("add"), st.lists(messages, min_size=1, max_size=4)),
    st.tuples(st.just("replace"), messages),
    st.tuples(st.just("cut the front"), st.integers(1, 5)),
    st.tuples(st.just("cut the end"), st.integers(1, 5)),
    st.tuples(st.just("load again"), st.none()),
    st.tuples(st.just("other session"), st.none()),
)


def changed(history: list[Message], change: str, value: Any) -> list[Message]:
    match change:
        case "add":
            return [*history, *value]
        case "replace":
            return [*history[:-1], value]
        case "cut the front":
            return history[value:]
        case "cut the end":
            return history[:-value]
        case "load again":
            return [Message(message.role, message.parts) for message in history]
        case _:
            return list(history)


@given(st.lists(changes, min_size=1, max_size=12), st.booleans(), st.booleans(), st.booleans())
def test_what_was_kept_changes_no_byte(steps: list[tuple[str, Any]], official: bool, reasoning: bool, continuing: bool) -> None:
    """Whatever becomes of a history between two requests, the body is the one that is made from nothing."""
    requests = ChatRequests(official=official, reasoning=reasoning)
    prompt = Prompt(model="m", system="be brief", messages=(), max_output=9, session="a", continuing=continuing)
    histories: dict[str, list[Message]] = {"a": [], "b": []}
    for change, value in steps:
        session = prompt.session
        if change == "other session":
            session = "b" if session == "a" else "a"
        histories[session] = changed(histories[session], change, value)
        prompt = evolve(prompt, session=session, messages=histories[session], system="" if change == "replace" else "be brief")
        assert b"".join(requests.encode(prompt)) == encode_request(prompt, official=official, reasoning=reasoning)


def long(count: int, text: str = "x" * 1000) -> list[Message]:
    return [Message("user", (Text(text=f"{number} {text}"),)) for number in range(count)]


def prompt_of(history: list[Message], session: str = "s") -> Prompt:
    return Prompt(model="m", system="", messages=history, session=session)


def test_a_block_is_encoded_once() -> None:
    """A longer history begins with the same blocks, the very same bytes objects; a list changed in place is looked at again."""
    requests = ChatRequests()
    history = long(200)
    first = requests.encode(prompt_of(history))
    history += long(3)
    second = requests.encode(prompt_of(history))
    kept = [block for block in second if len(block) >= 64 * 1024]
    assert len(kept) >= 3
    assert all(any(block is other for other in first) for block in kept[1:])
    history[0] = Message("user", (Text(text="other"),))
    assert b"".join(requests.encode(prompt_of(history))) == encode_request(prompt_of(history))


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The session used longest ago makes room; one larger than all the room is not kept, nor one without a name."""
    monkeypatch.setattr(chat_request, "_KEPT", 300_000)
    requests = ChatRequests()
    histories = {name: long(140) for name in "abcd"}
    blocks = {name: requests.encode(prompt_of(history, name)) for name, history in histories.items()}
    requests.encode(prompt_of(long(400), "huge"))
    requests.encode(prompt_of(long(1), ""))

    def same(name: str) -> bool:
        return requests.encode(prompt_of(histories[name], name))[2] is blocks[name][2]

    assert [same(name) for name in "dcba"] == [True, True, False, False]


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 66, 130])
def test_sizes_around_a_block(count: int) -> None:
    """Also with nothing said yet."""
    requests = ChatRequests()
    for length in (count, count + 1, count):
        prompt = prompt_of(long(length))
        assert b"".join(requests.encode(prompt)) == encode_request(prompt)
