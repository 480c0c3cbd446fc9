"""The request: what the vendor gets was said, in its words and within its rules; and a longer history costs no more."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from agentd.ports import Message, Prompt, ToolSpec
from agentd.providers.catalog import ModelData
from agentd.providers.chat_request import CONTINUE
from agentd.providers.messages_blocks import EMPTY
from agentd.providers.messages_request import FIRST, MessagesRequests
from agentwire.types import BlobRef, Citation, File, Image, Part, Reasoning, Text, ToolCall, ToolResult
from tests.conformance.valid_messages import valid

PNG, PDF, NOTE, SVG = "a" * 64, "b" * 64, "c" * 64, "d" * 64
BLOBS = {PNG: b"\x89PNG", PDF: b"%PDF-1.7", NOTE: "Grüße".encode(), SVG: b"<svg/>"}
IMAGE = Image(blob=PNG, bytes=4, media="image/png")
DOCUMENT = File(blob=PDF, bytes=8, media="application/pdf", name="rules.pdf")
MARK = {"cache_control": {"type": "ephemeral"}}
ADAPTIVE = ModelData(thinking=True, quirks=("adaptive-thinking",))


def prompt_of(*messages: Message, **options: Any) -> Prompt:
    return Prompt(**{"model": "m", "system": "", "messages": messages, **options})


def request(*messages: Message, data: ModelData | None = None, **options: Any) -> dict[str, Any]:
    blocks = MessagesRequests("anthropic").encode(prompt_of(*messages, **options), data or ModelData())
    value: dict[str, Any] = json.loads(b"".join(blocks))
    return value


def said(*messages: Message, data: ModelData | None = None, **options: Any) -> list[tuple[str, list[Any]]]:
    """The messages without marks."""
    sent = request(*messages, data=data, **options)["messages"]
    return [(m["role"], [{k: v for k, v in block.items() if k != "cache_control"} for block in m["content"]]) for m in sent]


def user(text: str) -> Message:
    return Message("user", (Text(text=text),))


def reply(*parts: Part) -> Message:
    return Message("assistant", parts)


def signed(text: str, signature: str = "s", **vendor: Any) -> Reasoning:
    return Reasoning(text=text, vendor={"provider": "anthropic", "model": "m", "signature": signature, **vendor})


def call(number: int = 1, arguments: str = "{}", name: str = "look") -> ToolCall:
    return ToolCall(id=f"c{number}", name=name, arguments_json=arguments)


def told(number: int = 1, text: str = "seen", *, is_error: bool = False) -> Message:
    return Message("tool", (ToolResult(call=f"c{number}", parts=(Text(text=text),), is_error=is_error),))


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


# --- messages ------------------------------------------------------------------------------------------------------------------


def test_smallest_request() -> None:
    assert request(user("hi"), max_output=7) == {
        "model": "m",
        "messages": [{"role": "user", "content": [text("hi") | MARK]}],
        "max_tokens": 7,
        "stream": True,
    }


def test_longest_output_is_always_said() -> None:
    """The vendor demands it; the model's own where the prompt has none."""
    assert request(user("hi"), data=ModelData(max_output=99))["max_tokens"] == 99


def test_history_with_tools() -> None:
    """Results are the user's, whatever was said afterwards comes behind them; both are left to the vendor to combine."""
    parts = (Text(text="I "), Citation(url="u"), Text(text="look"), call(1, '{"a": 1}'))
    assert said(user("hi"), reply(*parts), told(is_error=True), user("wait")) == [
        ("user", [text("hi")]),
        ("assistant", [text("I look"), {"type": "tool_use", "id": "c1", "name": "look", "input": {"a": 1}}]),
        ("user", [{"type": "tool_result", "tool_use_id": "c1", "content": "seen", "is_error": True}]),
        ("user", [text("wait")]),
    ]


def test_results() -> None:
    """Of a blob the model gets the beginning and is told so; nothing at all is no content, but an error must say something."""
    blob = BlobRef(blob=NOTE, bytes=99_999, media="text/plain", head="line 1")
    results = [
        ToolResult(call="a", parts=(Text(text="x"), blob)),
        ToolResult(call="b", parts=(Text(text=" \n"),)),
        ToolResult(call="c", parts=(), is_error=True),
    ]
    assert [block.get("content") for block in said(Message("tool", tuple(results)))[0][1]] == [
        "xline 1\n[only 6 of 99,999 bytes. Read on: output_read, handle cccccccccccccccc, offset 6]",
        None,
        EMPTY,
    ]


@pytest.mark.parametrize("arguments", ["{", "", "[1]", "\ud800", "[" * 100_000, "1e999999"])
def test_invalid_arguments_stay_a_valid_request(arguments: str) -> None:
    block = said(user("x"), reply(call(arguments=arguments)), told())[1][1][0]
    assert block["input"] == {"invalid_json": arguments.replace("\ud800", "?")}


def test_ids_and_names_in_the_vendors_letters() -> None:
    """Models make up names, and imported histories have any ids; call and result still belong together."""
    odd = ToolCall(id="call:1/ä", name="mcp.look up" * 20, arguments_json="{}")
    blank = ToolCall(id="", name="", arguments_json="{}")
    results = Message("tool", tuple(ToolResult(call=each.id, parts=()) for each in (odd, blank)))
    (_, asked), (_, answered) = said(user("x"), reply(odd, blank), results)[1:]
    assert [block["id"] for block in asked] == [block["tool_use_id"] for block in answered] == ["call_1__", "_"]
    assert asked[0]["name"] == ("mcp_look_up" * 20)[:128]


@pytest.mark.parametrize("blank", ["", " ", "\n\t"])
def test_no_blank_text(blank: str) -> None:
    """The vendor refuses it. A user's message keeps its place, a reply without anything in it does not."""
    sent = said(user(blank), reply(Text(text=blank), call()), told(), reply(Text(text=blank)), user("x"))
    assert [(role, [block["type"] for block in blocks]) for role, blocks in sent] == [
        ("user", ["text"]),
        ("assistant", ["tool_use"]),
        ("user", ["tool_result"]),
        ("user", ["text"]),
    ]
    assert sent[0][1] == [text(EMPTY)]


def test_a_history_that_begins_with_the_assistant() -> None:
    """The vendor wants the user to begin."""
    assert said(reply(Text(text="hello")), user("hi"))[0] == ("user", [text(FIRST)])


def test_lone_surrogates_are_replaced() -> None:
    assert said(user("a\ud800b")) == [("user", [text("a?b")])]


# --- images and files ------------------------------------------------------------------------------------------------------------


def test_images_and_files() -> None:
    """In their order among the texts; a text file as what it says."""
    note = File(blob=NOTE, bytes=7, media="text/plain", name="note.txt")
    message = Message("user", (Text(text="see "), IMAGE, DOCUMENT, note, Text(text="and so")))
    (_, blocks), *_ = said(message, data=ModelData(images=True, files=True), blobs=BLOBS)
    first, image, document, read, last = blocks
    assert (first, last) == (text("see "), text("and so"))
    assert (image["source"]["media_type"], b64decode(image["source"]["data"])) == ("image/png", BLOBS[PNG])
    assert (document["type"], document["title"], b64decode(document["source"]["data"])) == ("document", "rules.pdf", BLOBS[PDF])
    assert read == text("[file note.txt]\nGrüße\n[end of note.txt]")


@pytest.mark.parametrize(
    ("data", "blobs"),
    [(ModelData(), BLOBS), (ModelData(images=True, files=True), {}), (ModelData(images=True, files=True), BLOBS)],
)
def test_what_the_model_cannot_take_is_told(data: ModelData, blobs: dict[str, bytes]) -> None:
    """It takes no such, or the content is not at hand, or the vendor does not know the kind."""
    odd = (Image(blob=SVG, bytes=6, media="image/svg+xml"), File(blob=SVG, bytes=6, media="application/zip", name="x.zip"))
    parts = odd if blobs and data.images else (IMAGE, DOCUMENT)
    (_, blocks), *_ = said(Message("user", parts), data=data, blobs=blobs)
    assert [block["type"] for block in blocks] == ["text", "text"]
    assert all("this model cannot take it" in block["text"] for block in blocks)


def test_contents_that_went_are_told_of() -> None:
    """Only the newest are at hand; an older message is encoded again when its image is not any more."""
    requests, data = MessagesRequests("anthropic"), ModelData(images=True)
    history = (Message("user", (IMAGE,)), reply(Text(text="nice")), user("and?"))
    shown = b"".join(requests.encode(prompt_of(*history, session="s", blobs=BLOBS), data))
    gone = b"".join(requests.encode(prompt_of(*history, session="s"), data))
    assert (b"base64" in shown, b"base64" in gone) == (True, False)


# --- thoughts ------------------------------------------------------------------------------------------------------------------


def test_thoughts_go_back_to_whose_they_are() -> None:
    """Unchanged, in their places, the hidden ones too; those without a signature, of another vendor or model are dropped."""
    mine = [
        signed("hm", "abc"),
        signed("", "def"),
        Reasoning(text="", vendor={"provider": "anthropic", "model": "m", "data": "E="}),
    ]
    others = [Reasoning(text="x"), signed("y", provider="work"), signed("z", model="n"), signed("w", signature="")]
    sent = said(user("x"), reply(*others, *mine, Text(text="so"), call()), told())[1][1]
    assert sent[:3] == [
        {"type": "thinking", "thinking": "hm", "signature": "abc"},
        {"type": "thinking", "thinking": "", "signature": "def"},
        {"type": "redacted_thinking", "data": "E="},
    ]
    assert [block["type"] for block in sent[3:]] == ["text", "tool_use"]


def test_no_reply_ends_with_a_thought() -> None:
    """The vendor refuses that: it is what is left of a reply that broke off."""
    assert [role for role, _ in said(user("a"), reply(signed("hm")), user("b"))] == ["user", "user"]
    assert said(user("a"), reply(Text(text="x"), signed("hm")), user("b"))[1][1] == [text("x")]


def test_another_model_gets_its_own_encoding() -> None:
    """Of the same session: what is kept for one is not what the other may see."""
    requests = MessagesRequests("anthropic")
    history = (user("a"), reply(signed("hm"), Text(text="x")), user("b"), reply(Text(text="y")), user("c"))
    bodies = [b"".join(requests.encode(prompt_of(*history, session="s", model=model), ModelData())) for model in "mnm"]
    assert [b"thinking" in body for body in bodies] == [True, False, True]
    assert bodies[0] == bodies[2]


@pytest.mark.parametrize(
    ("data", "thinking", "effort"),
    [
        (ModelData(), None, None),
        (ModelData(effort="high"), None, None),
        (ModelData(thinking=True, max_output=64_000), {"type": "enabled", "budget_tokens": 10_000}, None),
        (ModelData(thinking=True, max_output=64_000, effort="low"), {"type": "enabled", "budget_tokens": 4000}, None),
        (ModelData(thinking=True, max_output=64_000, effort="max"), {"type": "enabled", "budget_tokens": 32_000}, None),
        (ModelData(thinking=True, max_output=4096), {"type": "enabled", "budget_tokens": 2048}, None),
        (ModelData(thinking=True, max_output=2047), None, None),
        (ModelData(thinking=True, effort="none"), None, None),
        (ADAPTIVE, {"type": "adaptive", "display": "summarized"}, None),
        (evolve(ADAPTIVE, effort="minimal"), {"type": "adaptive", "display": "summarized"}, "low"),
        (evolve(ADAPTIVE, effort="max"), {"type": "adaptive", "display": "summarized"}, "max"),
        (evolve(ADAPTIVE, effort="xhigh", efforts=("low", "high")), {"type": "adaptive", "display": "summarized"}, "high"),
        (evolve(ADAPTIVE, effort="none", efforts=("low", "high")), {"type": "disabled"}, None),
        (
            evolve(ADAPTIVE, effort="none", efforts=("low", "high"), quirks=("adaptive-thinking", "always-thinking")),
            {"type": "adaptive", "display": "summarized"},
            "low",
        ),
        (evolve(ADAPTIVE, thinking=False, effort="high"), None, "high"),
    ],
)
def test_thinking(data: ModelData, thinking: object, effort: str | None) -> None:
    """With a budget that leaves half of the output, or an effort, as the model wants it said."""
    sent = request(user("x"), data=data)
    assert (sent.get("thinking"), sent.get("output_config", {}).get("effort")) == (thinking, effort)


@pytest.mark.parametrize(("first", "expected"), [(signed("hm"), True), (Reasoning(text="hm"), False), (Text(text="so"), False)])
def test_a_budget_needs_the_thoughts_of_the_open_reply(first: Part, expected: bool) -> None:
    """They may be another model's; without them the vendor refuses to think further, so the reply goes on without."""
    sent = request(user("x"), reply(first, call()), told(), data=ModelData(thinking=True))
    assert ("thinking" in sent) == expected
    later = request(user("x"), reply(first, call()), told(), reply(Text(text="so")), user("y"), data=ModelData(thinking=True))
    assert "thinking" in later


def test_temperature() -> None:
    """Only where the model takes one: not while it thinks."""
    warm = ModelData(temperature=0.3)
    assert request(user("x"), data=warm)["temperature"] == 0.3
    for data in (evolve(warm, thinking=True), evolve(warm, quirks=("no-temperature",)), ModelData()):
        assert "temperature" not in request(user("x"), data=data)


# --- structured output, tools, further fields ------------------------------------------------------------------------------------


def test_structured_output() -> None:
    """As the vendor takes schemas; where it is made up for, it is not the dialect's business."""
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
    native = request(user("x"), data=ModelData(schema="native"), schema=schema)["output_config"]["format"]
    assert (native["type"], native["schema"]["additionalProperties"]) == ("json_schema", False)
    assert "output_config" not in request(user("x"), schema=schema)


def test_tools_and_system_are_marked() -> None:
    """The last tool and the system prompt end what never changes within a session."""
    tools = [ToolSpec(name=name, description="Looks.", parameters={"properties": {}}) for name in ("a", "b")]
    sent = request(user("x"), system="be brief", tools=tuple(tools))
    schema = {"type": "object", "properties": {}}
    assert sent["tools"] == [
        {"name": "a", "description": "Looks.", "input_schema": schema},
        {"name": "b", "description": "Looks.", "input_schema": schema} | MARK,
    ]
    assert sent["system"] == [text("be brief") | MARK]


def test_extra_fields() -> None:
    """A host's own fields are laid over ours."""
    sent = request(user("x"), data=ModelData(extra={"service_tier": "standard_only", "model": "other"}))
    assert (sent["service_tier"], sent["model"]) == ("standard_only", "other")


# --- going on from a reply that broke off ----------------------------------------------------------------------------------------


def test_continuing_with_prefill() -> None:
    """The partial reply is last, without white space at its end, which the vendor refuses."""
    half = reply(signed("hm"), Text(text="Once upon "), Text(text="a \n"))
    sent = said(user("tell"), half, continuing=True, data=ModelData(prefill=True))
    assert sent[-1] == ("assistant", [{"type": "thinking", "thinking": "hm", "signature": "s"}, text("Once upon a")])


@pytest.mark.parametrize("data", [ModelData(), evolve(ADAPTIVE, prefill=True), ModelData(prefill=True, schema="native")])
def test_continuing_by_instruction(data: ModelData) -> None:
    """Where the model takes no prefill, or not with what else is asked of it."""
    sent = said(user("tell"), reply(Text(text="Once ")), continuing=True, schema={"type": "object"}, data=data)
    assert sent[1:] == [("assistant", [text("Once ")]), ("user", [text(CONTINUE)])]


def test_nothing_to_continue() -> None:
    """A reply that broke off before it said anything is asked for anew."""
    assert said(user("tell"), reply(Reasoning(text="hm")), continuing=True) == [("user", [text("tell")])]


# --- the vendor's cache, and ours ------------------------------------------------------------------------------------------------


def marks(*messages: Message, **options: Any) -> list[int]:
    """The numbers of the messages of which the last block is marked."""
    sent = request(*messages, **options)["messages"]
    assert all("cache_control" not in block for message in sent for block in message["content"][:-1])
    return [number for number, message in enumerate(sent) if "cache_control" in message["content"][-1]]


def test_the_marks_move_on() -> None:
    """One where this request ends, for the next one; one where the last request ended, which is in the cache for sure."""
    history = [user("a"), reply(call(1)), told(1), reply(call(2), call(3)), told(2), user("b")]
    assert marks(*history[:1]) == [0]
    assert marks(*history[:3]) == [0, 2]
    assert marks(*history) == [2, 5]
    assert marks(user("a"), reply(Text(text="half")), continuing=True) == [0]


def long(count: int, words: str = "x" * 1000) -> list[Message]:
    return [user(f"{n} {words}") if n % 2 == 0 else reply(Text(text=f"{n} {words}")) for n in range(count)]


def test_a_block_is_encoded_once() -> None:
    """A longer history begins with the very same bytes objects, but for the block that a mark is written into."""
    requests = MessagesRequests("anthropic")
    history = long(301)
    first = requests.encode(prompt_of(*history, session="s"), ModelData())
    second = requests.encode(prompt_of(*history, *long(2), session="s"), ModelData())
    kept = [block for block in second if len(block) >= 64 * 1024]
    assert len(kept) >= 4
    assert all(any(block is other for other in first) for block in kept[1:-1])


# --- any history -----------------------------------------------------------------------------------------------------------------

words = st.text(max_size=4) | st.sampled_from(["", " ", "x\n", "\ud800"])
thoughts = st.builds(signed, words, st.sampled_from(["", "sig"]), model=st.sampled_from(["m", "n"])) | st.builds(
    Reasoning, text=words, vendor=st.sampled_from([None, {"provider": "anthropic", "model": "m", "data": "E="}])
)
input_parts: st.SearchStrategy[Part] = st.one_of(st.builds(Text, text=words), st.just(IMAGE), st.just(DOCUMENT))
CALL = call()
reply_parts: st.SearchStrategy[Part] = st.one_of(st.builds(Text, text=words), thoughts, st.just(Citation(url="u")), st.just(CALL))


@st.composite
def histories(draw: st.DrawFn) -> list[Message]:
    """As a log has them at some point of a turn: inputs, replies with calls, their results, replies that broke off."""
    history: list[Message] = [reply(Text(text="imported"))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        history.append(Message("user", tuple(draw(st.lists(input_parts, max_size=3)))))
        for parts in draw(st.lists(st.lists(reply_parts, max_size=4), max_size=3)):
            asked = [call(len(history) * 10 + at, draw(st.sampled_from(["{}", "{", ""]))) for at in range(parts.count(CALL))]
            named = iter(asked)
            history.append(reply(*(next(named) if part is CALL else part for part in parts)))
            if not asked:
                break
            results = [ToolResult(call=each.id, parts=(Text(text=draw(words)),), is_error=draw(st.booleans())) for each in asked]
            history.append(Message("tool", tuple(results)))
    return history


models = st.builds(
    ModelData,
    thinking=st.booleans(),
    prefill=st.booleans(),
    images=st.booleans(),
    files=st.booleans(),
    effort=st.sampled_from(["", "none", "low", "max"]),
    schema=st.sampled_from(["native", "emulated"]),
    temperature=st.sampled_from([None, 0.5]),
    max_output=st.sampled_from([100, 4000]),
    quirks=st.sets(st.sampled_from(["adaptive-thinking", "always-thinking", "no-temperature"])).map(tuple),
)


@given(histories(), models, st.booleans())
def test_every_prefix_is_a_valid_request(history: list[Message], data: ModelData, at_hand: bool) -> None:
    """Whatever point of a log a request is made at, by the vendor's documented rules; and what was kept changes no byte."""
    requests = MessagesRequests("anthropic")
    tool = ToolSpec(name="look", description="", parameters={})
    for length in range(1, len(history) + 1):
        messages = tuple(history[:length])
        if messages[-1].calls and messages[-1].role == "assistant":
            continue  # core never asks before every call is answered
        prompt = prompt_of(
            *messages,
            session="s",
            system="be brief",
            tools=(tool,),
            schema={"type": "object"},
            blobs=BLOBS if at_hand else {},
            continuing=messages[-1].role == "assistant",
        )
        body = b"".join(requests.encode(prompt, data))
        assert body == b"".join(MessagesRequests("anthropic").encode(prompt, data))
        if any(message.role == "user" for message in messages):
            valid(json.loads(body), prefill=data.prefill)
