"""The request: what hosts get is what was said, in their words; and the bytes are the same whether or not anything was kept."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from attrs import evolve

from agentd.ports import Message, Prompt, ToolSpec
from agentd.providers.catalog import Catalog, ModelData
from agentd.providers.chat_request import CONTINUE, ChatRequests
from agentd.providers.names import short_id
from agentwire.types import BlobRef, File, Image, Reasoning, Text, ToolCall, ToolResult

PLAIN = ModelData()
DEEPSEEK = Catalog().find("deepseek", "deepseek-v4-pro")


def encoded(prompt: Prompt, data: ModelData = PLAIN, *, provider: str = "openai", official: bool = False) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(b"".join(ChatRequests(provider, official=official).encode(prompt, data)))
    return value


def request(*messages: Message, data: ModelData = PLAIN, provider: str = "openai", **options: Any) -> dict[str, Any]:
    return encoded(Prompt(**{"model": "m", "system": "", "messages": messages, **options}), data, provider=provider)


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
            "tool_calls": [{"id": short_id("c1"), "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}],
        },
        {"role": "tool", "tool_call_id": short_id("c1"), "content": "Error: no such file"},
    ]


def test_several_results_in_one_message() -> None:
    """Each is a message of its own; of a blob the model gets the beginning and is told so."""
    blob = BlobRef(blob="0" * 64, bytes=99_999, media="text/plain", head="line 1")
    told = Message("tool", (ToolResult(call="a", parts=(blob,)), ToolResult(call="b", parts=(Text(text="2"), Text(text="3")))))
    assert [message["content"] for message in request(told)["messages"]] == [
        "line 1\n[only 6 of 99,999 bytes. Read on: output_read, handle 0000000000000000, offset 6]",
        "23",
    ]


def test_thoughts_for_hosts_that_want_them_back() -> None:
    """DeepSeek refuses an assistant message without `reasoning_content`, be it empty; it gets its own and no other's.
    When it is told not to think, it wants none."""
    call = ToolCall(id="c", name="n", arguments_json="{}")
    messages = (
        Message("assistant", (Reasoning(text="hm", vendor={"provider": "deepseek"}), call)),
        Message("assistant", (call,)),
        Message("assistant", (Reasoning(text="other", vendor={"provider": "anthropic", "signature": "x"}), call)),
        Message("assistant", (Reasoning(text="whose?"), call)),
        Message("assistant", (Reasoning(text="so", vendor={"provider": "deepseek"}), Text(text="x"))),
        Message("assistant", (Reasoning(text="whose?"), Text(text="y"))),
        user("hi"),
    )
    sent = request(*messages, data=DEEPSEEK, provider="deepseek")["messages"]
    assert [message.get("reasoning_content") for message in sent] == ["hm", "", "", "", "so", "", None]
    for data in (PLAIN, Catalog().find("qwen", "qwen3.7-max"), evolve(DEEPSEEK, effort="none")):
        assert not any("reasoning_content" in message for message in request(*messages, data=data, provider="deepseek")["messages"])


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
    function = {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}
    assert request(user("x"), tools=(tool,))["tools"] == [{"type": "function", "function": function}]


def test_longest_output_by_its_name() -> None:
    """OpenAI's newer models refuse the old name; compatible hosts may not know the new one. Only OpenAI gets a cache key."""
    prompt = Prompt(model="m", system="", messages=(user("x"),), max_output=7, session="s1")
    official, compatible = encoded(prompt, official=True), encoded(prompt)
    assert (official["max_completion_tokens"], official["prompt_cache_key"]) == (7, "s1")
    assert compatible["max_tokens"] == 7
    assert not {"max_completion_tokens", "prompt_cache_key"} & set(compatible)


def test_continuing() -> None:
    """A cut reply stays the model's own; a short instruction asks for the rest, unless the host needs none."""
    half = Message("assistant", (Text(text="Once upon a"),))
    messages = request(user("tell"), half, continuing=True)["messages"]
    assert [(message["role"], message["content"]) for message in messages[1:]] == [("assistant", "Once upon a"), ("user", CONTINUE)]
    assert request(user("tell"), half, continuing=True, data=ModelData(prefill=True))["messages"][-1]["role"] == "assistant"
    nothing = Message("assistant", (Reasoning(text="hm"),))
    assert request(user("tell"), nothing, continuing=True)["messages"] == [{"role": "user", "content": "tell"}]


def test_extra_fields() -> None:
    """What the configuration wants a host to get is laid over ours."""
    sent = request(user("x"), data=ModelData(temperature=1.0, extra={"temperature": 0, "model": "other"}))
    assert (sent["temperature"], sent["model"]) == (0, "other")


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (ModelData(), {}),
        (ModelData(effort="high"), {"reasoning_effort": "high"}),
        (ModelData(effort="high", known=True), {}),
        (ModelData(thinking=True, efforts=("low", "high"), effort="max"), {"reasoning_effort": "high"}),
        (ModelData(temperature=0.5), {"temperature": 0.5}),
        (ModelData(temperature=0.5, quirks=frozenset(("no-temperature",))), {}),
        (DEEPSEEK, {}),
        (evolve(DEEPSEEK, effort="none"), {"thinking": {"type": "disabled"}}),
        (evolve(DEEPSEEK, effort="minimal"), {"thinking": {"type": "enabled"}, "reasoning_effort": "low"}),
        (evolve(DEEPSEEK, effort="medium"), {"thinking": {"type": "enabled"}, "reasoning_effort": "medium"}),  # high to it
        (evolve(DEEPSEEK, effort="xhigh"), {"thinking": {"type": "enabled"}, "reasoning_effort": "high"}),
        (evolve(DEEPSEEK, effort="max"), {"thinking": {"type": "enabled"}, "reasoning_effort": "max"}),
        (Catalog().find("qwen", "qwen-plus"), {"enable_thinking": False}),
        (evolve(Catalog().find("qwen", "qwen-plus"), effort="high"), {"enable_thinking": True}),
        (Catalog().find("qwen", "qwen3.7-max"), {"enable_thinking": True}),
        (evolve(Catalog().find("qwen", "qwen3.7-max"), effort="none"), {"enable_thinking": False}),
        (Catalog().find("qwen", "qwq-plus"), {}),
    ],
)
def test_how_a_model_is_to_think(data: ModelData, fields: dict[str, Any]) -> None:
    """Each host in its own words; one that has no choice is told nothing."""
    sent = request(user("x"), data=data)
    assert {name: value for name, value in sent.items() if name not in ("model", "messages", "stream", "stream_options")} == fields


CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(("schema", "strictly"), [(CLOSED, True), ({"type": "object"}, False)])
def test_schema(schema: dict[str, Any], strictly: bool) -> None:
    """The host holds the model to it, strictly where it can; where it cannot at all it is not asked to."""
    sent = request(user("x"), schema=schema, data=ModelData(schema="native"))
    assert sent["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": strictly},
    }
    assert "response_format" not in request(user("x"), schema=schema)


PNG = Image(blob="a" * 64, bytes=3, media="image/png")
PDF = File(blob="b" * 64, bytes=3, media="application/pdf", name="x.pdf")
NOTE = File(blob="c" * 64, bytes=5, media="text/plain", name="n.txt")
BLOBS = {PNG.blob: b"png", PDF.blob: b"pdf", NOTE.blob: b"hello"}


def test_images_and_files() -> None:
    """As a model that takes them gets them: contents in the message, a text as text."""
    shown = Message("user", (Text(text="see"), PNG, PDF, NOTE))
    content = request(shown, blobs=BLOBS, data=ModelData(images=True, files=True))["messages"][0]["content"]
    assert content == [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,cG5n"}},
        {"type": "file", "file": {"filename": "x.pdf", "file_data": "data:application/pdf;base64,cGRm"}},
        {"type": "text", "text": "[file n.txt]\nhello\n[end of n.txt]"},
    ]


def test_images_and_files_that_cannot_be_sent() -> None:
    """The model is told what it does not see: because it takes none, or because the content is not at hand. Texts it takes."""
    shown = Message("user", (PNG, PDF, NOTE))
    for data, blobs in ((PLAIN, BLOBS), (ModelData(images=True, files=True), {NOTE.blob: b"hello"})):
        content = request(shown, blobs=blobs, data=data)["messages"][0]["content"]
        assert [part["type"] for part in content] == ["text"] * 3
        assert "an image" in content[0]["text"]
        assert "x.pdf" in content[1]["text"]
        assert "hello" in content[2]["text"]


def test_lone_surrogates_are_replaced() -> None:
    assert request(user("a\ud800b"))["messages"][0]["content"] == "a?b"


# --- what is kept ----------------------------------------------------------------------------------------------------------------


def test_what_was_kept_changes_no_byte() -> None:
    """A session's next request is the one that is made from nothing, whichever model it goes to. (How it is kept: test_kept.py.)"""
    requests = ChatRequests("deepseek")
    call = ToolCall(id="c", name="n", arguments_json="{}")
    thought = Reasoning(text="hm", vendor={"provider": "deepseek"})
    history = [Message("user", (PNG,)), Message("assistant", (thought, call)), Message("tool", (ToolResult(call="c", parts=()),))]
    for length in (1, 2, 3):
        for data in (PLAIN, DEEPSEEK, ModelData(images=True)):
            prompt = Prompt(model="m", system="be brief", messages=history[:length], max_output=9, session="s", blobs=BLOBS)
            assert json.loads(b"".join(requests.encode(prompt, data))) == encoded(prompt, data, provider="deepseek")


def test_ids_and_names_are_what_every_host_takes() -> None:
    """Nine letters and digits for an id, whatever ours is; a name that the model made up is not refused for ever after."""
    asked = Message("assistant", (ToolCall(id="f" * 32 + "-102-10-0", name="weird.tool name/ü" * 9, arguments_json="{}"),))
    told = Message("tool", (ToolResult(call="f" * 32 + "-102-10-0", parts=(Text(text="no"),)),))
    call, result = request(user("hi"), asked, told)["messages"][-2:]
    assert call["tool_calls"][0]["id"] == result["tool_call_id"]
    assert re.fullmatch(r"[a-zA-Z0-9]{9}", result["tool_call_id"])
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", call["tool_calls"][0]["function"]["name"])
