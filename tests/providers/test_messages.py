"""The Messages dialect behind its endpoint: beside the SDK's own typed stream, and what only this dialect has to deal with."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import httpx2
import pytest
import trio
from anthropic.types import ContentBlock, Message, TextCitation

from agentd.providers.catalog import Catalog
from agentd.providers.connections import Connections
from agentd.providers.endpoint import Endpoint
from agentd.providers.messages_decoder import MessagesDecoder
from agentd.providers.messages_dialect import MessagesDialect
from agentwire.config import ProviderConfig, Timeouts
from agentwire.errors import AuthFailed, ContextTooLong, OutOfCredit, ProviderOverloaded
from agentwire.types import PartKind, StopReason, Usage
from tests.fakes.model_script import Answer, Broken, Call, Cite, Event, Raw, Redacted, Reply, Say, Spend, Think, Tokens, error, text
from tests.fakes.model_server import ScriptedModelServer, serve
from tests.fakes.voices.messages import MessagesVoice
from tests.providers.scenes import KEY, RICH, Whole, ask, body, whole


@asynccontextmanager
async def wired(script: Sequence[Answer], key: str = KEY) -> AsyncIterator[tuple[ScriptedModelServer, Endpoint]]:
    """A server that plays `script` and an endpoint that talks to it."""
    async with serve(script) as server:
        config = ProviderConfig(dialect="anthropic", api_keys=(key,) if key else (), base_url=server.base)
        endpoint = Endpoint("anthropic", MessagesDialect("anthropic"), config, Timeouts(), Catalog())
        try:
            yield server, endpoint
        finally:
            await endpoint.aclose()


# --- beside the SDK --------------------------------------------------------------------------------------------------------------


def _begin(index: int, **block: object) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def _delta(index: int, words: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": words}}


REPLIES = {
    "plain": Reply([Say('Grüße, 世界 🎉 and "quotes"\n\ttoo')]),
    "many": Reply([Tokens(300)]),
    "rich": RICH,
    "calls": Reply([Call("f", {"a": [1, {"b": None}]}, pieces=7), Call("g", "{}"), Call("h", "", pieces=1)]),
    "thoughts": Reply([Think("a b ", signature="s1"), Think("", signature="s2"), Redacted("r"), Say("d")]),
    "citations": Reply([Say("a b "), Cite("https://a.test", "A"), Say("c"), Cite("https://b.test", "B")]),
    "length": Reply([Say("cut sho")], finish="length"),
    "filtered": Reply([Say("so")], finish="content_filter"),
    "cached": Reply([Say("x")], usage=Spend(input=100, output=1, cached=90, reasoning=1)),
    "comments": Reply([Raw(b": ping\r\n\r\n"), Say("x"), Raw(b'event: ping\ndata: {"type": "ping"}\n\n'), Say("y"), Raw(b":\n\n")]),
    "escapes": Reply([Say("x"), Event(_delta(0, "\u2028 \0"))]),
    "server tools": Reply(
        [
            Event(_begin(0, type="server_tool_use", id="s", name="web_search", input={})),
            Event({"type": "content_block_stop", "index": 0}),
            Event(_begin(1, type="text", text="")),
            Event(_delta(1, "found")),
            Event({"type": "content_block_stop", "index": 1}),
        ]
    ),
}

REASONS: dict[str, StopReason] = {"end_turn": "end", "max_tokens": "length", "refusal": "refused", "tool_use": "tool_calls"}
SEAL = {"provider": "anthropic", "model": "m"}


def _parts(block: ContentBlock) -> Iterator[tuple[PartKind, str, str]]:
    match block.type:
        case "text":
            yield ("text", "", block.text)
            yield from (("citation", *_cited(citation)) for citation in block.citations or ())
        case "thinking":
            yield ("reasoning", "", block.thinking)
        case "redacted_thinking":
            yield ("reasoning", "", "")
        case "tool_use":
            yield ("tool_call", block.name, json.dumps(block.input))


def _cited(citation: TextCitation) -> tuple[str, str]:
    assert citation.type == "web_search_result_location"
    return citation.title or "", citation.url


def _seals(message: Message) -> Iterator[tuple[int, dict[str, str]]]:
    parts = [(block, part) for block in message.content for part in _parts(block)]
    for number, (block, _) in enumerate(parts):
        if block.type == "thinking" and block.signature:
            yield number, SEAL | {"signature": block.signature}
        elif block.type == "redacted_thinking":
            yield number, SEAL | {"data": block.data}


def typed(url: str) -> Whole:
    """The reply as the SDK's typed stream has put it together at its end.

    The blocking client: the other one leaves its generators to the garbage collector, which trio reports.
    """
    with (
        anthropic.Anthropic(api_key="k", base_url=url, max_retries=0) as client,
        client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "hello"}]) as stream,
    ):
        message = stream.get_final_message()
    usage, details = message.usage, message.usage.output_tokens_details
    cached = usage.cache_read_input_tokens or 0
    spent = Usage(
        input=usage.input_tokens + (usage.cache_creation_input_tokens or 0) + cached,
        output=usage.output_tokens,
        cached=cached,
        reasoning=details.thinking_tokens if details else 0,
    )
    parts = tuple(part for block in message.content for part in _parts(block))
    return Whole(parts, spent, REASONS[message.stop_reason or ""], tuple(_seals(message)))


@pytest.mark.parametrize("name", REPLIES)
async def test_same_bytes_same_meaning(name: str) -> None:
    """Our deltas put together are what the vendor's own library makes of them."""
    decoder = MessagesDecoder(seal=SEAL)
    ours = whole([*decoder.feed(body(REPLIES[name], MessagesVoice)), *decoder.finish()])
    parts = tuple((kind, word, json.dumps(json.loads(text)) if kind == "tool_call" else text) for kind, word, text in ours.parts)
    async with serve([REPLIES[name]]) as server:
        theirs = await trio.to_thread.run_sync(typed, server.base)
    assert (parts, ours.usage, ours.stop, ours.seals) == (theirs.parts, theirs.usage, theirs.stop, theirs.seals)


@pytest.mark.parametrize("error_type", ["overloaded_error", "rate_limit_error", "api_error"])
async def test_same_errors_in_the_stream(error_type: str) -> None:
    """Both stop there, and name the same type."""
    broken = Reply([Say("half "), Broken("busy", error_type)])
    decoder = MessagesDecoder()
    decoder.feed(body(broken, MessagesVoice))
    assert decoder.failed is not None and "busy" in str(decoder.failed)
    async with serve([broken]) as server:
        with pytest.raises(anthropic.APIStatusError) as caught:
            await trio.to_thread.run_sync(typed, server.base)
    assert caught.value.type == error_type


async def test_same_address_and_headers_as_from_the_sdk() -> None:
    """Every request goes where the SDK's own would go and says of itself what that would say; only the bytes are ours."""
    async with wired([text("hi")]) as (server, endpoint):
        await ask(endpoint)
        await ask(endpoint)
        known = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
        headers = {"content-type": "application/json", "accept": "text/event-stream", "accept-encoding": "identity"}
        async with anthropic.AsyncAnthropic(api_key=KEY, base_url=server.base, max_retries=0, default_headers=known) as client:
            raw = server.seen[0].raw
            sent = await client.post("/v1/messages", content=raw, cast_to=httpx2.Response, options={"headers": headers})
        assert sent.status_code == 200
        first, second, theirs = ((seen.path, dict(seen.headers), seen.raw) for seen in server.seen)
        for name in ("x-stainless-timeout", "x-stainless-read-timeout"):  # how long the SDK would wait: it is not who waits
            theirs[1].pop(name, None)
        assert first == second == theirs


# --- which host it is ------------------------------------------------------------------------------------------------------------


def test_the_vendors_own_host() -> None:
    """Gets what its SDK says: the key as a bearer's, and the version of the API that the SDK is made for."""
    seen: list[httpx2.Request] = []
    rehearse = MessagesDialect("anthropic").rehearse()

    async def ask_once() -> None:
        def answer(request: httpx2.Request) -> httpx2.Response:
            seen.append(request)
            return httpx2.Response(200, content=b"")

        async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
            await rehearse(http, MessagesDialect.base, KEY, {"anthropic-beta": "fine-2026-01-01"})

    trio.run(ask_once)
    (request,) = seen
    assert str(request.url) == "https://api.anthropic.com/v1/messages"
    assert (request.headers["authorization"], request.headers["anthropic-beta"]) == (f"Bearer {KEY}", "fine-2026-01-01")
    assert "x-api-key" not in request.headers
    assert request.headers["anthropic-version"] > "2023-06-01"


async def test_other_hosts_get_the_key_twice() -> None:
    """Those that are made for older SDKs look for `x-api-key`; one without any key gets a word in its place."""
    async with wired([text("hi")], key="") as (server, endpoint):
        assert (await ask(endpoint)).text == "hi"
        assert await endpoint.models()
        headers = server.seen[0].headers
    assert (headers["authorization"], headers["x-api-key"], headers["anthropic-version"]) == ("Bearer none", "none", "2023-06-01")


async def test_without_a_key() -> None:
    """The vendor's own host is not asked at all, and it is said what to set."""
    endpoint = Endpoint("anthropic", MessagesDialect("anthropic"), ProviderConfig(dialect="anthropic"), Timeouts(), Catalog())
    assert endpoint.status() == ("unavailable", "no ANTHROPIC_API_KEY")
    with pytest.raises(AuthFailed, match="Set ANTHROPIC_API_KEY"):
        await ask(endpoint)


def test_what_the_environment_says_to_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration decides about keys and addresses, not what the SDK would find by itself."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-other")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token-other")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://other.test")
    connections = Connections("http://127.0.0.1:9", [KEY], {}, MessagesDialect("anthropic").rehearse(), 1.0)
    trio.run(connections.aclose)
    assert "other" not in repr(connections._asking)


# --- errors over the wire --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (error(400, "Your credit balance is too low to access the Anthropic API.", kind="invalid_request_error"), OutOfCredit),
        (error(413, kind="request_too_large"), ContextTooLong),
        (error(529, kind="overloaded_error"), ProviderOverloaded),
        (Reply([Broken("Overloaded", "overloaded_error")]), ProviderOverloaded),
    ],
)
async def test_errors(answer: Answer, expected: type[Exception]) -> None:
    async with wired([answer]) as (_, endpoint):
        with pytest.raises(expected):
            await ask(endpoint)
