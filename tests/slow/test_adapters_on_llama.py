"""Adapters end to end against a real model server: llama.cpp speaks Chat Completions, Responses and Messages."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio

from agentd.core.health import at_once
from agentd.ports import Delta, Message, PartText, Prompt, Provider, ToolSpec
from agentd.providers.catalog import Catalog
from agentd.providers.chat_dialect import ChatDialect
from agentd.providers.dialect import Dialect
from agentd.providers.emulation import Emulating
from agentd.providers.endpoint import Endpoint
from agentd.providers.messages_dialect import MessagesDialect
from agentd.providers.ollama_dialect import OllamaDialect
from agentd.providers.responses_dialect import ResponsesDialect
from agentwire.config import ProviderConfig, Timeouts
from agentwire.errors import AuthFailed, ContextTooLong, ProviderDown
from agentwire.types import StopReason, Text, ToolCall, ToolResult
from agentwire.weights import EMBEDDED
from tests.fakes.history import valid
from tests.fakes.llama_http import CONTEXT, KEY, Llama, llama
from tests.fakes.model_rules import Request
from tests.fakes.model_script import Reply, Say, Spend
from tests.fakes.model_server import serve
from tests.fakes.real import Home
from tests.providers.scenes import Whole, whole

pytestmark = [pytest.mark.slow, pytest.mark.model, pytest.mark.timeout(300)]

PATIENCE = 120.0  # seconds after which a test fails instead of hanging
SYSTEM = "You are a helpful assistant.\nAnswer briefly and correctly."  # with which it knows what it can know
ROLL = ToolSpec(
    name="roll_dice",
    description="Roll a dice.",
    parameters={
        "type": "object",
        "properties": {"sides": {"type": "integer"}},
        "required": ["sides"],
        "additionalProperties": False,
    },
)
DATA: Mapping[str, Any] = {"temperature": 0.0, "prefill": True, "schema": "native", "tools": "emulated", "family": "embedded"}


@pytest.fixture(scope="module")
def server(weights: Path) -> Iterator[Llama]:
    with llama(str(weights / EMBEDDED.file)) as running:
        yield running


def endpoint(server: Llama, dialect: str, *, key: str = KEY) -> Endpoint:
    """An endpoint of this dialect, for the embedded model."""
    dialects: dict[str, tuple[Dialect, str]] = {
        "chat": (ChatDialect("llama", f"{server.url}/v1"), f"{server.url}/v1"),
        "responses": (ResponsesDialect("llama"), f"{server.url}/v1"),
        "messages": (MessagesDialect("llama"), server.url),
    }
    spoken, base = dialects[dialect]
    return Endpoint("llama", spoken, ProviderConfig(api_keys=(key,), base_url=base), Timeouts(), Catalog({"llama/*": DATA}))


@asynccontextmanager
async def closing(*providers: Provider) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for provider in providers:
            await provider.aclose()


def prompt(words: str, *, begun: str = "", max_output: int = 40, system: str = SYSTEM, **further: Any) -> Prompt:
    messages = [Message("user", (Text(text=words),))]
    if begun:
        messages.append(Message("assistant", (Text(text=begun),)))
    return Prompt(model="smollm2", system=system, messages=messages, max_output=max_output, continuing=bool(begun), **further)


async def ask(provider: Provider, prompt: Prompt) -> tuple[Whole, int]:
    """The reply, and in how many pieces its text came. What met a closing connection is sent again, as the
    router does."""
    try:
        return await _answer(provider, prompt)
    except ProviderDown as error:
        if not at_once(error):
            raise
    return await _answer(provider, prompt)


async def _answer(provider: Provider, prompt: Prompt) -> tuple[Whole, int]:
    deltas: list[Delta] = []
    with trio.fail_after(PATIENCE):
        async with provider.stream(prompt) as stream:
            await stream.drain(deltas.extend)
    return whole(deltas), sum(isinstance(delta, PartText) for delta in deltas)


DIALECTS = pytest.mark.parametrize("dialect", ["chat", "responses", "messages"])


@DIALECTS
async def test_answers(server: Llama, dialect: str) -> None:
    """A real answer streams in many pieces; its usage is reported, and the second time most of the input was cached."""
    provider = endpoint(server, dialect)
    async with closing(provider):
        await ask(provider, prompt("What is the capital of France?"))
        reply, pieces = await ask(provider, prompt("What is the capital of France?"))
    assert "Paris" in reply.text
    assert reply.stop == "end"
    assert pieces > 3
    assert reply.usage is not None
    assert reply.usage.input > reply.usage.cached > 20
    assert reply.usage.output > 3


@DIALECTS
async def test_a_reply_that_is_too_long(server: Llama, dialect: str) -> None:
    """The end for length is told. The server's Responses never say `incomplete`, as OpenAI's do: there it is an end."""
    expected: dict[str, StopReason] = {"responses": "end"}
    provider = endpoint(server, dialect)
    async with closing(provider):
        reply, _ = await ask(provider, prompt("Tell me a very long story about a cat.", max_output=16))
    assert reply.stop == expected.get(dialect, "length")
    assert reply.usage is not None
    assert reply.usage.output == 16


@DIALECTS
async def test_leaving_frees_the_slot(server: Llama, dialect: str) -> None:
    """Leaving a stream in the middle stops the server's work on it."""
    provider = endpoint(server, dialect)
    async with closing(provider), httpx2.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as http:
        with trio.CancelScope() as leaving:

            def leave(deltas: Sequence[Delta]) -> None:
                if any(isinstance(delta, PartText) for delta in deltas):
                    leaving.cancel()

            async with provider.stream(prompt("Tell me a very long story about a cat.", max_output=1500)) as stream:
                await stream.drain(leave)
        assert leaving.cancelled_caught
        with trio.fail_after(PATIENCE):
            while any(slot["is_processing"] for slot in (await http.get(f"{server.url}/slots")).json()):
                await trio.lowlevel.checkpoint()


@DIALECTS
async def test_a_cut_answer_goes_on(server: Llama, dialect: str) -> None:
    """A reply that was cut goes on from its own last words; by Responses, which can only be told to, it may say them again."""
    provider = endpoint(server, dialect)
    async with closing(provider):
        reply, _ = await ask(provider, prompt("Count from one to ten.", begun="One, two, three,", max_output=24))
    assert reply.text
    if dialect != "responses":
        assert "four" in reply.text
        assert "One, two" not in reply.text


@DIALECTS
async def test_what_fails(server: Llama, dialect: str) -> None:
    """A wrong key and a prompt beyond the context are told apart."""
    provider, stranger = endpoint(server, dialect), endpoint(server, dialect, key="sk-wrong")
    async with closing(provider, stranger):
        with pytest.raises(AuthFailed) as caught:
            await ask(stranger, prompt("hello"))
        assert "sk-wrong" not in caught.value.message
        with pytest.raises(ContextTooLong):
            await ask(provider, prompt("word " * CONTEXT * 2))


async def test_a_call_is_made_by_schema(server: Llama) -> None:
    """A question about dice calls the tool with valid arguments, its result is told; other questions are answered as ever."""
    provider = Emulating(endpoint(server, "chat"), Catalog({"llama/*": DATA}))
    async with closing(provider):
        asked = prompt("Roll a dice with 20 sides.", tools=[ROLL])
        reply, _ = await ask(provider, asked)
        ((kind, name, arguments),) = reply.parts
        assert (kind, name, json.loads(arguments)) == ("tool_call", "roll_dice", {"sides": 20})
        assert reply.stop == "tool_calls"
        called = Message("assistant", (ToolCall(id="c1", name="roll_dice", arguments_json='{"sides": 20}'),))
        result = Message("tool", (ToolResult(call="c1", parts=(Text(text="13"),)),))
        reply, _ = await ask(provider, prompt_of([*asked.messages, called, result]))
        assert reply.text
        assert reply.stop in {"end", "length"}
        plain = [await ask(provider, prompt("What is the capital of France?", tools=tools)) for tools in ((), (ROLL,))]
        assert plain[0][0].parts == plain[1][0].parts


def prompt_of(messages: Sequence[Message]) -> Prompt:
    return Prompt(model="smollm2", system=SYSTEM, messages=messages, tools=(ROLL,), max_output=40)


async def test_structured_output(server: Llama) -> None:
    """The server holds the model to a schema."""
    schema = {
        "type": "object",
        "properties": {"capital": {"type": "string"}},
        "required": ["capital"],
        "additionalProperties": False,
    }
    provider = Emulating(endpoint(server, "chat"), Catalog({"llama/*": DATA}))
    async with closing(provider):
        reply, _ = await ask(provider, prompt("What is the capital of France?", schema=schema))
    assert list(json.loads(reply.text)) == ["capital"]


async def test_like_ollama(server: Llama) -> None:
    """Ollama's dialect with real answers: a server that passes what it is asked on to the model, and gives its reply in lines."""

    def passed_on(request: Request) -> Reply:
        options = request.body["options"]
        body = {"messages": request.body["messages"], "max_tokens": options["num_predict"], "temperature": options["temperature"]}
        answer = httpx2.post(
            f"{server.url}/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {KEY}"}, timeout=PATIENCE
        )
        said = answer.json()
        spent = Spend(input=said["usage"]["prompt_tokens"], output=said["usage"]["completion_tokens"])
        finish = said["choices"][0]["finish_reason"]
        return Reply([Say(said["choices"][0]["message"]["content"])], usage=spent, finish=finish)

    async with serve(passed_on) as ollama:
        base = ollama.url.removesuffix("/v1")
        provider = Endpoint("llama", OllamaDialect(), ProviderConfig(base_url=base), Timeouts(), Catalog({"llama/*": DATA}))
        async with closing(provider):
            reply, _ = await ask(provider, prompt("What is the capital of France?"))
            assert "Paris" in reply.text
            assert reply.usage is not None
            assert reply.usage.output > 3
            reply, _ = await ask(provider, prompt("Tell me a very long story about a cat.", max_output=16))
            assert reply.stop == "length"


# --- whole turns in a daemon -----------------------------------------------------------------------------------------------------

TOOL = '''
from agentd.tool import tool

@tool(effect="read", policy="allow")
def roll_dice(sides: int) -> str:
    """Roll a dice.

    Args:
        sides: how many it has
    """
    with open("rolled", "a") as file:
        file.write(f"{sides}\\n")
    return "13"
'''

SERVED = """
[providers.llama]
base_url = "{url}/v1"
api_key = "{key}"

[parameters."llama/*"]
tools = "emulated"
schema = "native"
prefill = true
family = "embedded"
temperature = 0.0
context = 2048
max_output = 100
"""


@pytest.mark.parametrize("model", ["local/smollm2-135m", "llama/smollm2"])
async def test_a_turn_with_a_tool(server: Llama, weights: Path, model: str) -> None:
    """The daemon asks, the model calls, the function runs, the model hears of it and answers: our process, and one over HTTP."""
    with Home() as home:
        (home.data / "models").mkdir(parents=True, mode=0o700)
        (home.data / "models" / EMBEDDED.file).symlink_to(weights / EMBEDDED.file)
        home.write("config/config.toml", SERVED.format(url=server.url, key=KEY))
        home.write("config/tools/dice.py", TOOL)
        daemon = home.start()
        async with daemon.connect(prompting=True) as peer:
            session = (await peer.call("session/create", cwd=str(home.path)))["id"]
            await peer.call("session/watch", session=session, after=0)
            await peer.prompt(session, "Roll a dice with 20 sides.", model=model)
            await peer.until("turn_finished", outcome="done")
            log = await peer.log(session)
            valid(log)
            replies = [event["data"]["parts"] for event in log if event["kind"] == "assistant_message"]
            assert [part["name"] for part in replies[0] if part["kind"] == "tool_call"] == ["roll_dice"]
            assert [part["kind"] for part in replies[-1]] == ["text"]
            assert (home.path / "rolled").read_text() == "20\n"
        assert await daemon.stop() == 0


async def test_a_turn_with_a_built_in_tool(weights: Path) -> None:
    """The embedded model reads a file of the workspace and says what is in it."""
    with Home() as home:
        (home.data / "models").mkdir(parents=True, mode=0o700)
        (home.data / "models" / EMBEDDED.file).symlink_to(weights / EMBEDDED.file)
        work = home.write("work/notes.txt", "The secret word is banana.\n").parent
        daemon = home.start()
        async with daemon.connect(prompting=True) as peer:
            session = (await peer.call("session/create", cwd=str(work)))["id"]
            await peer.call("session/watch", session=session, after=0)
            await peer.prompt(session, "Read the file notes.txt", model="local/smollm2-135m")
            await peer.until("turn_finished", outcome="done")
            log = await peer.log(session)
            valid(log)
            assert [event["data"]["name"] for event in log if event["kind"] == "tool_planned"] == ["read"]
            assert [event["data"]["outcome"] for event in log if event["kind"] == "tool_finished"] == ["ok"]
            answer = [event["data"]["parts"] for event in log if event["kind"] == "assistant_message"][-1]
            assert "banana" in "".join(part.get("text", "") for part in answer)
        assert await daemon.stop() == 0
