"""The request: what was said in Ollama's words, in a context that it fits into, whether or not anything was kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from agentd.ports import Message, Prompt, ToolSpec
from agentd.providers.catalog import ModelData
from agentd.providers.chat_request import CONTINUE
from agentd.providers.ollama_request import OllamaRequests
from agentwire.types import BlobRef, File, Image, InputPart, Reasoning, ReplyPart, Text, ToolCall, ToolResult
from tests.wire.strategies import texts, values

DATA = ModelData()
PICTURE = Image(blob="a" * 64, bytes=3, media="image/png")
LETTER = File(blob="b" * 64, bytes=4, media="text/plain", name="letter.txt")
SCAN = File(blob="c" * 64, bytes=4, media="application/pdf", name="scan.pdf")
BLOBS = {PICTURE.blob: b"png", LETTER.blob: b"Dear", SCAN.blob: b"%PDF"}
LOOK = ToolSpec(name="look", description="Looks.", parameters={"type": "object"})
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}


def request(*messages: Message, data: ModelData = DATA, requests: OllamaRequests | None = None, **fields: Any) -> dict[str, Any]:
    prompt = Prompt(**{"model": "m", "system": "", "messages": messages, **fields})
    value: dict[str, Any] = json.loads(b"".join((requests or OllamaRequests()).encode(prompt, data)))
    return value


def user(*parts: InputPart | str) -> Message:
    return Message("user", tuple([Text(text=part) if isinstance(part, str) else part for part in parts]))


def assistant(*parts: ReplyPart) -> Message:
    return Message("assistant", parts)


def result(call: str, text: str, **fields: Any) -> Message:
    return Message("tool", (ToolResult(call=call, parts=(Text(text=text),), **fields),))


def test_nothing_is_cut() -> None:
    """The smallest request: it streams, and what does not fit is an error."""
    assert request(user("hi")) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "truncate": False,
        "shift": False,
        "options": {"num_ctx": 8192},
    }


def test_history_with_tools() -> None:
    """Arguments are objects, results have the tool's name; thoughts are not sent."""
    asked = assistant(
        Reasoning(text="hm"), Text(text="I "), Text(text="look"), ToolCall(id="c1", name="look", arguments_json='{"a": 1}')
    )
    assert request(user("hi"), asked, result("c1", "no such file", is_error=True), system="be brief")["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": "I look",
            "tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": {"a": 1}}}],
        },
        {"role": "tool", "tool_name": "look", "tool_call_id": "c1", "content": "Error: no such file"},
    ]


def test_results_of_several_calls() -> None:
    """Each is a message of its own, with the name of its tool; of a blob the model gets the beginning and is told so."""
    blob = BlobRef(blob="0" * 64, bytes=99_999, media="text/plain", head="line 1")
    calls = [ToolCall(id=name, name=f"tool-{name}", arguments_json="{}") for name in "ab"]
    told = Message("tool", (ToolResult(call="b", parts=(blob,)), ToolResult(call="a", parts=(Text(text="2"), Text(text="3")))))
    assert [(said["tool_name"], said["content"]) for said in request(assistant(*calls), told)["messages"][1:]] == [
        ("tool-b", "line 1\n[only 6 of 99,999 bytes. Read on: output_read, handle 0000000000000000, offset 6]"),
        ("tool-a", "23"),
    ]


def test_thoughts_go_back_with_the_calls_that_they_led_to() -> None:
    """To a model that thinks; and none that another vendor has sealed."""
    call = ToolCall(id="c", name="n", arguments_json="{}")
    sealed = Reasoning(text="secret", vendor={"provider": "anthropic"})
    messages = [assistant(sealed, Reasoning(text="hm"), call), assistant(call), assistant(Reasoning(text="hm"), Text(text="x"))]
    thoughts = [said.get("thinking") for said in request(*messages, data=ModelData(thinking=True))["messages"]]
    assert thoughts == ["hm", None, None]
    assert "thinking" not in request(messages[0])["messages"][0]


@pytest.mark.parametrize("arguments", ["{", "", "[1]", "\ud800", "[" * 100_000])
def test_invalid_arguments_stay_a_valid_request(arguments: str) -> None:
    """What the model got wrong is shown to it, wrapped."""
    said = request(assistant(ToolCall(id="c", name="n", arguments_json=arguments)))["messages"][0]
    assert said["tool_calls"][0]["function"]["arguments"] == {"invalid_json": arguments.replace("\ud800", "?")}


def test_lone_surrogates_are_replaced() -> None:
    """Beside arguments, too, which are sent as they came."""
    call = ToolCall(id="c", name="n", arguments_json='{"a": 1.50}')
    said = request(user("a\ud800b"), assistant(Text(text="\udfff"), call))["messages"]
    assert (said[0]["content"], said[1]["content"], said[1]["tool_calls"][0]["function"]["arguments"]) == ("a?b", "?", {"a": 1.5})


def test_images_and_files() -> None:
    """Images beside the text, text files in it; of what the model cannot take it is told."""
    seen = request(user("look", PICTURE, LETTER, SCAN), data=ModelData(images=True), blobs=BLOBS)["messages"][0]
    assert seen["images"] == ["cG5n"]
    assert seen["content"].startswith("look\n[file letter.txt]\nDear\n[end of letter.txt]\n")
    assert "scan.pdf" in seen["content"]
    blind = request(user("look", PICTURE), blobs=BLOBS)["messages"][0]
    assert "images" not in blind
    assert "an image" in blind["content"]
    gone = request(user("look", PICTURE), data=ModelData(images=True))["messages"][0]
    assert "images" not in gone
    assert "an image" in gone["content"]


def test_empty_replies_are_left_out() -> None:
    assert len(request(user("a"), assistant(Reasoning(text="hm")), user("b"))["messages"]) == 2


def test_tools() -> None:
    assert request(user("x"), tools=(LOOK,))["tools"] == [
        {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}
    ]


def test_a_schema() -> None:
    """The model is held to it and told of it; beside tools it is only told, or it could never call one."""
    sent = request(user("x"), system="be brief", schema=SCHEMA)
    assert sent["format"] == SCHEMA
    assert sent["messages"][0]["content"].startswith("be brief\n\n")
    assert sent["messages"][0]["content"].endswith(json.dumps(SCHEMA))
    beside = request(user("x"), schema=SCHEMA, tools=(LOOK,))
    assert "format" not in beside
    assert json.dumps(SCHEMA) in beside["messages"][0]["content"]


@pytest.mark.parametrize(
    ("data", "think"),
    [
        (ModelData(), None),
        (ModelData(effort="high"), None),
        (ModelData(thinking=True), True),
        (ModelData(thinking=True, effort="high"), True),
        (ModelData(thinking=True, effort="none"), False),
        (ModelData(thinking=True, effort="none", quirks=["always-thinking"]), True),
        (ModelData(thinking=True, efforts=("low", "medium", "high")), True),
        (ModelData(thinking=True, efforts=("low", "medium", "high"), effort="max"), "high"),
        (ModelData(thinking=True, efforts=("low", "medium", "high"), effort="none"), "low"),
    ],
)
def test_thinking(data: ModelData, think: bool | str | None) -> None:
    """A model that does not think refuses to be told; one with levels gets one of them."""
    assert request(user("x"), data=data).get("think") == think


def test_options() -> None:
    data = ModelData(temperature=0.5, extra={"keep_alive": "1h", "options": {"num_gpu": 1, "temperature": 0}})
    sent = request(user("x"), data=data, max_output=7)
    assert sent["options"] == {"num_ctx": 8192, "num_predict": 7, "temperature": 0, "num_gpu": 1}
    assert sent["keep_alive"] == "1h"


def test_continuing() -> None:
    """A cut reply stays the model's own; a short instruction asks for the rest, unless there is nothing of it."""
    half = assistant(Text(text="Once upon a"))
    messages = request(user("tell"), half, continuing=True)["messages"]
    assert [(said["role"], said["content"]) for said in messages[1:]] == [("assistant", "Once upon a"), ("user", CONTINUE)]
    nothing = assistant(Reasoning(text="hm"))
    assert request(user("tell"), nothing, continuing=True)["messages"] == [{"role": "user", "content": "tell"}]


# --- the context -----------------------------------------------------------------------------------------------------------------


def context(*messages: Message, **fields: Any) -> int:
    size: int = request(*messages, **fields)["options"]["num_ctx"]
    return size


@pytest.mark.parametrize(
    ("characters", "output", "expected"),
    [
        (100, 0, 8192),
        (12_000, 0, 8192),
        (15_000, 0, 16_384),
        (100, 8000, 8192),
        (100, 9000, 16_384),
        (170_000, 0, 65_536),
        (999_999, 0, 100_000),
    ],
)
def test_the_context_has_room_for_the_prompt_and_its_reply(characters: int, output: int, expected: int) -> None:
    """In doublings, so that it seldom changes, and never beyond the model's own."""
    assert context(user("x" * characters), max_output=output, data=ModelData(context=100_000)) == expected


def test_scripts_with_long_characters_need_more() -> None:
    """Three bytes of UTF-8, a token: it is bytes that count."""
    assert context(user("界" * 12_000)) == 16_384


def test_tools_need_room() -> None:
    assert context(user("x"), tools=(evolve(LOOK, description="x" * 20_000),)) == 16_384


def test_images_need_what_they_cost_not_what_they_weigh() -> None:
    big = {PICTURE.blob: b"x" * 3_000_000}
    assert context(user(PICTURE), blobs=big, data=ModelData(images=True)) == 8192
    assert context(user(*[PICTURE] * 4), blobs=big, data=ModelData(images=True)) == 16_384


def test_the_context_never_shrinks() -> None:
    """Ollama would load the model anew whenever another session asks. Each model has its own."""
    requests = OllamaRequests()
    assert context(user("x"), requests=requests) == 8192
    assert context(user("x" * 50_000), requests=requests) == 32_768
    assert context(user("x"), requests=requests) == 32_768
    assert context(user("x"), model="other", requests=requests) == 8192


# --- what holds for all ----------------------------------------------------------------------------------------------------------


def test_what_was_kept_changes_no_byte() -> None:
    """The later requests of a session are those that are made from nothing, also the names in results whose calls were kept."""
    requests = OllamaRequests()
    call = ToolCall(id="c", name="n", arguments_json="{}")
    history = [user("a"), assistant(call), result("c", "one"), user("b")]
    changed = [*history[:2], result("c", "shorter"), user("b")]
    for messages in (history[:1], history[:3], history, changed):
        prompt = Prompt(model="m", system="be brief", messages=messages, session="s")
        assert b"".join(requests.encode(prompt, DATA)) == b"".join(OllamaRequests().encode(prompt, DATA))


messages = st.lists(
    st.builds(user, values(InputPart))
    | st.lists(values(ReplyPart), max_size=3).map(lambda parts: assistant(*parts))
    | st.lists(values(ToolResult), max_size=2).map(lambda parts: Message("tool", tuple(parts))),
    max_size=6,
)


@given(messages, st.booleans(), st.booleans(), st.booleans(), texts)
def test_every_history_is_a_valid_request(
    history: Sequence[Message], images: bool, thinking: bool, continuing: bool, system: str
) -> None:
    """Whatever was said: roles that Ollama knows, contents that are texts, arguments that are objects, and no empty reply."""
    data = ModelData(images=images, thinking=thinking)
    sent = request(*history, data=data, continuing=continuing, system=system, blobs=BLOBS)
    for said in sent["messages"]:
        assert said["role"] in ("system", "user", "assistant", "tool")
        assert isinstance(said["content"], str)
        assert all(isinstance(call["function"]["arguments"], dict) for call in said.get("tool_calls", ()))
        assert said["role"] != "assistant" or said["content"] or said["tool_calls"]
        assert said["role"] != "tool" or isinstance(said["tool_name"], str)
