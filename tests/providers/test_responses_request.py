"""Requests in the Responses dialect: what the host gets is what was said, in its words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import chain
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from agentd.ports import Message, Prompt, ToolSpec
from agentd.providers.catalog import ModelData
from agentd.providers.chat_request import CONTINUE
from agentd.providers.responses_request import SEALS, SUMMARY, ResponsesRequests
from agentwire.types import BlobRef, Citation, File, Image, Part, Reasoning, Text, ToolCall, ToolResult
from tests.conformance.valid_responses import valid

PLAIN = ModelData()
THINKS = ModelData(thinking=True, effort="low", temperature=0.5, quirks=frozenset(("no-temperature",)))
SEES = ModelData(images=True, files=True)
PICTURE = Image(blob="a" * 64, bytes=3, media="image/png")
PAPER = File(blob="b" * 64, bytes=3, media="application/pdf", name="a.pdf")
NOTE = File(blob="c" * 64, bytes=3, media="text/plain", name="a.txt")
BLOBS = {PICTURE.blob: b"png", PAPER.blob: b"pdf", NOTE.blob: b"txt"}


def user(*parts: Part | str) -> Message:
    return Message("user", tuple(Text(text=part) if isinstance(part, str) else part for part in parts))


def reply(*parts: Part) -> Message:
    return Message("assistant", parts)


def told(*parts: ToolResult) -> Message:
    return Message("tool", parts)


def thought(text: str = "hm", *, provider: str = "openai", model: str = "m", sealed: str = "xyz") -> Reasoning:
    return Reasoning(text=text, vendor={"provider": provider, "model": model, "id": "rs_1", "encrypted_content": sealed})


CALL = ToolCall(id="c1", name="look", arguments_json='{"a": 1}')
DONE = ToolResult(call="c1", parts=(Text(text="seen"),))


def request(*messages: Message, data: ModelData = PLAIN, **fields: Any) -> dict[str, Any]:
    prompt = Prompt(model="m", system="", messages=messages)
    value: dict[str, Any] = json.loads(b"".join(ResponsesRequests("openai").encode(evolve(prompt, **fields), data)))
    valid(value)
    return value


def items(*messages: Message, data: ModelData = PLAIN, **fields: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = request(*messages, data=data, **fields)["input"]
    return found


# --- fields -----------------------------------------------------------------------------------------------------------------------


def test_the_smallest_request() -> None:
    """Nothing is kept at the vendor."""
    assert request(user("hi")) == {
        "model": "m",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        "stream": True,
        "store": False,
    }


def test_all_fields() -> None:
    """In the dialect's words; tools are flat, and not strict, for their schemas are anybody's."""
    tool = ToolSpec(name="look", description="Looks.", parameters={"type": "object"})
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    data = ModelData(schema="native", temperature=0.5)
    sent = request(user("hi"), data=data, system="be brief", tools=(tool,), schema=schema, max_output=100, session="s1")
    assert {name: value for name, value in sent.items() if name not in {"model", "input", "stream", "store"}} == {
        "instructions": "be brief",
        "tools": [{"type": "function", "name": "look", "description": "Looks.", "parameters": {"type": "object"}, "strict": False}],
        "text": {"format": {"type": "json_schema", "name": "answer", "schema": schema, "strict": True}},
        "temperature": 0.5,
        "max_output_tokens": 100,
        "prompt_cache_key": "s1",
    }


def test_models_that_think() -> None:
    """They are told how much, give summaries and their encrypted thoughts, and take no temperature."""
    sent = request(user("hi"), data=THINKS)
    assert sent["reasoning"] == {"effort": "low", "summary": "auto"}
    assert sent["include"] == ["reasoning.encrypted_content"]
    assert "temperature" not in sent
    assert request(user("hi"), data=evolve(THINKS, effort=""))["reasoning"] == {"summary": "auto"}


def test_least_output() -> None:
    """The vendor refuses less than 16 tokens."""
    assert request(user("hi"), max_output=1)["max_output_tokens"] == 16


def test_schema_of_others() -> None:
    """One that strict mode refuses is shown only; a model that follows none by itself gets none."""
    loose = {"type": "object"}
    assert request(user("x"), data=ModelData(schema="native"), schema=loose)["text"]["format"]["strict"] is False
    assert "text" not in request(user("x"), schema=loose)


def test_extra_fields() -> None:
    """A host's own fields are laid over ours, those of a field of ours over these."""
    extra = {"reasoning": {"summary": "detailed"}, "service_tier": "flex", "stream": None}
    sent = request(user("x"), data=evolve(THINKS, extra=extra))
    assert (sent["reasoning"], sent["service_tier"], sent["stream"]) == ({"effort": "low", "summary": "detailed"}, "flex", None)


def test_what_the_host_does_not_want_is_left_out() -> None:
    """Summaries; and encrypted thoughts, which are neither asked for nor sent back then."""
    requests = ResponsesRequests("openai")
    prompt = Prompt(model="m", system="", messages=(user("x"), reply(thought(), Text(text="y")), user("z")), session="s")

    def sent() -> dict[str, Any]:
        value: dict[str, Any] = json.loads(b"".join(requests.encode(prompt, THINKS)))
        return value

    assert len(sent()["input"]) == 4
    requests.leave_out(SUMMARY)
    assert sent()["reasoning"] == {"effort": "low"}
    requests.leave_out(SEALS)
    assert "include" not in sent()
    assert [item["type"] for item in sent()["input"]] == ["message"] * 3


def test_many_models() -> None:
    """What is kept for each is given up when more of them are asked; no byte of a request depends on it."""
    requests = ResponsesRequests("openai")
    prompt = Prompt(model="", system="", messages=[user("hi")], session="s")
    for number in range(30):
        asked = evolve(prompt, model=f"m{number % 20}")
        assert requests.encode(asked, PLAIN) == ResponsesRequests("openai").encode(asked, PLAIN)


# --- items ------------------------------------------------------------------------------------------------------------------------


def test_history_with_tools() -> None:
    """Every call and result is an item, paired by our ids; texts are one message, unless something is between them."""
    asked = reply(Reasoning(text="hm"), Text(text="I "), Citation(url="u"), Text(text="look"), CALL, Text(text="so"))
    failed = ToolResult(call="c1", parts=(Text(text="no such "), Text(text="file")), is_error=True)
    assert items(user("hi"), asked, told(failed))[1:] == [
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "I "}, {"type": "output_text", "text": "look"}],
        },
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"a": 1}'},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "so"}]},
        {"type": "function_call_output", "call_id": "c1", "output": "Error: no such file"},
    ]


def test_thoughts_go_back_in_front_of_what_came_of_them() -> None:
    """As they came, with their summary."""
    asked = reply(thought("a"), Text(text="I look"), thought("", sealed="zzz"), CALL)
    sent = items(user("hi"), asked, told(DONE))
    assert [item["type"] for item in sent[1:4]] == ["reasoning", "message", "reasoning"]
    assert sent[1] == {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "a"}],
        "encrypted_content": "xyz",
    }
    assert (sent[3]["summary"], sent[3]["encrypted_content"]) == ([], "zzz")


@pytest.mark.parametrize(
    "part",
    [
        Reasoning(text="hm"),
        Reasoning(text="hm", vendor={"provider": "anthropic", "model": "m", "signature": "s"}),
        thought(provider="other"),
        thought(model="other"),
        thought(sealed=""),
    ],
)
def test_thoughts_of_others_do_not(part: Reasoning) -> None:
    """Another provider's, another model's, and those without a seal: the vendor could not read them."""
    assert [item["type"] for item in items(user("hi"), reply(part, Text(text="x")))] == ["message", "message"]


def test_thoughts_that_led_to_nothing_do_not() -> None:
    """The vendor refuses one without what came of it: a reply that was cut off while it thought."""
    assert len(items(user("hi"), reply(thought()), user("go on"))) == 2
    assert len(items(user("hi"), reply(thought("a"), Text(text="x"), thought("b")), user("go on"))) == 4


def test_images_and_files() -> None:
    """Whole, where the model takes them; a text file as its text; else the model is told what it does not see."""
    said = user("look:", PICTURE, PAPER, NOTE)
    assert items(said, data=SEES, blobs=BLOBS)[0]["content"] == [
        {"type": "input_text", "text": "look:"},
        {"type": "input_image", "image_url": "data:image/png;base64,cG5n", "detail": "auto"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,cGRm"},
        {"type": "input_text", "text": "[file a.txt]\ntxt\n[end of a.txt]"},
    ]
    for data, blobs in ((PLAIN, BLOBS), (SEES, {})):
        content = items(said, data=data, blobs=blobs)[0]["content"]
        assert {part["type"] for part in content} == {"input_text"}
        assert "an image" in content[1]["text"]


def test_results_of_blobs() -> None:
    """The beginning, and that it is no more."""
    blob = BlobRef(blob="0" * 64, bytes=99_999, media="text/plain", head="line 1")
    answered = told(ToolResult(call="c1", parts=(blob,)))
    assert (
        items(user("x"), reply(CALL), answered)[2]["output"]
        == "line 1\n[only 6 of 99,999 bytes. Read on: output_read, handle 0000000000000000, offset 6]"
    )


def test_continuing() -> None:
    """A cut reply stays the model's own; a short instruction asks for the rest, if there is anything of it."""
    sent = items(user("tell"), reply(thought(), Text(text="Once upon a")), continuing=True)
    assert [item["type"] for item in sent] == ["message", "reasoning", "message", "message"]
    assert sent[-1]["content"] == [{"type": "input_text", "text": CONTINUE}]
    assert len(items(user("tell"), reply(thought()), continuing=True)) == 1


@pytest.mark.parametrize("arguments", ["{", "", "[1]", "\ud800", "[" * 100_000])
def test_invalid_arguments_stay_a_valid_request(arguments: str) -> None:
    """Compatible hosts parse arguments: what the model got wrong is shown to it, wrapped."""
    call = ToolCall(id="c1", name="n", arguments_json=arguments)
    sent = items(user("x"), reply(call), told(DONE))[1]
    assert json.loads(sent["arguments"]) == {"invalid_json": arguments}


@pytest.mark.parametrize(("name", "sent"), [("fs.read file", "fs_read_file"), ("", "_"), ("x" * 99, "x" * 64)])
def test_names_that_the_vendor_refuses(name: str, sent: str) -> None:
    """A model makes up a tool's name: that must not break the session."""
    call = ToolCall(id="c1", name=name, arguments_json="{}")
    assert items(user("x"), reply(call), told(DONE))[1]["name"] == sent


def test_empty_messages_are_left_out() -> None:
    """The vendor refuses them."""
    assert len(items(user("a"), reply(Reasoning(text="hm")), reply(Text(text="")), user(""), user("b", ""))) == 2


def test_lone_surrogates_are_replaced() -> None:
    assert items(user("a\ud800b"))[0]["content"][0]["text"] == "a?b"


# --- any history -----------------------------------------------------------------------------------------------------------------

texts = st.text(max_size=8) | st.just("a\ud800b")
thoughts = st.builds(Reasoning, text=texts) | st.builds(thought, texts, provider=st.sampled_from(("openai", "other")))
said: st.SearchStrategy[Part] = st.one_of(thoughts, st.builds(Text, text=texts), st.just(Citation(url="u")))
inputs: st.SearchStrategy[Part] = st.one_of(st.builds(Text, text=texts), st.sampled_from((PICTURE, PAPER, NOTE)))


@st.composite
def steps(draw: st.DrawFn) -> list[Message]:
    """One step of a turn: what was asked, a reply, the results of its calls."""
    number = draw(st.integers(0, 10**9))
    calls = [
        ToolCall(id=f"c{number}-{index}", name=draw(texts), arguments_json=draw(texts)) for index in range(draw(st.integers(0, 2)))
    ]
    parts = draw(st.permutations([*draw(st.lists(said, max_size=4)), *calls]))
    results = tuple(ToolResult(call=call.id, parts=(Text(text=draw(texts)),), is_error=draw(st.booleans())) for call in calls)
    asked = user("do", *draw(st.lists(inputs, max_size=3)))
    return [asked, Message("assistant", tuple(parts)), *([Message("tool", results)] if results else [])]


histories = st.lists(steps(), min_size=1, max_size=5, unique_by=lambda step: step[-1].calls).map(lambda found: list(chain(*found)))


@given(histories, st.sampled_from((PLAIN, THINKS, SEES)), st.sampled_from(({}, BLOBS)), st.booleans())
def test_any_history_is_a_valid_request(
    history: list[Message], data: ModelData, blobs: Mapping[str, bytes], continuing: bool
) -> None:
    """And what was kept of the history changes no byte of it."""
    requests = ResponsesRequests("openai")
    prompt = Prompt(model="m", system="", messages=history, session="s", continuing=continuing, blobs=blobs)
    requests.encode(evolve(prompt, messages=history[: len(history) // 2]), data)
    sent = b"".join(requests.encode(prompt, data))
    valid(json.loads(sent))
    assert sent == b"".join(ResponsesRequests("openai").encode(prompt, data))
