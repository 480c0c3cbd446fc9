"""Tools and structured output for models that have none: what their host is asked, and what comes of its replies."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import jsonschema
import pytest
import trio
from attrs import evolve
from hypothesis import given, settings

from agentd.core.prompt import paired
from agentd.ports import Delta, Message, ModelLimits, PartStart, PartText, Prompt, Stop, Stream, ToolSpec
from agentd.providers import emulated_small
from agentd.providers.catalog import Catalog
from agentd.providers.emulated_request import emulate
from agentd.providers.emulation import Emulating
from agentwire.config import Timeouts
from agentwire.errors import BadRequest
from agentwire.types import BlobRef, Image, ModelInfo, Text, ToolCall, ToolResult
from tests.conformance.histories import BLOBS, histories
from tests.conformance.providers import CASES, Case
from tests.providers.scenes import Whole, whole

LOOK = ToolSpec(
    name="look",
    description="Look at a place. It is described.",
    parameters={
        "type": "object",
        "properties": {"at": {"$ref": "#/$defs/Place"}},
        "required": ["at"],
        "$defs": {"Place": {"type": "string"}},
    },
)
ROLL = ToolSpec(
    name="rollDice", description="Roll a dice.", parameters={"type": "object", "properties": {"sides": {"type": "integer"}}}
)
SCHEMA = {"type": "object", "properties": {"n": {"$ref": "#/$defs/N"}}, "required": ["n"], "$defs": {"N": {"type": "integer"}}}


def user(text: str) -> Message:
    return Message("user", (Text(text=text),))


def said(text: str) -> Message:
    return Message("assistant", (Text(text=text),))


CALLED = Message("assistant", (Text(text="I look."), ToolCall(id="c1", name="look", arguments_json='{"at": "the sky"}')))
SEEN = Message("tool", (ToolResult(call="c1", parts=(Text(text="blue"),)),))


class Host:
    """A provider that keeps what it is asked, and replies `reply` a few letters at a time, or as calls."""

    name = "host"
    keys = 2

    def __init__(self, reply: str | Sequence[Delta] = "", *, small: bool = False, listed: Sequence[str] = ("host/first",)) -> None:
        self.reply = reply
        self.small = small
        self.listed = listed
        self.asked: list[Prompt] = []
        self.did: list[str] = []

    def limits(self, model: str) -> ModelLimits:
        return ModelLimits(context=4096, max_output=512, family="embedded" if self.small else "large")

    @asynccontextmanager
    async def stream(self, prompt: Prompt) -> AsyncIterator[Stream]:
        self.asked.append(prompt)
        yield self

    async def drain(self, sink: Callable[[Sequence[Delta]], None]) -> None:
        await trio.lowlevel.checkpoint()
        if not isinstance(self.reply, str):
            sink(self.reply)
            return
        sink([PartStart(0, "text")])
        for at in range(0, len(self.reply), 5):
            sink([PartText(0, self.reply[at : at + 5])])
        sink([Stop("end")])

    async def models(self) -> Sequence[ModelInfo]:
        return [ModelInfo(id=name) for name in self.listed]

    async def prewarm(self) -> None:
        self.did.append("prewarm")

    def status(self) -> tuple[str, str]:
        return ("ready", "here")

    async def run(self, *, task_status: Any) -> None:
        task_status.started()

    async def aclose(self) -> None:
        self.did.append("aclose")

    def reconfigure(self, timeouts: Timeouts) -> None:
        self.did.append("reconfigure")


async def ask(host: Host, prompt: Prompt, *, tools: str = "emulated", schema: str = "native") -> tuple[Whole, Prompt]:
    """The reply, and what the host was asked."""
    provider = Emulating(host, Catalog({"host/*": {"tools": tools, "schema": schema}}))
    deltas: list[Delta] = []
    async with provider.stream(prompt) as stream:
        await stream.drain(deltas.extend)
    return whole(deltas), host.asked[-1]


def prompt(*messages: Message, tools: Sequence[ToolSpec] = (), **further: Any) -> Prompt:
    return Prompt(model="m", system="Be brief.", messages=messages or [user("hello")], tools=tools, **further)


def follows(schema: Mapping[str, Any] | None, value: object) -> bool:
    assert schema is not None
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


# --- nothing to make up for ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "tools", "schema"),
    [
        (prompt(), "emulated", "emulated"),
        (prompt(tools=[LOOK]), "native", "emulated"),
        (prompt(user("a"), CALLED, SEEN, tools=[LOOK]), "native", "native"),
        (prompt(schema=SCHEMA), "emulated", "native"),
        (prompt(tools=[LOOK], schema=SCHEMA), "native", "native"),
    ],
)
async def test_untouched(asked: Prompt, tools: str, schema: str) -> None:
    """A request that needs nothing of what the model lacks is the host's own, and so is its reply."""
    deltas: list[Delta] = [PartStart(0, "text"), PartText(0, '{"answer": "x"}'), Stop("end")]
    reply, sent = await ask(Host(deltas), asked, tools=tools, schema=schema)
    assert sent is asked
    assert reply.text == '{"answer": "x"}'


async def test_the_rest_is_the_providers_own() -> None:
    """Its name, keys, limits, state and life are those of the provider inside."""
    host = Host()
    provider = Emulating(host, Catalog())
    assert (provider.name, provider.keys, provider.status()) == ("host", 2, ("ready", "here"))
    assert provider.limits("m") == host.limits("m")
    assert [model.id for model in await provider.models()] == ["host/first"]
    async with trio.open_nursery() as nursery:
        await nursery.start(provider.run)
    await provider.prewarm()
    provider.reconfigure(Timeouts())
    await provider.aclose()
    assert host.did == ["prewarm", "reconfigure", "aclose"]


async def test_an_empty_name() -> None:
    """Without a name the first model that is listed is asked; where none is, the error says what to do."""
    _, sent = await ask(Host(), evolve(prompt(), model=""))
    assert sent.model == "first"
    with pytest.raises(BadRequest, match="host/MODEL"):
        await ask(Host(listed=()), evolve(prompt(), model=""))


# --- tools -----------------------------------------------------------------------------------------------------------------------


async def test_tools_by_schema() -> None:
    """The host holds the model to an answer or one call that fits its tool, references inside it included."""
    host = Host('{"name": "look", "arguments": {"at": "the sky"}}')
    reply, sent = await ask(host, prompt(tools=[LOOK, ROLL]))
    assert reply.parts == (("tool_call", "look", '{"at": "the sky"}'),)
    assert reply.stop == "tool_calls"
    assert sent.tools == ()
    for good in ({"answer": "x"}, {"name": "look", "arguments": {"at": "x"}}, {"name": "rollDice", "arguments": {"sides": 6}}):
        assert follows(sent.schema, good)
    for bad in ({"answer": 1}, {"name": "look", "arguments": {"at": 1}}, {"name": "jump", "arguments": {}}, {}):
        assert not follows(sent.schema, bad)
    assert sent.system.startswith("Be brief.\n")
    assert all(words in sent.system for words in ("- look: Look at a place. It is described.", '"$ref"', "rollDice", '"answer"'))


async def test_tools_in_words() -> None:
    """A host without schemas is asked in words; what is no call is the answer, as it streams."""
    reply, sent = await ask(Host('I look.\n{"name": "look", "arguments": {}}'), prompt(tools=[LOOK]), schema="emulated")
    assert sent.schema is None
    assert '{"answer"' not in sent.system
    assert reply.parts == (("text", "", "I look.\n"), ("tool_call", "look", "{}"))


async def test_tools_and_a_schema() -> None:
    """The answer that may come instead of a call follows the schema that was asked for, and is given as its JSON."""
    reply, sent = await ask(Host('{"answer": {"n": 4}}'), prompt(tools=[LOOK], schema=SCHEMA))
    assert reply.text == '{"n": 4}'
    assert follows(sent.schema, {"answer": {"n": 4}})
    assert not follows(sent.schema, {"answer": {"n": "four"}})
    _, sent = await ask(Host(), prompt(tools=[LOOK], schema=SCHEMA), schema="emulated")
    assert json.dumps(SCHEMA) in sent.system


async def test_what_happened_is_told() -> None:
    """Calls and results are in the history as text; messages without them are the very same, and images stay."""
    image = Message("user", (Image(blob="0" * 64, bytes=3, media="image/png"), Text(text="and this?")))
    two = ToolCall(id="c2", name="rollDice", arguments_json="{six")
    blob = BlobRef(blob="1" * 64, bytes=70000, media="text/plain", head="the beginning")
    results = (ToolResult(call="c1", parts=(blob,)), ToolResult(call="c2", parts=(Text(text="no"),), is_error=True))
    history = [user("look"), evolve(CALLED, parts=(*CALLED.parts, two)), Message("tool", results), said("done"), image]
    for offered in ([LOOK], []):
        _, sent = await ask(Host(), prompt(*history, tools=offered))
        assert sent.messages[0] is history[0]
        assert sent.messages[3:] == history[3:]
        assert [part.text for part in sent.messages[1].parts if isinstance(part, Text)] == [
            "I look.",
            '{"name": "look", "arguments": {"at": "the sky"}}',
            '{"name": "rollDice", "arguments": "{six"}',
        ]
        (told,) = sent.messages[2].parts
        assert sent.messages[2].role == "user"
        assert isinstance(told, Text)
        assert told.text == (
            "Result of look: the beginning\n[only 13 of 70,000 bytes. Read on: output_read, handle 1111111111111111, offset 13]\n"
            "Result of rollDice (it failed): no"
        )


async def test_a_very_small_model_is_shown_what_it_can_call() -> None:
    """Nothing that changes things and wants several arguments, and no argument that may be left out."""
    text = {"type": "string"}
    needed = {"type": "object", "properties": {"path": text, "limit": text}, "required": ["path"]}
    both = {**needed, "required": ["path", "limit"]}
    read = ToolSpec(name="read", description="Read a file.", parameters=needed, effect="read")
    save = ToolSpec(name="save", description="Save a file.", parameters=both)
    (shown,) = emulated_small.offered([user("read or save the file")], [save, read])
    assert shown.name == "read" and list(shown.parameters["properties"]) == ["path"]


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("Name three rivers.", []),
        ("Which book about paths is good?", []),
        ("Use find_files for the pattern a", ["find_files"]),
        ("Which files are there, by their path?", ["find_files"]),
        ("Look there", []),
    ],
)
def test_a_very_small_model_is_shown_only_what_is_asked_for_by_name(question: str, names: list[str]) -> None:
    """Common words of a description are in every question."""
    needed = {"type": "object", "properties": {"pattern": {"type": "string"}}, "required": ["pattern"]}
    find = ToolSpec(name="find_files", description="Find files by their path or name.", parameters=needed, effect="read")
    assert [tool.name for tool in emulated_small.offered([user(question)], [find])] == names


async def test_a_half_answer_goes_on() -> None:
    """A seam: text that was shown goes on as text, not as JSON from its beginning; where nothing was shown all is as at first."""
    half = [user("hello"), said("One, two,")]
    reply, sent = await ask(Host(" three"), prompt(*half, tools=[LOOK], continuing=True))
    assert (sent.schema, sent.tools, sent.continuing) == (None, (), True)
    assert reply.text == " three"
    reply, sent = await ask(
        Host(' three {"name": "look", "arguments": {}}'), prompt(*half, tools=[LOOK], continuing=True), schema="emulated"
    )
    assert reply.parts == (("text", "", " three "), ("tool_call", "look", "{}"))
    reply, sent = await ask(Host('{"answer": "x"}'), prompt(user("hello"), Message("assistant", ()), tools=[LOOK], continuing=True))
    assert sent.schema is not None
    assert reply.text == "x"


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
@pytest.mark.parametrize("small", [False, True])
@settings(max_examples=15)
@given(history=histories())
def test_every_history_is_a_valid_request(case: Case, small: bool, history: Sequence[Message]) -> None:
    """Whatever was recorded, up to any point: what becomes of it has no calls, and every host takes it."""
    dialect, data = case.dialect(""), case.catalog().find(case.provider, case.model)
    for end in range(1, len(history) + 1):
        messages = paired(history[:end])
        asked = prompt(*messages, tools=[LOOK, ROLL], blobs=BLOBS, continuing=messages[-1].role == "assistant")
        emulated = emulate(asked, evolve(data, tools="emulated"), small=small)
        assert emulated is not None
        assert not any(message.calls for message in emulated.prompt.messages)
        case.valid(json.loads(b"".join(dialect.encode(evolve(emulated.prompt, model=case.model), data))))


# --- very small models -----------------------------------------------------------------------------------------------------------

DICE = '{"name": "rollDice", "arguments": {"sides": 20}}'


@pytest.mark.parametrize("question", ["What is the capital of France?", "Hello!", ""])
async def test_a_small_model_is_not_bothered(question: str) -> None:
    """A question that has nothing to do with a tool is asked as if there were none."""
    asked = prompt(user(question), tools=[LOOK, ROLL])
    reply, sent = await ask(Host("Paris", small=True), asked)
    assert sent == evolve(asked, tools=())
    assert reply.text == "Paris"


@pytest.mark.parametrize("question", ["Roll a die with 20 sides.", "Rolling dices, please", "what does rollDice give?"])
async def test_a_small_model_gets_the_tool_it_needs(question: str) -> None:
    """A question that shares a word with a tool has that tool, in one line, and no other."""
    reply, sent = await ask(Host(DICE, small=True), prompt(user(question), tools=[LOOK, ROLL]))
    assert reply.parts == (("tool_call", "rollDice", '{"sides": 20}'),)
    assert sent.system.endswith('{"name": "rollDice", "arguments": {"sides": "..."}}: Roll a dice.\n')
    assert not follows(sent.schema, {"name": "look", "arguments": {"at": "x"}})


async def test_a_small_model_among_many_tools() -> None:
    """However many tools there are, and whatever they say of themselves, the prompt stays short."""
    many = [evolve(ROLL, name=f"roll{n}", description="Roll a dice " * 20 + ". And more.") for n in range(50)]
    _, sent = await ask(Host(DICE, small=True), prompt(user("roll a dice"), tools=many))
    assert len(sent.system) < 500


async def test_a_small_model_is_told_results() -> None:
    """A result stands before its question, the call nowhere; then the tool is not offered again until the next question."""
    history = [user("Look at the sky"), CALLED, SEEN]
    reply, sent = await ask(Host("It is blue.", small=True), prompt(*history, tools=[LOOK]))
    assert [
        (message.role, "".join(part.text for part in message.parts if isinstance(part, Text))) for message in sent.messages
    ] == [("user", "look, at the sky: blue\n\nLook at the sky")]
    assert sent.schema is None
    assert reply.text == "It is blue."
    _, sent = await ask(Host(DICE, small=True), prompt(*history, said("It is blue."), user("Look again"), tools=[LOOK]))
    assert len(sent.messages) == 3
    assert sent.schema is not None


async def test_a_small_models_half_answer() -> None:
    """It goes on without tools."""
    _, sent = await ask(Host(small=True), prompt(user("roll"), said("I ro"), tools=[ROLL], continuing=True))
    assert (sent.schema, sent.system) == (None, "Be brief.")


# --- structured output -----------------------------------------------------------------------------------------------------------


async def test_structured_by_a_tool() -> None:
    """Where the host has tools the answer is asked for as a call, and given as text."""
    deltas: list[Delta] = [PartStart(0, "tool_call", "respond"), PartText(0, '{"n": 4}'), Stop("tool_calls")]
    reply, sent = await ask(Host(deltas), prompt(tools=[LOOK], schema=SCHEMA), tools="native", schema="emulated")
    assert (reply.parts, reply.stop) == ((("text", "", '{"n": 4}'),), "end")
    assert [tool.name for tool in sent.tools] == ["look", "respond"]
    assert sent.tools[1].parameters == SCHEMA
    assert sent.schema is None
    _, sent = await ask(Host(), prompt(tools=[evolve(LOOK, name="respond")], schema=SCHEMA), tools="native", schema="emulated")
    assert [tool.name for tool in sent.tools] == ["respond", "respond_"]


@pytest.mark.parametrize("small", [False, True])
async def test_structured_in_words(small: bool) -> None:
    """Where it has none the schema is in the instructions, and what is around the JSON is not given."""
    host = Host('Here:\n```json\n{"n": 4}\n```', small=small)
    reply, sent = await ask(host, prompt(schema=SCHEMA), schema="emulated")
    assert reply.text == '{"n": 4}'
    assert json.dumps(SCHEMA) in sent.system
    assert sent.schema is None


@pytest.mark.parametrize("tools", ["native", "emulated"])
async def test_half_of_the_json_goes_on(tools: str) -> None:
    """A seam within the JSON: the rest is asked for as text, and given as it comes."""
    asked = prompt(user("four"), said('{"n"'), schema=SCHEMA, continuing=True)
    reply, sent = await ask(Host(": 4}"), asked, tools=tools, schema="emulated")
    assert reply.text == ": 4}"
    assert (sent.schema, sent.tools) == (None, ())
