from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.ports import Delta, PartStart, PartText, Spent, Stop
from agentd.providers.dialect import Listed
from agentd.providers.ollama_dialect import OllamaDecoder, OllamaDialect, refused
from agentwire.errors import (
    AuthFailed,
    BadRequest,
    ContextTooLong,
    OutOfCredit,
    ProviderDown,
    ProviderError,
    ProviderOverloaded,
    RateLimited,
)
from agentwire.types import Usage
from tests.fakes.model_script import Broken, Reply, Say
from tests.fakes.voices.ollama import OllamaVoice
from tests.providers.scenes import RICH, Whole, body, whole


def line(message: dict[str, Any] | None = None, **fields: Any) -> bytes:
    return json.dumps({"message": {"role": "assistant", **(message or {})}, "done": False, **fields}).encode() + b"\n"


def say(text: str) -> bytes:
    return line({"content": text})


def called(name: str, arguments: Any) -> bytes:
    return line({"content": "", "tool_calls": [{"function": {"name": name, "arguments": arguments}}]})


END = line({"content": ""}, done=True, done_reason="stop", prompt_eval_count=3, eval_count=2)


def decode(*pieces: bytes) -> Whole:
    decoder = OllamaDecoder("the host")
    deltas = [delta for piece in pieces for delta in decoder.feed(piece)]
    deltas += decoder.finish()
    assert decoder.finished
    return whole(deltas)


def test_a_feed_gives_one_text_per_part() -> None:
    """The caller's cost follows the reads, not the tokens; usage and Stop come with the last line."""
    decoder = OllamaDecoder("the host")
    assert decoder.feed(say("a") + say("b") + say("c")) == [PartStart(0, "text"), PartText(0, "abc")]
    assert (decoder.complete, decoder.finished) == (False, False)
    assert decoder.feed(say("d") + END) == [PartText(0, "d"), Spent(Usage(input=3, output=2)), Stop("end")]
    assert (decoder.complete, decoder.finished) == (True, True)
    assert decoder.finish() == []
    assert decoder.events == 5


def test_everything() -> None:
    """Thoughts, text in any script, whole calls, usage; parts in order of appearance, text after a call is the same text."""
    assert decode(body(RICH, OllamaVoice)) == Whole(
        (
            ("reasoning", "", "let me see: "),
            ("text", "", "Grüße, 世界 🎉, done"),
            ("tool_call", "look", '{"at":"a b"}'),
            ("tool_call", "read", '{"n":1}'),
        ),
        Usage(input=12, output=34),
        "tool_calls",
    )


RECORDED = {
    "rich": body(RICH, OllamaVoice),
    "error": body(Reply([Say("one two "), Broken("an error was encountered while running the model"), Say("x")]), OllamaVoice),
    "garbage": say("one ") + b"\n\r\n" + say("two ") + b"<html>\n" + say("x"),
    "foreign": say("one ") + b'{"choices": []}\n',
    "cut": say("one ") + say("two ")[:-9],
    "no last newline": say("a") + END[:-1],
    "more": say("a") + END + b"garbage\n",
}


def outcome(pieces: list[bytes]) -> tuple[Any, ...]:
    decoder, deltas, error = OllamaDecoder("the host"), list[Delta](), ""
    try:
        for piece in pieces:
            deltas += decoder.feed(piece)
        deltas += decoder.finish()
    except ProviderDown as failure:
        error = repr(failure)
    return whole(deltas), error


@pytest.mark.parametrize("name", RECORDED)
@given(st.data())
def test_any_split_gives_the_same_reply(name: str, data: st.DataObject) -> None:
    """How the network cuts the bytes, in the middle of a character too, changes nothing, also not about a failure."""
    stream = RECORDED[name]
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=20))
    pieces = [stream[a:b] for a, b in pairwise([0, *sorted(cuts), len(stream)])]
    assert outcome(pieces) == outcome([stream])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("error", "one two ", "an error was encountered"),
        ("garbage", "one two ", "no line of a reply: '<html>'"),
        ("foreign", "one ", "cut the reply off"),
        ("cut", "one ", "cut the reply off"),
        ("no last newline", "a", ""),
        ("more", "a", ""),
    ],
)
def test_what_ends_a_reply(name: str, text: str, said: str) -> None:
    """What came before a failure is not lost; what comes after the end is nobody's business."""
    reply, error = outcome([RECORDED[name]])
    assert reply.text == text
    assert said in error
    assert bool(said) == bool(error)


def test_a_reply_without_its_last_line_was_cut() -> None:
    assert "cut the reply off" in outcome([say("half")])[1]


def test_a_line_without_end() -> None:
    decoder = OllamaDecoder("the host")
    assert decoder.feed(say("a") + b"x" * (9 << 20)) == [PartStart(0, "text"), PartText(0, "a")]
    assert "longer than 8 MiB" in str(decoder.failed)
    with pytest.raises(ProviderDown, match="8 MiB"):
        decoder.feed(say("b"))


def test_pings_are_no_events() -> None:
    decoder = OllamaDecoder("the host")
    assert decoder.feed(b"\n\n \n") == []
    assert decoder.events == 0


@pytest.mark.parametrize(
    ("said", "expected"), [("stop", "end"), ("length", "length"), ("load", "end"), ("unload", "end"), (None, "end")]
)
def test_done_reasons(said: str | None, expected: str) -> None:
    assert decode(say("x"), line(done=True, done_reason=said)).stop == expected


def test_calls_are_calls_whatever_the_done_reason() -> None:
    """It says `stop` after tool calls; but a reply that was too long is that."""
    assert decode(called("n", {}), END).stop == "tool_calls"
    assert decode(called("n", {}), line(done=True, done_reason="length")).stop == "length"


@pytest.mark.parametrize("arguments", [{"a": [1, {"b": "é"}]}, '{"a": 1}', "not json", [1], None])
def test_arguments_stay_as_the_model_gave_them(arguments: Any) -> None:
    """An object as JSON; a text, which some models give, as that text; nothing as no arguments."""
    (_, _, said), *_ = decode(called("n", arguments), END).parts
    assert said == arguments if isinstance(arguments, str) else json.loads(said) == ({} if arguments is None else arguments)


def test_usage_may_be_missing() -> None:
    """A prompt that was in the cache as a whole is not counted by old versions."""
    assert decode(say("x"), line(done=True)).usage == Usage()


def test_invalid_utf8_is_replaced() -> None:
    assert decode(say("a?").replace(b"?", b"\xff"), END).text == "a\ufffd"
    assert decode(b'{"message": {"content": "\\ud800"}}\n', END).text == "?"


# --- errors ----------------------------------------------------------------------------------------------------------------------

TOO_LONG = json.dumps(
    {
        "error": {
            "code": 400,
            "message": "request (2622 tokens) exceeds the available context size (512 tokens), try increasing it",
            "type": "exceed_context_size_error",
        }
    }
)


@pytest.mark.parametrize(
    ("status", "said", "cls", "shown"),
    [
        (404, "model 'llama9' not found", BadRequest, "agentctl model pull ollama/llama9"),
        (404, 'model "org/x:7b" not found, try pulling it first', BadRequest, "agentctl model pull ollama/org/x:7b"),
        (404, "404 page not found", BadRequest, "page not found"),
        (503, "server busy, please try again.  maximum pending requests exceeded", ProviderOverloaded, "too much to do"),
        (None, "server busy, please try again", ProviderOverloaded, "too much to do"),
        (500, "llama runner process has terminated: exit status 2", ProviderDown, "runner process"),
        (500, "model requires more system memory (5.6 GiB) than is available (3.2 GiB)", ProviderDown, "5.6 GiB"),
        (400, "the input length exceeds the context length", ContextTooLong, "context length"),
        (400, TOO_LONG, ContextTooLong, "2622 tokens"),
        (None, TOO_LONG, ContextTooLong, "2622 tokens"),
        (400, '"x" does not support tools', BadRequest, 'tools = "emulated"'),
        (400, '"x" does not support thinking', BadRequest, "does not support thinking"),
        (400, "{not json", BadRequest, "{not json"),
        (401, "unauthorized", AuthFailed, "Check the API key"),
        (402, "payment required", OutOfCredit, "credit"),
        (429, "you have reached your hourly usage limit", RateLimited, "hourly"),
        (502, {"message": "upstream"}, ProviderDown, "upstream"),
    ],
)
def test_errors(status: int | None, said: object, cls: type[ProviderError], shown: str) -> None:
    """What each means, and what to do about it."""
    error = refused("the host", status, {"error": said})
    assert type(error) is cls
    assert shown in error.message
    assert "the host" in error.message


@pytest.mark.parametrize("body", ["<html>", None, [], {}, {"error": None}])
def test_answers_of_something_else(body: object) -> None:
    assert isinstance(OllamaDialect().refused("the host", 500, body), ProviderDown)


def test_how_long_to_wait() -> None:
    assert refused("the host", 503, {"error": "server busy"}, retry_after=7).retry_after == 7


# --- the rest of the dialect -----------------------------------------------------------------------------------------------------


def test_models() -> None:
    """With their sizes; newer versions say how long a context they were trained for, and what they can."""
    details = {"parameter_size": "3.2B", "quantization_level": "Q4_K_M", "context_length": 131072, "families": None}
    able = ["completion", "tools", "thinking"]
    entries = [
        {"name": "llama3.2:latest", "size": 2019393189, "details": details},
        {"name": "x", "details": {}, "capabilities": able},
        {"name": "y"},
    ]
    assert OllamaDialect().listed(json.dumps({"models": entries}).encode()) == [
        Listed(name="llama3.2:latest", note="3.2B Q4_K_M, 2.0 GB, up to 131,072 tokens"),
        Listed(name="x", note="tools, thinking"),
        Listed(name="y"),
    ]
    with pytest.raises(ValueError, match="models"):
        OllamaDialect().listed(b'{"data": []}')


@pytest.mark.parametrize("key", ["", "secret"])
async def test_the_head_of_requests(key: str) -> None:
    """Where they go, and a key if there is one."""
    asked: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(200)

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
        await OllamaDialect().rehearse()(http, "http://gpu.example:11434/", key, {"x-team": "a"})
    (request,) = asked
    assert (request.method, str(request.url)) == ("POST", "http://gpu.example:11434/api/chat")
    assert request.headers.get("authorization") == (f"Bearer {key}" if key else None)
    assert (request.headers["content-type"], request.headers["x-team"]) == ("application/json", "a")
