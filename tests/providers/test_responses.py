"""The Responses dialect behind its endpoint: beside the SDK's own typed stream, and what only this dialect has to deal with."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import openai
import pytest
import trio
from attrs import evolve
from openai.types.responses import Response, ResponseOutputItem, ResponseStreamEvent

from agentd.core.router import Router
from agentd.ports import Delta, Message
from agentd.providers.catalog import Catalog
from agentd.providers.endpoint import Endpoint
from agentd.providers.responses_decoder import ResponsesDecoder
from agentd.providers.responses_dialect import ResponsesDialect
from agentwire.config import ProviderConfig, Timeouts
from agentwire.errors import AuthFailed, BadRequest, ProviderDown
from agentwire.types import PartKind, Reasoning, StopReason, Text, Usage
from tests.conformance.valid_responses import valid
from tests.fakes.model_script import Answer, Call, Cite, Fail, Raw, Redacted, Reply, Say, Spend, Think, Tokens, error, text
from tests.fakes.model_server import ScriptedModelServer, serve
from tests.fakes.voices.responses import ResponsesVoice
from tests.providers.scenes import HELLO, KEY, RICH, Whole, ask, body, whole

THINKER = evolve(HELLO, model="gpt-6.1-terra")


@asynccontextmanager
async def wired(script: Sequence[Answer]) -> AsyncIterator[tuple[ScriptedModelServer, Endpoint]]:
    """A server that plays `script` and an endpoint that talks to it."""
    async with serve(script) as server:
        config = ProviderConfig(api_keys=(KEY,), base_url=server.url)
        endpoint = Endpoint("openai", ResponsesDialect("openai"), config, Timeouts(), Catalog())
        try:
            yield server, endpoint
        finally:
            await endpoint.aclose()


# --- beside the SDK --------------------------------------------------------------------------------------------------------------

REPLIES = {
    "plain": Reply([Say('Grüße, 世界 🎉 and "quotes"\n\ttoo')]),
    "many": Reply([Tokens(300)]),
    "rich": RICH,
    "calls": Reply([Call("f", {"a": [1, {"b": None}]}, pieces=7), Call("g", "{}"), Call("h", "", pieces=1)]),
    "thoughts": Reply([Think("a b "), Think("c", signature="s"), Redacted("r"), Say("d")]),
    "open thoughts": Reply([Think("a b ", key="reasoning_text"), Say("d")]),
    "citations": Reply([Say("a b "), Cite("https://a.test", "A"), Say("c"), Cite("https://b.test", "B")]),
    "length": Reply([Say("cut sho")], finish="length"),
    "filtered": Reply([Say("so")], finish="content_filter"),
    "no usage": Reply([Say("x")], usage=None),
    "cached": Reply([Say("x")], usage=Spend(input=100, output=1, cached=90, reasoning=1)),
    "comments": Reply([Raw(b": ping\r\n\r\n"), Say("x"), Raw(b":\n\n"), Say("y")]),
}

REASONS: dict[str, StopReason] = {"max_output_tokens": "length", "content_filter": "refused"}


def _told(item: ResponseOutputItem) -> list[tuple[PartKind, str, str]]:
    """An item as parts. Citations come behind their message here: the whole of it does not say when they came."""
    match item.type:
        case "reasoning":
            texts = [part.text for part in item.summary or item.content or []]
            return [("reasoning", "", "\n\n".join(texts))]
        case "function_call":
            return [("tool_call", item.name, item.arguments)]
        case "message":
            return [("text", "", "".join(part.text for part in item.content if part.type == "output_text"))]
    raise AssertionError(item)


def _usage(response: Response) -> Usage | None:
    usage = response.usage
    if usage is None:
        return None
    return Usage(
        input=usage.input_tokens,
        output=usage.output_tokens,
        cached=usage.input_tokens_details.cached_tokens,
        reasoning=usage.output_tokens_details.reasoning_tokens,
    )


def _stop(response: Response) -> StopReason:
    if response.incomplete_details and response.incomplete_details.reason:
        return REASONS[response.incomplete_details.reason]
    return "tool_calls" if any(item.type == "function_call" for item in response.output) else "end"


def typed(url: str) -> tuple[Whole, list[tuple[str, str]]]:
    """The reply as the SDK's typed stream gives it at its end, whole, and the citations that came on the way.

    The blocking client: the other one leaves its generators to the garbage collector, which trio reports.
    """
    last: ResponseStreamEvent | None = None
    cited = []
    with (
        openai.OpenAI(api_key="k", base_url=url, max_retries=0) as client,
        client.responses.create(model="m", input="hello", stream=True) as stream,
    ):
        for last in stream:
            if last.type == "response.output_text.annotation.added" and last.annotation is not None:
                assert last.annotation.type == "url_citation"
                cited.append((last.annotation.title, last.annotation.url))
    assert last is not None
    assert last.type == "response.completed" or last.type == "response.incomplete"  # noqa: PLR1714 - so mypy knows it, too
    response = last.response
    parts = tuple(part for item in response.output for part in _told(item))
    seals = tuple(
        (number, {"id": item.id, "encrypted_content": item.encrypted_content})
        for number, item in enumerate(response.output)
        if item.type == "reasoning" and item.encrypted_content
    )
    return Whole(parts, _usage(response), _stop(response), seals), cited


def _without_citations(said: Whole) -> tuple[Whole, list[tuple[str, str]]]:
    parts: list[tuple[PartKind, str, str]] = []
    for kind, name, words in said.parts:
        if kind == "text" and parts and parts[-1][0] == "text":
            parts[-1] = ("text", "", parts[-1][2] + words)
        elif kind != "citation":
            parts.append((kind, name, words))
    return evolve(said, parts=tuple(parts)), [(name, url) for kind, name, url in said.parts if kind == "citation"]


@pytest.mark.parametrize("name", REPLIES)
async def test_same_bytes_same_meaning(name: str) -> None:
    """Our deltas put together are what the vendor itself says at the end that it said."""
    decoder = ResponsesDecoder()
    ours = _without_citations(whole([*decoder.feed(body(REPLIES[name], ResponsesVoice)), *decoder.finish()]))
    async with serve([REPLIES[name]]) as server:
        assert ours == await trio.to_thread.run_sync(typed, server.url)


async def test_same_address_and_headers_as_from_the_sdk() -> None:
    """Every request goes where the SDK's own would go and says of itself what that would say; only the bytes are ours."""
    async with wired([text("hi")]) as (server, endpoint):
        await ask(endpoint)
        await ask(endpoint)
        headers = {"content-type": "application/json", "accept": "text/event-stream", "accept-encoding": "identity"}
        async with openai.AsyncOpenAI(api_key=KEY, base_url=server.url, max_retries=0, timeout=openai.Timeout(None)) as client:
            raw = server.seen[0].raw
            sent = await client.post("/responses", content=raw, cast_to=httpx2.Response, options={"headers": headers})
        assert sent.status_code == 200
        first, second, theirs = ((seen.path, seen.headers, seen.raw) for seen in server.seen)
        assert first == second == theirs
        assert first[0] == "/v1/responses"


# --- of this dialect -------------------------------------------------------------------------------------------------------------


async def test_a_conversation() -> None:
    """What a model thought and asked for goes back to it, sealed as it came, in a request that the vendor takes."""
    async with wired([RICH, Reply([Think("so ", signature="xyz"), Say("one")]), text("two")]) as (server, endpoint):
        assert (await ask(endpoint, THINKER)).stop == "tool_calls"
        said = await ask(endpoint, THINKER)
        thought = Reasoning(text="so ", vendor=dict(said.seals[0][1]))
        messages = [*HELLO.messages, Message("assistant", (thought, Text(text="one"))), *HELLO.messages]
        await ask(endpoint, evolve(THINKER, messages=messages))
        request: Any = server.seen[2].body
        valid(request)
        assert [item["type"] for item in request["input"]] == ["message", "reasoning", "message", "message"]
        assert request["input"][1]["encrypted_content"] == "xyz"
        assert request["reasoning"]["summary"] == "auto"


def unwanted(param: str | None, code: str) -> Any:
    """An error as the vendor words it."""
    message = "Your organization must be verified to generate reasoning summaries."
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


async def test_summaries_that_the_vendor_does_not_give() -> None:
    """To organisations that are not verified: the request can be repeated, and is then without; no later one asks for it."""
    dialect = ResponsesDialect("openai")
    data = Catalog().find("openai", THINKER.model)
    refused = dialect.refused("the host", 400, unwanted("reasoning.summary", "unsupported_value"))
    assert (type(refused), refused.retry_after) == (ProviderDown, 0.0)
    assert b'"summary"' not in b"".join(dialect.encode(THINKER, data))


async def test_thoughts_that_the_vendor_cannot_open() -> None:
    """Sealed with the keys of another organisation: the session must not be lost for it."""
    dialect = ResponsesDialect("openai")
    data = Catalog().find("openai", THINKER.model)
    vendor = {"provider": "openai", "model": THINKER.model, "id": "rs_1", "encrypted_content": "xyz"}
    message = Message("assistant", (Reasoning(text="hm", vendor=vendor), Text(text="x")))
    prompt = evolve(THINKER, messages=[*HELLO.messages, message, *HELLO.messages])
    assert b"xyz" in b"".join(dialect.encode(prompt, data))
    assert isinstance(dialect.refused("the host", 400, unwanted(None, "invalid_encrypted_content")), ProviderDown)
    assert b"xyz" not in b"".join(dialect.encode(prompt, data))


async def test_neither_costs_a_turn() -> None:
    """The router asks again at once, and leaves nobody alone for it."""
    refusals = [
        Fail(400, json.dumps(unwanted("reasoning.summary", "unsupported_value"))),
        Fail(400, json.dumps(unwanted(None, "invalid_encrypted_content"))),
    ]
    async with wired([*refusals, text("hi")]) as (server, endpoint):
        router = Router({"openai": endpoint}, f"openai/{THINKER.model}")
        given: list[Delta] = []
        await router.request("").drain(lambda _model, _limits: THINKER, given.extend)
        assert (whole(given).text, len(server.seen), router.circuits()) == ("hi", 3, ())
        sent: Any = server.seen[2].body
        assert "include" not in sent
        assert "summary" not in sent["reasoning"]


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        (400, unwanted("input", "invalid_value"), BadRequest),
        (401, unwanted(None, "invalid_api_key"), AuthFailed),
        (400, {"error": "no"}, BadRequest),
        (400, "no", BadRequest),
    ],
)
def test_other_errors(status: int, said: Any, expected: type[Exception]) -> None:
    """Are what they are in Chat Completions."""
    assert type(ResponsesDialect("openai").refused("the host", status, said)) is expected


async def test_models() -> None:
    async with wired([]) as (_, endpoint):
        assert [info.id for info in await endpoint.models()] == ["openai/scripted-1"]


async def test_a_host_that_speaks_another_dialect() -> None:
    """Is named."""
    async with wired([error(404, "unknown path")]) as (_, endpoint):
        with pytest.raises(BadRequest, match="unknown path"):
            await ask(endpoint)
