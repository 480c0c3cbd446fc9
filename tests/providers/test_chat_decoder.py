from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.ports import Cited, Delta, PartStart, PartText, Spent, Stop
from agentd.providers.chat_decoder import ChatDecoder
from agentwire.errors import ContextTooLong, ProviderDown, ProviderOverloaded, RateLimited
from agentwire.types import Usage
from tests.providers.scenes import RICH, Whole, body, whole


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **fields: Any) -> bytes:
    choices = [{"index": 0, "delta": delta or {}, "finish_reason": finish}]
    return b"data: " + json.dumps({"choices": choices, **fields}).encode() + b"\n\n"


def say(text: str) -> bytes:
    return chunk({"content": text})


def called(**call: Any) -> bytes:
    return chunk({"tool_calls": [call]})


STOP = chunk(finish="stop")
DONE = b"data: [DONE]\n\n"


def decode(*pieces: bytes) -> Whole:
    decoder = ChatDecoder("the host")
    deltas = [delta for piece in pieces for delta in decoder.feed(piece)]
    deltas += decoder.finish()
    assert decoder.finished
    return whole(deltas)


def test_a_feed_gives_one_text_per_part() -> None:
    """The caller's cost follows the reads, not the tokens; Stop comes last, also when usage follows the finish reason."""
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}\n\n'
    decoder = ChatDecoder()
    assert decoder.feed(say("a") + say("b") + say("c")) == [PartStart(0, "text"), PartText(0, "abc")]
    assert decoder.feed(say("d") + STOP) == [PartText(0, "d")]
    assert (decoder.complete, decoder.finished) == (True, False)
    assert decoder.feed(usage + DONE) == [Spent(Usage(input=3, output=2)), Stop("end")]
    assert decoder.finished
    assert decoder.finish() == []
    assert decoder.events == 6


def test_everything() -> None:
    """Thoughts, text in any script, parallel calls, usage; parts in order of appearance, text after a call is the same text."""
    assert decode(body(RICH)) == Whole(
        (
            ("reasoning", "", "let me see: "),
            ("text", "", "Grüße, 世界 🎉, done"),
            ("tool_call", "look", '{"at": "a b"}'),
            ("tool_call", "read", '{"n": 1}'),
        ),
        Usage(input=12, output=34, cached=5, reasoning=6),
        "tool_calls",
    )


RECORDED = {
    "rich": body(RICH),
    "error": say("one ") + say("two ") + b'data: {"error": {"message": "busy", "code": "rate_limit_exceeded"}}\r\n\r\n' + say("x"),
    "garbage": say("one ") + b": ping\n\n" + say("two ") + b"<html>\n" + say("x"),
    "cut": say("one ") + b"data: {}\n\n" + say("two ")[:-9],
    "no done": say("a") + STOP + b"data: x\n\n",
}


def outcome(pieces: list[bytes]) -> tuple[Any, ...]:
    decoder, deltas, error = ChatDecoder(), list[Delta](), ""
    try:
        for piece in pieces:
            deltas += decoder.feed(piece)
        deltas += decoder.finish()
    except (ProviderDown, RateLimited) as failure:
        error = repr(failure)
    return whole(deltas), error


@pytest.mark.parametrize("name", RECORDED)
@given(st.data())
def test_any_split_gives_the_same_reply(name: str, data: st.DataObject) -> None:
    """How the network cuts the bytes, in the middle of a character or a CRLF too, changes nothing, also not about a failure."""
    stream = RECORDED[name]
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=20))
    pieces = [stream[a:b] for a, b in pairwise([0, *sorted(cuts), len(stream)])]
    assert outcome(pieces) == outcome([stream])


def test_byte_by_byte() -> None:
    for stream in RECORDED.values():
        assert outcome([stream[i : i + 1] for i in range(len(stream))]) == outcome([stream])


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("stop", "end"),
        ("length", "length"),
        ("content_filter", "refused"),
        ("eos", "end"),
        ("max_tokens", "length"),
        ("tool_calls", "end"),
    ],
)
def test_finish_reasons(said: str, expected: str) -> None:
    """`tool_calls` without a call is an ordinary end."""
    assert decode(say("x"), chunk(finish=said), DONE).stop == expected


@pytest.mark.parametrize("said", ["stop", "tool_calls", "function_call"])
def test_calls_are_calls_whatever_the_finish_reason(said: str) -> None:
    """Ollama and others say `stop` after tool calls."""
    assert decode(called(index=0, id="a", function={"name": "n", "arguments": "{}"}), chunk(finish=said), DONE).stop == "tool_calls"


def test_refusal_is_text_and_refused() -> None:
    answer = decode(chunk({"refusal": "I cannot"}), STOP, DONE)
    assert (answer.text, answer.stop) == ("I cannot", "refused")


def test_text_after_the_finish_reason_is_ignored() -> None:
    assert decode(say("a"), STOP, say("b"), DONE, say("c")).text == "a"


def test_other_choices_are_ignored() -> None:
    other = b'data: {"choices": [{"index": 1, "delta": {"content": "no"}, "finish_reason": "stop"}]}\n\n'
    assert decode(other, say("a"), other, STOP, DONE).text == "a"


# Each was seen at a host: repeated head, whole calls under one index, no index, an object as arguments.
CALLS = {
    "pieces": [
        called(index=0, id="a", function={"name": "f", "arguments": ""}),
        called(index=0, function={"arguments": '{"x"'}),
        called(index=0, function={"arguments": ": 1}"}),
        called(index=1, id="b", type="function", function={"name": "g", "arguments": "{}"}),
    ],
    "repeated head": [
        called(index=0, id="a", function={"name": "f", "arguments": '{"x"'}),
        called(index=0, id="a", function={"name": "f", "arguments": ": 1}"}),
        called(index=1, id="b", function={"name": "g", "arguments": "{}"}),
    ],
    "whole, one index": [
        called(index=0, id="a", function={"name": "f", "arguments": '{"x": 1}'}),
        called(index=0, id="b", function={"name": "g", "arguments": "{}"}),
    ],
    "whole, no index": [
        called(function={"name": "f", "arguments": '{"x": 1}'}),
        called(function={"name": "g", "arguments": "{}"}),
    ],
    "pieces, no index": [
        called(id="a", function={"name": "f", "arguments": '{"x"'}),
        called(function={"arguments": ": 1}"}),
        called(id="b", function={"name": "g", "arguments": "{}"}),
    ],
    "interleaved": [
        called(index=0, id="a", function={"name": "f", "arguments": '{"x"'}),
        called(index=1, id="b", function={"name": "g", "arguments": "{"}),
        called(index=0, function={"arguments": ": 1}"}),
        called(index=1, id=None, function={"name": None, "arguments": "}"}),
    ],
    "other ids on the pieces": [
        called(index=0, id="a", function={"name": "f", "arguments": '{"x"'}),
        called(index=0, id="random", function={"arguments": ": 1}"}),
        called(index=1, id="b", function={"name": "g", "arguments": "{}"}),
    ],
}


@pytest.mark.parametrize("name", CALLS)
def test_tool_calls_in_every_shape(name: str) -> None:
    assert decode(*CALLS[name], STOP, DONE).parts == (("tool_call", "f", '{"x": 1}'), ("tool_call", "g", "{}"))


def test_arguments_as_an_object() -> None:
    assert decode(called(index=0, function={"name": "f", "arguments": {"x": 1}}), STOP).parts == (("tool_call", "f", '{"x":1}'),)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 3}},
        {"prompt_tokens": 9, "completion_tokens": 4, "prompt_cache_hit_tokens": 3, "completion_tokens_details": None},
        {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 3, "audio": 0}, "extra": {"a": []}},
    ],
)
@pytest.mark.parametrize("choices", [[], None])
def test_usage_in_every_shape(usage: dict[str, Any], choices: Any) -> None:
    """In a last chunk whose choices are empty or null, cached tokens where the host puts them."""
    last = b"data: " + json.dumps({"choices": choices, "usage": usage}).encode() + b"\n\n"
    assert decode(say("a"), STOP, last, DONE).usage == Usage(input=9, output=4, cached=3)


def test_null_usage_is_none() -> None:
    """OpenAI sends `usage: null` in every chunk but the last."""
    assert decode(chunk({"content": "a"}, usage=None), STOP, DONE).usage is None


# --- what goes wrong --------------------------------------------------------------------------------------------------------------


def test_end_without_finish_reason_is_a_cut() -> None:
    """With or without `[DONE]`; what came stays."""
    for pieces in ([say("a")], [say("a"), DONE], [say("a"), b'data: {"choi'], [b""], [b": ping\n\n"]):
        decoder = ChatDecoder("the host")
        for piece in pieces:
            decoder.feed(piece)
        with pytest.raises(ProviderDown, match="the host cut the reply off"):
            decoder.finish()


def test_missing_done_and_missing_blank_line_are_forgiven() -> None:
    assert decode(say("a"), STOP).stop == "end"
    assert decode(say("a"), STOP[:-1]).stop == "end"
    assert decode(say("a"), STOP, b'data: {"usa').stop == "end"


def test_error_in_the_stream() -> None:
    """The deltas before it are given; then it is raised, and again."""
    decoder = ChatDecoder("the host")
    error = b'data: {"error": {"message": "too long", "code": "context_length_exceeded"}}\n\n'
    assert decoder.feed(say("a") + error + say("b")) == [PartStart(0, "text"), PartText(0, "a")]
    assert isinstance(decoder.failed, ContextTooLong)
    with pytest.raises(ContextTooLong, match="the host reported an error in its reply: too long"):
        decoder.feed(b"x")
    with pytest.raises(ContextTooLong):
        decoder.finish()


def test_error_without_blank_line() -> None:
    with pytest.raises(RateLimited):
        decode(b'data: {"error": {"message": "busy", "code": "rate_limit_exceeded"}}\n')


def test_bare_error_object() -> None:
    """As old vLLM sends it."""
    with pytest.raises(ProviderDown, match="no room"):
        decode(b'data: {"object": "error", "message": "no room", "code": 503}\n\n')


def test_finish_reason_error() -> None:
    """As OpenRouter says that its upstream broke."""
    with pytest.raises(ProviderDown, match="broke off"):
        decode(say("a"), chunk(finish="error"))


@pytest.mark.parametrize(
    "garbage", [b"data: {]\n\n", b"data: 7\n\n", b'data: {"choices": 7}\n\n', b"data: " + b"[" * 100_000 + b"\n\n", b"HTTP\n"]
)
def test_garbage(garbage: bytes) -> None:
    with pytest.raises(ProviderDown, match="the host sent"):
        decode(say("a"), garbage)


def test_events_without_blank_lines() -> None:
    """Each line is an event, then: as many as there were, until the last."""
    lines = b"".join((say("a"), say("b"), STOP, b'data: {"choices": [], "usage": {"prompt_tokens": 3}}\n\n', DONE, say("late")))
    reply = decode(lines.replace(b"\n\n", b"\n"))
    assert (reply.text, reply.stop, reply.usage) == ("ab", "end", Usage(input=3))
    decoder = ChatDecoder()
    assert decoder.feed(say("a").replace(b"\n\n", b"\n") + say("b")) == [PartStart(0, "text"), PartText(0, "ab")]
    assert decoder.feed(say("c")) == [PartText(0, "c")]


def test_an_error_without_blank_lines() -> None:
    """What came before it counts, and it has its class."""
    error = b'data: {"error": {"message": "busy", "code": "rate_limit_exceeded"}}\n\n'
    decoder = ChatDecoder()
    assert decoder.feed(say("a").replace(b"\n\n", b"\n") + error) == [PartStart(0, "text"), PartText(0, "a")]
    assert isinstance(decoder.failed, RateLimited)


@pytest.mark.parametrize("second", [b"data: {]\n\n", b"data: 7\n\n"])
def test_lines_of_which_one_is_garbage(second: bytes) -> None:
    with pytest.raises(ProviderDown, match="no chat completion chunk") as caught:
        decode(say("a").replace(b"\n\n", b"\n") + second)
    assert type(caught.value) is ProviderDown


def test_a_document_over_several_lines() -> None:
    """The blank line ends the event, as it should be."""
    assert decode(say("a").replace(b'"delta"', b'\ndata: "delta"'), STOP).text == "a"


def test_garbage_after_the_finish_reason_costs_nothing() -> None:
    """The reply is whole: it must not be asked for again."""
    assert decode(say("a"), STOP, b"<html>\n").stop == "end"
    assert decode(say("a"), STOP + b'data: {"error": "late"}\n\n').stop == "end"


def test_too_long_a_line() -> None:
    with pytest.raises(ProviderDown, match="line longer than 8 MiB"):
        decode(b"data: ", *[b"x" * 1024 * 1024] * 9)


@pytest.mark.parametrize("bad", [b"\xff\xfe", b"\xe4\xb8", b"\\ud83c"])
def test_invalid_utf8_and_lone_surrogates_are_replaced(bad: bytes) -> None:
    """The rest of the chunk is kept, and the text can be encoded."""
    text = decode(b'data: {"choices": [{"delta": {"content": "a%bz"}}]}\n\n' % bad, STOP).text
    assert (text[0], text[-1]) == ("a", "z")
    assert text.encode()


# --- sources and seals ---------------------------------------------------------------------------------------------------------


def cited(*urls: str, **fields: Any) -> dict[str, Any]:
    return {"annotations": [{"type": "url_citation", "url_citation": {"url": url, "title": url[-1], **fields}} for url in urls]}


def test_sources_come_once_and_behind_their_words() -> None:
    """Some hosts send with each chunk all that they sent before; text that goes on is another part; what names no page is none."""
    other = {"annotations": [{"type": "file_citation", "file": "x"}, {"type": "url_citation", "url_citation": {}}]}
    reply = decode(
        chunk({"content": "It rains."}),
        chunk({"content": "", **cited("https://x/a")}),
        chunk({"content": " Take care.", **cited("https://x/a", "https://x/b")}),
        chunk(other),
        chunk({}, "stop"),
        DONE,
    )
    assert [(kind, text) for kind, _, text in reply.parts] == [
        ("text", "It rains."),
        ("citation", "https://x/a"),
        ("text", " Take care."),
        ("citation", "https://x/b"),
    ]


def test_a_source_s_own_words_are_cut() -> None:
    """OpenRouter sends pages of them."""
    [delta] = ChatDecoder().feed(chunk(cited("https://x/a", content="w" * 9000)))
    assert isinstance(delta, Cited)
    assert len(delta.citation.quote) == 500


def test_sources_in_the_whole_message() -> None:
    """Some hosts have them only where they repeat the whole message at the end."""
    choice = {"index": 0, "delta": {}, "message": {"content": "Rain.", **cited("https://x/a")}, "finish_reason": "stop"}
    last = b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"
    reply = decode(chunk({"content": "Rain."}), last, DONE)
    assert [(kind, text) for kind, _, text in reply.parts] == [("text", "Rain."), ("citation", "https://x/a")]


def test_reasoning_is_sealed_once() -> None:
    decoder = ChatDecoder("the host", {"provider": "deepseek"})
    pieces = [chunk({"reasoning_content": "a"}), chunk({"reasoning_content": "b"}), chunk({"content": "c"}, "stop"), DONE]
    reply = whole([delta for piece in pieces for delta in decoder.feed(piece)])
    assert reply.seals == ((0, {"provider": "deepseek"}),)


# --- shapes that other hosts send -------------------------------------------------------------------------------------------------


def test_contents_in_pieces() -> None:
    """Mistral's: text and thoughts as lists."""
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    pieces = [thought, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}, {"type": "image"}]
    assert decode(chunk({"content": pieces}), say("c"), STOP, DONE).parts == (("reasoning", "", "hm"), ("text", "", "abc"))


def test_numbers_and_lists_where_others_stand() -> None:
    """Ids as numbers, tokens in fractions, no details as an empty list, NaN where nobody looks."""
    used = {"prompt_tokens": 3.0, "completion_tokens": 2.0, "prompt_tokens_details": [], "completion_tokens_details": []}
    call = called(index=0, id=7, function={"name": "f", "arguments": "{}"})
    odd = b'data: {"choices": [{"index": 0, "delta": {"content": "x"}, "logprobs": NaN}], "score": Infinity}\n\n'
    reply = decode(odd, call, chunk(finish="tool_calls", usage=used), DONE)
    assert reply.parts == (("text", "", "x"), ("tool_call", "f", "{}"))
    assert reply.usage == Usage(input=3, output=2)


def test_whole_calls_without_ids_under_one_index() -> None:
    """Gemini's: a named delta behind a call that is whole is another call; behind half a call it is the same again."""
    whole_call = called(index=0, id="", function={"name": "f", "arguments": '{"a": 1}'})
    other = called(index=0, id="", function={"name": "g", "arguments": "{}"})
    assert decode(whole_call, other, STOP, DONE).parts == (("tool_call", "f", '{"a": 1}'), ("tool_call", "g", "{}"))
    halves = [called(index=0, id="", function={"name": "f", "arguments": half}) for half in ('{"a"', ": 1}")]
    assert decode(*halves, STOP, DONE).parts == (("tool_call", "f", '{"a": 1}'),)


@pytest.mark.parametrize(
    ("word", "error"),
    [("abort", ProviderDown), ("error", ProviderDown), ("insufficient_system_resource", ProviderOverloaded)],
)
def test_words_for_a_reply_that_is_not_whole(word: str, error: type[ProviderDown]) -> None:
    """Half an answer is not passed for one."""
    with pytest.raises(error, match="broke off the reply") as caught:
        decode(say("so"), chunk(finish=word), DONE)
    assert type(caught.value) is error


def test_length_in_other_words() -> None:
    assert decode(say("so"), chunk(finish="model_length"), DONE).stop == "length"


def test_last_line_without_its_end() -> None:
    """It counts if it is whole; half of it is a cut."""
    assert decode(say("a"), STOP, DONE.rstrip()).stop == "end"
    assert decode(say("a"), STOP.rstrip()).stop == "end"
    with pytest.raises(ProviderDown, match="cut the reply off"):
        decode(say("a"), STOP[:-10])
