"""Our decoder beside the SDK's own typed stream: the same bytes mean the same to both."""

from __future__ import annotations

import httpx2
import openai
import pytest
import trio
from openai.types.chat import ChatCompletionMessageParam
from openai.types.chat.chat_completion_chunk import ChoiceDelta
from openai.types.completion_usage import CompletionUsage

from agentd.providers.chat_decoder import ChatDecoder
from agentwire.types import StopReason, Usage
from tests.fakes.model_script import Call, Event, Raw, Reply, Say, Spend, Think, Tokens
from tests.fakes.model_server import serve
from tests.providers.scenes import KEY, RICH, Whole, ask, body, whole, wired

REPLIES = {
    "plain": Reply([Say('Grüße, 世界 🎉 and "quotes"\n\ttoo')]),
    "many": Reply([Tokens(300)]),
    "rich": RICH,
    "calls": Reply([Call("f", {"a": [1, {"b": None}]}, pieces=7), Call("g", "{}"), Call("h", "", pieces=1)]),
    "thoughts": Reply([Think("a b c"), Say("d")]),
    "length": Reply([Say("cut sho")], finish="length"),
    "filtered": Reply([Say("so")], finish="content_filter"),
    "no usage": Reply([Say("x")], usage=None),
    "cached": Reply([Say("x")], usage=Spend(input=100, output=1, cached=90, reasoning=1)),
    "comments": Reply([Raw(b": ping\r\n\r\n"), Say("x"), Raw(b"event: message\n"), Say("y"), Raw(b":\n\n")]),
    "split": Reply([Raw(b'data: {"choices":[{"index":0,"del'), Raw(b'ta":{"content":"a\xc3'), Raw(b'\xa9"}}]}\r'), Raw(b"\n\r\n")]),
    "escapes": Reply([Event({"choices": [{"index": 0, "delta": {"content": "\u2028\ud83c\udf89 \\ \u0000"}}]})]),
}

REASONS: dict[str, StopReason] = {"stop": "end", "length": "length", "content_filter": "refused", "tool_calls": "tool_calls"}


def _usage(usage: CompletionUsage) -> Usage:
    inputs, outputs = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(
        input=usage.prompt_tokens,
        output=usage.completion_tokens,
        cached=(inputs and inputs.cached_tokens) or 0,
        reasoning=(outputs and outputs.reasoning_tokens) or 0,
    )


def _add(parts: dict[str, tuple[str, str]], delta: ChoiceDelta) -> None:
    for kind, text in (("reasoning", getattr(delta, "reasoning_content", None)), ("text", delta.content)):
        if text:
            parts[kind] = ("", parts.get(kind, ("", ""))[1] + text)
    for call in delta.tool_calls or ():
        assert call.function is not None
        name, text = parts.get(f"tool_call {call.index}", (call.function.name or "", ""))
        parts[f"tool_call {call.index}"] = (name, text + (call.function.arguments or ""))


def typed(url: str) -> Whole:
    """The reply as the SDK's typed stream gives it, put together the way its documentation shows.

    The blocking client: the other one leaves its generators to the garbage collector, which trio reports.
    """
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]
    parts: dict[str, tuple[str, str]] = {}
    usage, stop = None, None
    with (
        openai.OpenAI(api_key="k", base_url=url, max_retries=0) as client,
        client.chat.completions.create(model="m", messages=messages, stream=True) as stream,
    ):
        for chunk in stream:
            usage = _usage(chunk.usage) if chunk.usage else usage
            for choice in chunk.choices:
                _add(parts, choice.delta)
                stop = getattr(choice, "finish_reason", None) or stop
    told = tuple((kind.partition(" ")[0], name, text) for kind, (name, text) in parts.items())
    return Whole(told, usage, REASONS[stop] if stop else None)  # type: ignore[arg-type] # the first word is a PartKind


@pytest.mark.parametrize("name", REPLIES)
async def test_same_bytes_same_meaning(name: str) -> None:
    decoder = ChatDecoder()
    ours = whole([*decoder.feed(body(REPLIES[name])), *decoder.finish()])
    async with serve([REPLIES[name]]) as server:
        assert ours == await trio.to_thread.run_sync(typed, server.url)


async def test_same_address_and_headers_as_from_the_sdk() -> None:
    """Every request goes where the SDK's own would go and says of itself what that would say; only the bytes are ours."""
    async with wired([REPLIES["plain"]]) as (server, provider):
        await ask(provider)
        await ask(provider)
        headers = {"content-type": "application/json", "accept": "text/event-stream", "accept-encoding": "identity"}
        timeout = openai.Timeout(None, connect=1)
        async with openai.AsyncOpenAI(api_key=KEY, base_url=server.url, max_retries=0, timeout=timeout) as client:
            raw = server.seen[0].raw
            sent = await client.post("/chat/completions", content=raw, cast_to=httpx2.Response, options={"headers": headers})
        assert sent.status_code == 200
        first, second, theirs = ((seen.path, seen.headers, seen.raw) for seen in server.seen)
        assert first == second == theirs
