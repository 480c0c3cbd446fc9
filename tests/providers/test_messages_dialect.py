from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.ports import Cited, Delta, Message, PartStart, PartText, Prompt, Sealed, Spent, Stop
from agentd.providers.catalog import ModelData
from agentd.providers.dialect import Listed
from agentd.providers.messages_decoder import MessagesDecoder
from agentd.providers.messages_dialect import MessagesDialect
from agentwire.errors import BadRequest, ContextTooLong, ProviderDown, ProviderError, ProviderOverloaded, RateLimited
from agentwire.types import Citation, Reasoning, Text, Usage
from tests.fakes.model_script import Call, Cite, Redacted, Reply, Say, Spend, Think
from tests.fakes.voices.messages import MessagesVoice
from tests.providers.scenes import RICH, Whole, body, whole

SEAL = {"provider": "anthropic", "model": "m"}


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def begin(index: int = 0, kind: str = "text", **fields: Any) -> bytes:
    return event("content_block_start", index=index, content_block={"type": kind, **fields})


def more(index: int = 0, **delta: Any) -> bytes:
    return event("content_block_delta", index=index, delta=delta)


def say(text: str, index: int = 0) -> bytes:
    return more(index, type="text_delta", text=text)


def end(index: int = 0) -> bytes:
    return event("content_block_stop", index=index)


def stop(reason: str = "end_turn", **usage: int) -> bytes:
    return event("message_delta", delta={"stop_reason": reason}, usage=usage)


START = event("message_start", message={"usage": {"input_tokens": 3, "output_tokens": 1}})
PING = event("ping")
LAST = event("message_stop")


def decode(*pieces: bytes, seam: str = "") -> Whole:
    decoder = MessagesDecoder("the host", seal=SEAL, seam=seam)
    deltas = [delta for piece in pieces for delta in decoder.feed(piece)]
    deltas += decoder.finish()
    assert decoder.finished
    return whole(deltas)


# --- a reply -------------------------------------------------------------------------------------------------------------------


def test_a_feed_gives_one_text_per_part() -> None:
    """The caller's cost follows the reads, not the tokens; usage comes as soon as it is known; a ping is no event."""
    decoder = MessagesDecoder()
    assert decoder.feed(START + PING + begin()) == [Spent(Usage(input=3, output=1))]
    assert decoder.feed(say("a") + say("b") + PING + say("c")) == [PartStart(0, "text"), PartText(0, "abc")]
    assert decoder.feed(say("d") + end()) == [PartText(0, "d")]
    assert (decoder.complete, decoder.finished, decoder.events) == (False, False, 7)
    assert decoder.feed(stop(output_tokens=9)) == [Spent(Usage(input=3, output=9))]
    assert (decoder.complete, decoder.finished) == (True, False)
    assert decoder.feed(LAST) == [Stop("end")]
    assert decoder.finish() == []


def test_everything() -> None:
    """Thoughts, text in any script, parallel calls, usage: each block is a part of its own."""
    assert decode(body(RICH, MessagesVoice)) == Whole(
        (
            ("reasoning", "", "let me see: "),
            ("text", "", "Grüße, 世界 🎉, "),
            ("tool_call", "look", '{"at": "a b"}'),
            ("tool_call", "read", '{"n": 1}'),
            ("text", "", "done"),
        ),
        Usage(input=12, output=34, cached=5, reasoning=6),
        "tool_calls",
    )


def test_thoughts_are_sealed() -> None:
    """A signature may come in pieces, a thought without text, or as data that only the vendor reads; all know whose they are."""
    decoder = MessagesDecoder(seal=SEAL)
    signed = begin(0, "thinking", thinking="", signature="") + more(0, type="thinking_delta", thinking="hm")
    signed += more(0, type="signature_delta", signature="ab") + more(0, type="signature_delta", signature="cd") + end(0)
    hidden = begin(1, "thinking", thinking="", signature="xy") + end(1) + begin(2, "redacted_thinking", data="E==") + end(2)
    assert decoder.feed(signed + hidden) == [
        PartStart(0, "reasoning"),
        PartText(0, "hm"),
        PartStart(1, "reasoning"),
        PartStart(2, "reasoning"),
        Sealed(0, {**SEAL, "signature": "abcd"}),
        Sealed(1, {**SEAL, "signature": "xy"}),
        Sealed(2, {**SEAL, "data": "E=="}),
    ]


def test_a_thought_that_broke_off_has_no_seal() -> None:
    decoder = MessagesDecoder(seal=SEAL)
    deltas = decoder.feed(begin(0, "thinking") + more(type="thinking_delta", thinking="hm") + more(signature="ab"))
    assert deltas == [PartStart(0, "reasoning"), PartText(0, "hm")]


def test_citations_stand_behind_their_text() -> None:
    """Wherever they come in the stream; each is a part, with what the vendor says of it."""
    page = {"type": "page_location", "cited_text": "so be it", "document_title": "Rules", "start_page_number": 1}
    found = {"type": "search_result_location", "cited_text": "yes", "source": "https://b.test", "title": "B"}
    pieces = [begin(), more(citation=page), say("It is so. "), more(citation=found), end(), begin(1), say("Next.", 1), end(1)]
    decoder = MessagesDecoder()
    assert decoder.feed(b"".join(pieces)) == [
        PartStart(0, "text"),
        PartText(0, "It is so. "),
        Cited(1, Citation(title="Rules", quote="so be it")),
        Cited(2, Citation(url="https://b.test", title="B", quote="yes")),
        PartStart(3, "text"),
        PartText(3, "Next."),
    ]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([""], "{}"),
        (["", '{"a": ', "1}"], '{"a": 1}'),
        ([], '{"whole":[1]}'),
    ],
)
def test_arguments(pieces: list[str], expected: str) -> None:
    """A call without arguments has an empty object, not nothing; some hosts send them whole with the block's start."""
    given = {} if pieces else {"whole": [1]}
    deltas = [more(type="input_json_delta", partial_json=piece) for piece in pieces]
    reply = decode(begin(0, "tool_use", id="toolu_1", name="look", input=given), *deltas, end(), stop("tool_use"), LAST)
    assert reply.parts == (("tool_call", "look", expected),)


def test_the_vendors_own_tools_are_passed_over() -> None:
    """So is whatever block or event comes next year: the parts around it are numbered as if it were not there."""
    reply = decode(
        begin(0, "server_tool_use", id="srvtoolu_1", name="web_search", input={}),
        more(0, type="input_json_delta", partial_json='{"query": "x"}'),
        end(0),
        begin(1, "web_search_tool_result", tool_use_id="srvtoolu_1", content=[{"type": "web_search_result", "url": "u"}]),
        end(1),
        event("thread_moved", to={"a": 1}),
        begin(2),
        say("found", 2),
        more(2, type="sparkle_delta", sparkle=1),
        end(2),
        stop(),
        LAST,
    )
    assert reply.parts == (("text", "", "found"),)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("end_turn", "end"),
        ("stop_sequence", "end"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "length"),
        ("refusal", "refused"),
        ("tool_use", "end"),
        ("something_new", "end"),
    ],
)
def test_stop_reasons(said: str, expected: str) -> None:
    """`tool_use` without a call is an ordinary end."""
    assert decode(begin(), say("x"), end(), stop(said), LAST).stop == expected


def test_usage() -> None:
    """What was read from the cache and what was written to it is input, too; a 0 or nothing at the end does not undo the start."""
    usage = {"input_tokens": 10, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 3000, "output_tokens": 1}
    first = event("message_start", message={"usage": usage})
    assert decode(first, stop(output_tokens=50, input_tokens=0), LAST).usage == Usage(
        input=3210, output=50, cached=3000, written=200
    )
    thought = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens_details": {"thinking_tokens": 7}})
    assert decode(thought, LAST).usage == Usage(reasoning=7)


# --- hosts that are not exact ----------------------------------------------------------------------------------------------------


def test_events_without_names() -> None:
    """The type is in the data as well; some proxies drop the `event:` lines."""
    lines = b"".join(line + b"\n" for line in body(RICH, MessagesVoice).split(b"\n") if not line.startswith(b"event:"))
    assert decode(lines) == decode(body(RICH, MessagesVoice))


@pytest.mark.parametrize("tail", [b"", stop(), stop() + LAST + b"data: [DONE]\n\n", LAST, b"data: [DONE]\n\n"])
def test_ends(tail: bytes) -> None:
    """A reply is whole once it says why it stopped, or that it did; until then its end is a cut. Open blocks end with it."""
    half = begin(0, "thinking", signature="ab") + more(thinking="hm")
    if tail and tail != b"data: [DONE]\n\n":
        reply = decode(half, tail)
        assert (reply.stop, reply.seals) == ("end", ((0, {**SEAL, "signature": "ab"}),))
    else:
        with pytest.raises(ProviderDown, match="the host cut the reply off before its end"):
            decode(half, tail)


def test_events_without_blank_lines() -> None:
    """Each line is an event, then."""
    reply = b"".join((START, PING, begin(), say("a"), say("b"), end(), stop(), LAST))
    assert decode(reply.replace(b"\n\n", b"\n")).text == "ab"


def test_a_block_that_was_never_begun() -> None:
    with pytest.raises(ProviderDown, match="more of a block that it never began"):
        decode(say("x"))


def test_a_block_that_begins_again_ends_the_one_before() -> None:
    assert decode(begin(), say("a"), begin(), say("b"), stop()).parts == (("text", "", "a"), ("text", "", "b"))


def test_text_at_a_blocks_start() -> None:
    assert decode(begin(text="a"), say("b"), stop()).parts == (("text", "", "ab"),)


def test_invalid_utf8_and_surrogates() -> None:
    broken = say("a").replace(b'"a"', b'"a\xff\\ud800"')
    assert decode(begin(), broken, stop()).text == "a�?"


@pytest.mark.parametrize(
    "data", [b"x", b"[1]", b'{"choices": []}', b'{"type": 5}', b'{"type": "content_block_delta", "index": {}}']
)
def test_garbage(data: bytes) -> None:
    """What is no event at all is named, after what came before it."""
    decoder = MessagesDecoder("the host")
    assert decoder.feed(begin() + say("a") + b"data: " + data + b"\n\n")[-1] == PartText(0, "a")
    with pytest.raises(ProviderDown, match="the host sent an event that is no event of a message"):
        decoder.feed(say("b"))


def test_no_event_stream() -> None:
    with pytest.raises(ProviderDown, match="no server-sent event"):
        decode(b"<html>\n\n")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, ProviderOverloaded),
        ({"type": "rate_limit_error", "message": "slow down"}, RateLimited),
        ({"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"}, ContextTooLong),
        ("broken", ProviderDown),
    ],
)
def test_errors_in_the_stream(error: object, expected: type[ProviderError]) -> None:
    """With status 200; what was said before them stays said."""
    decoder = MessagesDecoder("the host")
    assert decoder.feed(begin() + say("half ") + event("error", error=error) + say("x")) == [
        PartStart(0, "text"),
        PartText(0, "half "),
    ]
    assert type(decoder.failed) is expected
    with pytest.raises(expected, match="the host reported an error in its reply"):
        decoder.finish()


def test_an_error_after_the_end_spoils_nothing() -> None:
    assert decode(begin() + say("a") + stop() + event("error", error={"type": "api_error"})).stop == "end"


# --- any split -----------------------------------------------------------------------------------------------------------------

CITED = Reply(
    [Think("hm ", signature="s"), Redacted("d"), Say("so "), Cite("https://a.test", "A"), Call("f")], usage=Spend(cached=3)
)
RECORDED = {
    "rich": body(RICH, MessagesVoice),
    "cited": body(CITED, MessagesVoice),
    "error": START + begin() + say("one ") + event("error", error={"type": "rate_limit_error", "message": "busy"}) + say("x"),
    "garbage": START + begin() + say("one ") + b": ping\n\n" + say("two ") + b"<html>\n" + say("x"),
    "cut": START + begin() + say("one ") + PING + say("two ")[:-9],
    "no last event": begin() + say("a") + stop() + b"data: x\n\n",
}


def outcome(pieces: list[bytes]) -> tuple[Any, ...]:
    decoder, deltas, error = MessagesDecoder(seam="one\n"), list[Delta](), ""
    try:
        for piece in pieces:
            deltas += decoder.feed(piece)
        deltas += decoder.finish()
    except ProviderError as failure:
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


# --- the seam, and the dialect -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seam", "pieces", "expected"),
    [
        ("", [" a"], " a"),
        (" ", [" a"], "a"),
        (" ", ["a ", " b"], "a  b"),
        ("\n\n", ["\n", "\n", "\na"], "\na"),
        ("\n\n", ["\n", "a"], "a"),
        ("\n ", [" a"], " a"),
    ],
)
def test_seam(seam: str, pieces: list[str], expected: str) -> None:
    """White space that the text ended with was not sent; where the model says it again it is not said twice."""
    assert decode(begin(), *map(say, pieces), stop(), seam=seam).text == expected


@pytest.mark.parametrize(("continuing", "prefill", "expected"), [(True, True, "x"), (True, False, " \nx"), (False, True, " \nx")])
def test_only_what_the_host_goes_on_from_has_a_seam(continuing: bool, prefill: bool, expected: str) -> None:
    messages = (Message("user", (Text(text="hi"),)), Message("assistant", (Text(text="so"), Text(text=" \n"))))
    prompt = Prompt(model="m", system="", messages=messages, continuing=continuing)
    decoder = MessagesDialect("anthropic").decoder("the host", prompt, ModelData(prefill=prefill))
    assert whole(decoder.feed(begin() + say(" ") + say("\nx") + stop() + LAST)).text == expected


def test_seals_name_provider_and_model() -> None:
    """A vendor's signature means nothing to another one, nor to another model."""
    decoder = MessagesDialect("work").decoder("the host", Prompt(model="claude-x", system="", messages=()), ModelData())
    reply = whole(decoder.feed(begin(0, "redacted_thinking", data="E") + stop() + LAST))
    assert reply.seals == ((0, {"provider": "work", "model": "claude-x", "data": "E"}),)


SPURNED = (
    "messages.1.content.0: Invalid `signature` in `thinking` block",
    "messages.1.content.0: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified.",
)


@pytest.mark.parametrize("message", SPURNED)
def test_thoughts_that_the_host_will_not_have_back(message: str) -> None:
    """The session must not be lost for them: the request is repeated at once, and none go back from then on."""
    dialect, data = MessagesDialect("anthropic"), ModelData()
    thought = Reasoning(text="hm", vendor={**SEAL, "signature": "xyz"})
    history = (
        Message("user", (Text(text="a"),)),
        Message("assistant", (thought, Text(text="b"))),
        Message("user", (Text(text="c"),)),
    )
    prompt = Prompt(model="m", system="", messages=history, session="s")
    assert b"xyz" in b"".join(dialect.encode(prompt, data))
    body = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    first, second = (dialect.refused("the host", 400, body) for _ in range(2))
    assert (type(first), first.retry_after, type(second)) == (ProviderDown, 0.0, BadRequest)
    assert b"xyz" not in b"".join(dialect.encode(prompt, data))


def test_list_of_models() -> None:
    """Old hosts say no more than the names."""
    listed = MessagesDialect("anthropic").listed(
        json.dumps(
            {
                "data": [
                    {"type": "model", "id": "claude-a", "display_name": "Claude A", "max_input_tokens": 1000, "new": {}},
                    {"type": "model", "id": "claude-b"},
                ],
                "has_more": False,
            }
        ).encode()
    )
    assert listed == [Listed(name="claude-a", context=1000, note="Claude A"), Listed(name="claude-b")]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"<html>", b'{"data": [{}]}'])
def test_no_list_of_models(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        MessagesDialect("anthropic").listed(body)
