"""Replies in the Responses dialect: what their events mean, in any split, and what is wrong with them."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.ports import Cited, Delta, PartStart, PartText, Sealed, Spent, Stop
from agentd.providers.responses_decoder import ResponsesDecoder
from agentwire.errors import BadRequest, ContextTooLong, OutOfCredit, ProviderDown, ProviderError, RateLimited, Refused
from agentwire.types import Citation, Usage
from tests.fakes.model_script import Broken, Call, Cite, Pings, Redacted, Reply, Say, Think
from tests.fakes.voices.responses import ResponsesVoice
from tests.providers.scenes import RICH, Whole, body, whole

SEAL = {"provider": "openai", "model": "m"}


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: ".encode() + json.dumps({"type": kind, **fields}).encode() + b"\n\n"


def item(event_kind: str, number: int = 0, **fields: Any) -> bytes:
    return event(f"response.output_item.{event_kind}", output_index=number, item=fields)


def say(text: str, number: int = 0, **fields: Any) -> bytes:
    return event("response.output_text.delta", output_index=number, item_id="msg", content_index=0, delta=text, **fields)


DONE = event("response.completed", response={"status": "completed"})


def decoded(*pieces: bytes) -> list[Delta]:
    decoder = ResponsesDecoder("the host", seal=SEAL)
    deltas = [delta for piece in pieces for delta in decoder.feed(piece)]
    deltas += decoder.finish()
    assert decoder.finished
    return deltas


def reply(*steps: Any) -> bytes:
    return body(Reply(list(steps)), ResponsesVoice)


# --- what is said -----------------------------------------------------------------------------------------------------------------


def test_everything() -> None:
    """Thoughts, text in any script, parallel calls, usage; parts in order of appearance."""
    assert whole(decoded(body(RICH, ResponsesVoice))) == Whole(
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


def test_a_feed_gives_one_text_per_part() -> None:
    """The caller's cost follows the reads, not the tokens; Stop comes last."""
    usage: Any = {"input_tokens": 3, "output_tokens": 2, "input_tokens_details": None, "output_tokens_details": {}}
    decoder = ResponsesDecoder()
    assert decoder.feed(say("a") + say("b") + say("c")) == [PartStart(0, "text"), PartText(0, "abc")]
    assert decoder.feed(say("d")) == [PartText(0, "d")]
    assert (decoder.complete, decoder.finished) == (False, False)
    end = event("response.completed", response={"usage": usage})
    assert decoder.feed(end + say("late")) == [Spent(Usage(input=3, output=2)), Stop("end")]
    assert (decoder.complete, decoder.finished, decoder.finish()) == (True, True, [])


RECORDED = {
    "rich": body(RICH, ResponsesVoice),
    "sealed": reply(Think("a b", signature="s"), Redacted("r"), Say("c d"), Cite("u", "t"), Say("e")),
    "error": reply(Say("one two "), Broken("busy", "rate_limit_exceeded"), Say("x")),
    "garbage": say("one ") + b": ping\n\n" + say("two ") + b"<html>\n" + say("x"),
    "cut": say("one ") + b"data: {}\n\n" + say("two ")[:-9],
}


def outcome(pieces: list[bytes]) -> tuple[Any, ...]:
    decoder, deltas, error = ResponsesDecoder("the host"), list[Delta](), ""
    try:
        for piece in pieces:
            deltas += decoder.feed(piece)
        deltas += decoder.finish()
    except ProviderError as failure:
        error = repr(failure)
    texts: dict[int, str] = {}
    for delta in deltas:
        if isinstance(delta, PartText):
            texts[delta.part] = texts.get(delta.part, "") + delta.text
    return texts, [delta for delta in deltas if not isinstance(delta, PartText)], error


def in_order(said: tuple[Any, ...]) -> tuple[Any, ...]:
    """Which of two parts' deltas comes first in one read is nobody's business."""
    texts, deltas, error = said
    return texts, sorted(deltas, key=lambda delta: (type(delta).__name__, getattr(delta, "part", 0))), error


@pytest.mark.parametrize("name", RECORDED)
@given(st.data())
def test_any_split_gives_the_same_reply(name: str, data: st.DataObject) -> None:
    """How the network cuts the bytes, in the middle of a character or a CRLF too, changes nothing, also not about a failure."""
    stream = RECORDED[name]
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=20))
    pieces = [stream[a:b] for a, b in pairwise([0, *sorted(cuts), len(stream)])]
    assert in_order(outcome(pieces)) == in_order(outcome([stream]))


def test_a_thought_that_is_sealed() -> None:
    """Its paragraphs are kept apart; its encrypted body goes with it, and says whose it is. Without a summary it is a part, too."""
    assert decoded(reply(Think("a b "), Think("c", signature="xyz"), Redacted("r"), Say("d"))) == [
        PartStart(0, "reasoning"),
        PartText(0, "a b \n\nc"),
        PartStart(1, "reasoning"),
        PartStart(2, "text"),
        PartText(2, "d"),
        Sealed(0, {**SEAL, "id": "rea_0000", "encrypted_content": "xyz"}),
        Sealed(1, {**SEAL, "id": "rea_0001", "encrypted_content": "r"}),
        Spent(Usage(input=10, output=5)),
        Stop("end"),
    ]


def test_thoughts_that_are_no_summary() -> None:
    """Open models show them as they are."""
    said = whole(decoded(reply(Think("hm ", key="reasoning_text"), Think("so", key="reasoning_text"), Say("x"))))
    assert said.parts == (("reasoning", "", "hm \n\nso"), ("text", "", "x"))


def test_a_thought_without_anything_is_none() -> None:
    assert whole(decoded(item("done", type="reasoning", id="r", summary=[]), say("x", 1), DONE)).parts == (("text", "", "x"),)


def test_citations() -> None:
    """Each a part of its own behind the words it is for; the text goes on in another."""
    assert decoded(reply(Say("It is so. "), Cite("https://a.test", "A"), Say("And so.")))[:-2] == [
        PartStart(0, "text"),
        PartText(0, "It is so. "),
        Cited(1, Citation(url="https://a.test", title="A")),
        PartStart(2, "text"),
        PartText(2, "And so."),
    ]


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ({"type": "file_citation", "file_id": "f", "filename": "a.pdf", "index": 3}, [Citation(title="a.pdf")]),
        ({"type": "container_file_citation", "filename": "b.csv"}, [Citation(title="b.csv")]),
        ({"type": "file_path", "file_id": "f", "index": 0}, []),
        ({"type": "new_kind"}, []),
        (None, []),
    ],
)
def test_citations_of_other_kinds(annotation: Any, expected: list[Citation]) -> None:
    cited = event("response.output_text.annotation.added", output_index=0, annotation=annotation)
    assert [delta.citation for delta in decoded(say("x"), cited, DONE) if isinstance(delta, Cited)] == expected


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (event("response.completed", response={}), "end"),
        (event("response.incomplete", response={"incomplete_details": {"reason": "max_output_tokens"}}), "length"),
        (event("response.incomplete", response={"incomplete_details": {"reason": "content_filter"}}), "refused"),
        (event("response.incomplete", response={"incomplete_details": None}), "length"),
        (event("response.completed", response={"status": "incomplete"}), "length"),
    ],
)
def test_how_it_ended(end: bytes, expected: str) -> None:
    """By the last event, and by the state of the response in it: some hosts end every reply with the same event."""
    assert decoded(say("x"), end)[-1] == Stop(expected)  # type: ignore[arg-type] # a StopReason


def test_refusal_is_text_and_refused() -> None:
    """Streamed or whole."""
    streamed = event("response.refusal.delta", output_index=0, delta="I cannot")
    at_once = item("done", type="message", content=[{"type": "refusal", "refusal": "I cannot"}])
    for said in (streamed, at_once):
        answer = whole(decoded(said, DONE))
        assert (answer.text, answer.stop) == ("I cannot", "refused")


# Each is allowed by the documentation, or was seen at a host: no deltas, no announcement, no index, other ids.
CALLS = {
    "not streamed": [
        item("added", type="function_call", id="a", name="f", arguments=""),
        item("done", type="function_call", id="a", name="f", arguments='{"x": 1}'),
    ],
    "not announced": [item("done", type="function_call", id="a", name="f", arguments='{"x": 1}')],
    "announced, streamed, repeated": [
        item("added", type="function_call", id="a", name="f", arguments=""),
        event("response.function_call_arguments.delta", output_index=0, item_id="a", delta='{"x"'),
        event("response.function_call_arguments.delta", output_index=0, item_id="a", delta=": 1}"),
        event("response.function_call_arguments.done", output_index=0, item_id="a", arguments='{"x": 1}'),
        item("done", type="function_call", id="a", name="f", arguments='{"x": 1}'),
    ],
    "by id only": [
        event("response.output_item.added", item={"type": "function_call", "id": "a", "name": "f"}),
        event("response.function_call_arguments.delta", item_id="a", delta='{"x": 1}'),
    ],
    "another id each time": [
        item("added", type="function_call", id="a", name="f"),
        event("response.function_call_arguments.delta", output_index=0, item_id="b", delta='{"x": 1}'),
        item("done", type="function_call", id="c", name="f", arguments='{"x": 1}'),
    ],
}


@pytest.mark.parametrize("name", CALLS)
def test_tool_calls_in_every_shape(name: str) -> None:
    said = whole(decoded(*CALLS[name], DONE))
    assert (said.parts, said.stop) == ((("tool_call", "f", '{"x": 1}'),), "tool_calls")


def test_messages_and_thoughts_that_were_not_streamed() -> None:
    """Are taken from the whole of them."""
    thought = item("done", 0, type="reasoning", id="r", summary=[{"text": "hm"}, {"text": "so"}])
    message = item("done", 1, type="message", id="m", content=[{"type": "output_text", "text": "hi"}])
    assert whole(decoded(thought, message, DONE)).parts == (("reasoning", "", "hm\n\nso"), ("text", "", "hi"))


def test_what_is_unknown_is_passed_over() -> None:
    """Items of the vendor's own tools, events that are new, values of other kinds where there should be text."""
    search = item("added", 0, type="web_search_call", id="w", action={"query": "x"})
    new = event("response.telepathy.delta", delta={"a": [1]}, output_index=0)
    odd = event("response.output_text.delta", output_index=1, delta={"a": 1})
    assert whole(decoded(search, new, odd, say("x", 1), DONE)).parts == (("text", "", "x"),)


@pytest.mark.parametrize("fields", [{"arguments": {"paths": ["crm"]}}, {"content": "print()"}, {"name": 1, "summary": {}}])
def test_fields_of_unknown_items_may_be_anything(fields: Any) -> None:
    unknown = [item(kind, 0, type="tool_search_call", id="t", **fields) for kind in ("added", "done")]
    assert whole(decoded(*unknown, say("x", 1), DONE)).parts == (("text", "", "x"),)


def test_pings_are_no_events() -> None:
    """So that a host that only says it is alive is known to be silent."""
    decoder = ResponsesDecoder()
    actions = Pings(0.0).actions(ResponsesVoice())
    pings = b"".join(action for action, _ in zip(actions, range(6), strict=False) if isinstance(action, bytes))
    assert b"keepalive" in pings
    decoder.feed(event("keepalive") + b": ping\n\n")
    assert decoder.events == 0
    decoder.feed(event("response.created", response={}))
    assert decoder.events == 1


# --- what goes wrong --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [b"", b"data: [DONE]\n\n", b'data: {"type": "resp', b": ping\n\n", event("response.in_progress")])
def test_end_without_the_last_event_is_a_cut(last: bytes) -> None:
    """Also after everything was said; what came stays."""
    decoder = ResponsesDecoder("the host")
    decoder.feed(reply(Say("a")).partition(b"event: response.completed")[0] + last)
    assert not decoder.complete
    with pytest.raises(ProviderDown, match="the host cut the reply off"):
        decoder.finish()


def test_missing_blank_line_is_forgiven() -> None:
    assert decoded(say("a"), DONE[:-1])[-1] == Stop("end")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (event("error", code="rate_limit_exceeded", message="busy"), RateLimited),
        (event("error", error={"type": "tokens", "code": "rate_limit_exceeded", "message": "busy"}), RateLimited),
        (b'data: {"error": {"message": "busy", "code": "rate_limit_exceeded"}}\n\n', RateLimited),
        (event("error", code=None, message="busy"), ProviderDown),
        (event("error", code="context_length_exceeded", message="busy"), ContextTooLong),
        (event("response.failed", response={"error": {"code": "insufficient_quota", "message": "busy"}}), OutOfCredit),
        (event("response.failed", response={"error": {"code": "server_error", "message": "busy"}}), ProviderDown),
        (event("response.failed", response={"error": {"code": "invalid_prompt", "message": "busy"}}), Refused),
        (event("response.failed", response={"error": {"code": "bio_policy", "message": "busy"}}), Refused),
        (event("response.failed", response={"error": {"code": "image_too_large", "message": "busy"}}), BadRequest),
        (event("response.failed", response={"error": {"code": "empty_image_file", "message": "busy"}}), BadRequest),
    ],
)
def test_errors_in_the_stream(error: bytes, expected: type[ProviderError]) -> None:
    """The deltas before one are given; then it is raised, and again."""
    decoder = ResponsesDecoder("the host")
    assert decoder.feed(say("a") + error + say("b")) == [PartStart(0, "text"), PartText(0, "a")]
    assert type(decoder.failed) is expected
    with pytest.raises(expected, match="the host reported an error in its reply: busy"):
        decoder.feed(b"x")
    with pytest.raises(expected):
        decoder.finish()


def test_a_failure_without_a_word() -> None:
    with pytest.raises(ProviderDown, match="the host reported an error in its reply"):
        decoded(event("response.failed"))


@pytest.mark.parametrize(
    "garbage",
    [
        b"data: {]\n\n",
        b"data: 7\n\n",
        b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n',
        b"data: " + b"[" * 100_000 + b"\n\n",
        b"HTTP\n",
        event("response.output_item.added", output_index=0, item=7),
        event("response.output_item.done", output_index=0),
        event("response.completed", response=[]),
    ],
)
def test_garbage(garbage: bytes) -> None:
    """Also a stream of Chat Completions: the base URL's server speaks another dialect."""
    with pytest.raises(ProviderDown, match="the host sent"):
        decoded(say("a"), garbage)


def test_too_long_a_line() -> None:
    with pytest.raises(ProviderDown, match="line longer than 8 MiB"):
        decoded(b"data: ", *[b"x" * 1024 * 1024] * 9)


@pytest.mark.parametrize("bad", [b"\xff\xfe", b"\xe4\xb8", b"\\ud83c"])
def test_invalid_utf8_and_lone_surrogates_are_replaced(bad: bytes) -> None:
    """The rest of the event is kept, and the text can be encoded."""
    text = whole(decoded(b'data: {"type": "response.output_text.delta", "output_index": 0, "delta": "a%bz"}\n\n' % bad, DONE)).text
    assert (text[0], text[-1]) == ("a", "z")
    assert text.encode()


def test_a_half_call_of_a_whole_reply() -> None:
    """Stays as it is: what to do with invalid arguments is core's to say."""
    said = whole(decoded(reply(Call("f", {"x": 1}, cut=1))))
    assert (said.parts[0][:2], said.stop) == (("tool_call", "f"), "tool_calls")
