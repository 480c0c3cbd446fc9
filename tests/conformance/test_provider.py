"""What every Provider promises, run on each against a server that speaks its dialect: replies, requests, and every way to fail."""

from __future__ import annotations

import json
import logging
from base64 import b64encode
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import trio
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from agentd.core.prompt import paired
from agentd.ports import Delta, Message, PartStart, PartText, Prompt, Provider, Sealed, ToolSpec
from agentwire.config import Timeouts
from agentwire.errors import (
    AuthFailed,
    BadRequest,
    ContextTooLong,
    OutOfCredit,
    ProviderDown,
    ProviderError,
    ProviderOverloaded,
    ProviderTimeout,
    RateLimited,
)
from agentwire.types import Image, Reasoning, Text, ToolCall, ToolResult, Usage
from tests.conformance.histories import BLOBS, histories
from tests.conformance.providers import CASES, KEYS, Case
from tests.fakes.model_script import (
    Answer,
    Broken,
    Call,
    Cite,
    Cut,
    Drop,
    Fail,
    Hang,
    Huge,
    Pings,
    Raw,
    Reply,
    Say,
    Silent,
    Spend,
    Step,
    Think,
    Tokens,
    error,
    text,
)
from tests.providers.scenes import Whole, ask, body, whole

pytestmark = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])

SHORT = 0.03  # seconds
LOOK = ToolSpec(name="look", description="Looks.", parameters={"type": "object", "properties": {"at": {"type": "string"}}})
SCHEMA = {"type": "object", "properties": {"zebra": {"type": "string"}}, "required": ["zebra"], "additionalProperties": False}
SPENT = Spend(input=120, output=34, cached=50, reasoning=6)
RICH = Reply(
    [
        Think("let me see: "),
        Say("Grüße, 世界 🎉 "),
        Call("look", {"at": "a b", "n": [1, {"x": None}]}, pieces=5),
        Call("read", {"n": 1}, pieces=1),
    ],
    usage=SPENT,
)


def prompt(case: Case, *messages: Message, **options: Any) -> Prompt:
    said = messages or (Message("user", (Text(text="hello"),)),)
    return Prompt(**{"model": case.model, "system": "be brief", "messages": said, "tools": (LOOK,), "session": "s", **options})


async def say(case: Case, provider: Provider, *messages: Message, into: list[Delta] | None = None, **options: Any) -> Whole:
    return await ask(provider, prompt(case, *messages, **options), into)


def calls(reply: Whole) -> list[tuple[str, Any]]:
    return [(name, json.loads(text)) for kind, name, text in reply.parts if kind == "tool_call"]


def thoughts(reply: Whole) -> str:
    return "".join(text for kind, _, text in reply.parts if kind == "reasoning")


# --- replies -------------------------------------------------------------------------------------------------------------------


async def test_words(case: Case) -> None:
    """The commonest reply: its words, why it ended, what was used."""
    async with case.wired([text("hi there", usage=SPENT)]) as (_, provider):
        reply = await say(case, provider)
    assert (reply.text, reply.stop, reply.usage) == ("hi there", "end", case.usage(SPENT))


async def test_everything(case: Case) -> None:
    """Thoughts, text in any script, calls side by side with their arguments in pieces, usage."""
    async with case.wired([RICH]) as (_, provider):
        reply = await say(case, provider)
    assert reply.text == "Grüße, 世界 🎉 "
    assert calls(reply) == [("look", {"at": "a b", "n": [1, {"x": None}]}), ("read", {"n": 1})]
    assert thoughts(reply) == ("let me see: " if case.thoughts else "")
    assert (reply.stop, reply.usage) == ("tool_calls", case.usage(SPENT))


async def test_why_it_ended(case: Case) -> None:
    async with case.wired([text("cut sho", finish="length"), text("I will", finish="content_filter")]) as (_, provider):
        assert (await say(case, provider)).stop == "length"
        assert (await say(case, provider)).stop == ("refused" if case.refuses else "end")


async def test_nothing_said(case: Case) -> None:
    """A reply without a word is a reply; so is one without usage."""
    async with case.wired([Reply([], usage=None)]) as (_, provider):
        reply = await say(case, provider)
    assert ([part for part in reply.parts if part[2]], reply.stop) == ([], "end")
    assert reply.usage in (None, Usage())


async def test_sources(case: Case) -> None:
    """A citation is a part of its own, behind the words that it is for."""
    async with case.wired([Reply([Say("It rains."), Cite("https://x.test/a", "Weather"), Say(" Take care.")])]) as (_, provider):
        reply = await say(case, provider)
    assert reply.text == "It rains. Take care."
    cited = [(name, url) for kind, name, url in reply.parts if kind == "citation"]
    assert cited == ([("Weather", "https://x.test/a")] if case.cites else [])


async def test_reasoning_goes_back_to_whom_it_came_from(case: Case) -> None:
    """What a vendor wants back with its calls it gets back, sealed under its provider's name; nobody gets another's."""
    async with case.wired([Reply([Think("deep thought", signature="c2lnbmVk"), Call("look", {"at": "x"}, id="c1")])]) as (
        server,
        provider,
    ):
        given: list[Delta] = []
        await say(case, provider, into=given)
        seals = [delta.vendor for delta in given if isinstance(delta, Sealed)]
        assert [seal["provider"] for seal in seals] == ([case.provider] if case.seals else [])
        own = Reasoning(text="deep thought", vendor=seals[0]) if seals else Reasoning(text="deep thought")
        other = Reasoning(text="alien thought", vendor={"provider": "elsewhere", "signature": "YWxpZW4="})
        call = ToolCall(id="c1", name="look", arguments_json='{"at": "x"}')
        told = Message("tool", (ToolResult(call="c1", parts=(Text(text="ok"),)),))
        for thought in (own, other):
            user = Message("user", (Text(text="hello"),))
            await say(case, provider, user, Message("assistant", (thought, call)), told)
    _, mine, alien = server.seen
    case.valid(mine.body)
    case.valid(alien.body)
    assert not case.seals or any(word in mine.raw for word in (b"deep thought", b"c2lnbmVk"))
    assert b"alien thought" not in alien.raw
    assert b"YWxpZW4=" not in alien.raw


async def test_reads_that_arrive_together_are_one_call_of_the_sink(case: Case) -> None:
    """The cost follows the reads: far fewer calls than tokens. A model on this machine is too slow for that to matter."""
    if case.own:
        return
    fed: list[Sequence[Delta]] = []
    async with case.wired([Reply([Tokens(2000)])]) as (_, provider), provider.stream(prompt(case)) as stream:
        await stream.drain(fed.append)
    assert len(fed) < 100


async def test_nothing_is_held_back(case: Case) -> None:
    """The sink has all words that came while the server keeps the next to itself."""
    given: list[Delta] = []
    async with case.wired([Reply([Say("one two "), Hang()])]) as (_, provider), trio.open_nursery() as nursery:

        def sink(deltas: Sequence[Delta]) -> None:
            given.extend(deltas)
            if whole(given).text == "one two ":
                nursery.cancel_scope.cancel()

        with trio.fail_after(10):
            async with provider.stream(prompt(case)) as stream:
                await stream.drain(sink)


CUTS = st.lists(st.integers(0, 4000), max_size=30)


@given(cuts=CUTS)
def test_any_split_of_the_bytes_means_the_same(case: Case, cuts: list[int]) -> None:
    """However the network cuts the body, also inside a character."""
    said = body(evolve(RICH, steps=(*RICH.steps, Cite("https://x.test", "t"))), case.voice)
    marks = sorted({0, len(said), *(cut % len(said) for cut in cuts)})
    assert _decoded(case, [said[a:b] for a, b in pairwise(marks)]) == _decoded(case, [said])


def test_byte_by_byte(case: Case) -> None:
    said = body(RICH, case.voice)
    assert _decoded(case, [said[at : at + 1] for at in range(len(said))]) == _decoded(case, [said])


def _decoded(case: Case, pieces: Sequence[bytes]) -> Whole:
    decoder = case.dialect("").decoder("the host", prompt(case), case.catalog().find(case.provider, case.model))
    deltas = [delta for piece in pieces if not decoder.finished for delta in decoder.feed(piece)]
    return whole([*deltas, *decoder.finish()])


# --- requests ------------------------------------------------------------------------------------------------------------------


async def test_request(case: Case) -> None:
    """Who speaks, in order, in the host's words; a key; no compression, which would hold tokens back."""
    call = ToolCall(id="c1", name="look", arguments_json='{"at": "x"}')
    history = [
        Message("user", (Text(text="look at x"),)),
        Message("assistant", (Text(text="I look."), call)),
        Message("tool", (ToolResult(call="c1", parts=(Text(text="nothing"),)),)),
    ]
    async with case.wired([text("hi")]) as (server, provider):
        await say(case, provider, *history, max_output=77)
        seen = server.seen[0]
        case.valid(seen.body)
        told = [(message["role"], message["content"] or "") for message in seen.messages if message["content"]]
        assert told == [("system", "be brief"), ("user", "look at x"), ("assistant", "I look."), ("tool", "nothing")]
        assert seen.headers.get("accept-encoding", "identity") == "identity"
        assert b"Looks." in seen.raw
        assert b"77" in seen.raw


async def test_images(case: Case) -> None:
    """A model that sees gets the picture; one that does not is told that there was one."""
    picture = Image(blob="a" * 64, bytes=5, media="image/png")
    shown = Message("user", (Text(text="what is this?"), picture))
    for able in (True, False):
        async with case.wired([text("a dog")], able=able) as (server, provider):
            await say(case, provider, shown, blobs={"a" * 64: b"dog.png"})
            case.valid(server.seen[0].body)
            sees = able and bool(case.abilities.get("images"))
            assert (b64encode(b"dog.png") in server.seen[0].raw) == sees
            assert (b"an image" in server.seen[0].raw) != sees


async def test_images_of_tools(case: Case) -> None:
    """What a tool shows is seen by a model that sees; another is told what it was."""
    result = ToolResult(call="c1", parts=(Text(text="looked"), Image(blob="a" * 64, bytes=7, media="image/png")))
    call = ToolCall(id="c1", name="look", arguments_json='{"at": "x"}')
    asked = [Message("user", (Text(text="look"),)), Message("assistant", (call,)), Message("tool", (result,))]
    for able in (True, False):
        async with case.wired([text("a dog")], able=able) as (server, provider):
            await say(case, provider, *asked, blobs={"a" * 64: b"dog.png"})
            case.valid(server.seen[0].body)
            assert (b64encode(b"dog.png") in server.seen[0].raw) == (able and bool(case.abilities.get("images")))
            assert b"an image, image/png, 7 bytes" in server.seen[0].raw


async def test_schema(case: Case) -> None:
    """A host that can hold a model to a schema is given it."""
    async with case.wired([text('{"zebra": "x"}')]) as (server, provider):
        assert (await say(case, provider, schema=SCHEMA, tools=())).text == '{"zebra": "x"}'
        assert (b"zebra" in server.seen[0].raw) == (case.abilities.get("schema") == "native")


async def test_going_on_from_a_cut_reply(case: Case) -> None:
    """The partial text goes back, and the model knows that it shall go on."""
    half = Message("assistant", (Text(text="Once upon"),))
    async with case.wired([text(" a time")]) as (server, provider):
        reply = await say(case, provider, Message("user", (Text(text="tell"),)), half, continuing=True, tools=())
        assert reply.text == " a time"
        case.valid(server.seen[0].body)
        assert server.seen[0].partial == "Once upon"
        assert (server.seen[0].messages[-1]["role"] == "assistant") == case.prefills


async def test_keys_in_turn(case: Case) -> None:
    """Each request goes with the key that it was given."""
    async with case.wired([text("hi")]) as (server, provider):
        if provider.keys == 1:
            return
        assert provider.keys == len(KEYS)
        for number in (0, 1, 0):
            await say(case, provider, key=number)
    used = [[key for key in KEYS if any(key in value for value in seen.headers.values())] for seen in server.seen]
    assert used == [[KEYS[0]], [KEYS[1]], [KEYS[0]]]


@given(history=histories())
def test_every_history_is_a_valid_request(case: Case, history: Sequence[Message]) -> None:
    """Whatever was recorded, by whichever models, up to any point: the vendor takes it. Also one that goes on from a cut reply."""
    dialect, data = case.dialect(""), case.catalog().find(case.provider, case.model)
    for end in range(1, len(history) + 1):
        messages = paired(history[:end])
        asked = prompt(case, *messages, blobs=BLOBS, continuing=messages[-1].role == "assistant")
        case.valid(json.loads(b"".join(dialect.encode(asked, data))))


# --- connections ---------------------------------------------------------------------------------------------------------------


async def test_many_at_once(case: Case) -> None:
    """A hundred streams do not wait for each other; afterwards their connections serve the next hundred."""
    if case.own:
        return
    async with case.wired([Reply([Tokens(20, delay=0.001)])]) as (server, provider):
        for _ in range(2):
            async with trio.open_nursery() as nursery:
                for _ in range(100):
                    nursery.start_soon(say, case, provider)
    assert len(server.seen) == 200
    assert server.connections == 100


async def test_cancelling_closes_the_exchange(case: Case) -> None:
    """The host sees at once that nobody listens any more, and the provider still works."""
    async with case.wired([Reply([Say("once "), Hang()]), Silent(), text("hi")]) as (server, provider):
        for count in (1, 2):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(say, case, provider)
                await server.requests(count)
                nursery.cancel_scope.cancel()
            await server.gone(count)
        assert (await say(case, provider)).text == "hi"


async def test_leaving_without_draining_closes_the_exchange(case: Case) -> None:
    async with case.wired([Reply([Say("once "), Hang()])]) as (server, provider):
        async with provider.stream(prompt(case)):
            pass
        await server.gone(1)


async def test_exception_of_the_sink_ends_the_exchange_and_is_raised(case: Case) -> None:
    """A reply that grew too long is broken off by whoever takes it."""

    def full(deltas: Sequence[Delta]) -> None:
        if deltas:
            raise RuntimeError("enough")

    async with case.wired([Reply([Say("once "), Hang()])]) as (server, provider):
        with pytest.raises(RuntimeError, match="enough"):
            async with provider.stream(prompt(case)) as stream:
                await stream.drain(full)
        await server.gone(1)


async def test_models(case: Case) -> None:
    """What the host lists, under the provider's name."""
    if case.own:
        return
    async with case.wired([]) as (server, provider):
        server.models = ["a", "b/c"]
        assert {f"{case.provider}/a", f"{case.provider}/b/c"} <= {info.id for info in await provider.models()}


# --- failures ------------------------------------------------------------------------------------------------------------------

STATUSES: list[tuple[Answer, type[ProviderError]]] = [
    (error(400), BadRequest),
    (error(400, code="context_length_exceeded"), ContextTooLong),
    (error(401), AuthFailed),
    (error(402), OutOfCredit),
    (error(403), AuthFailed),
    (error(404), BadRequest),
    (error(429), RateLimited),
    (error(500), ProviderDown),
    (error(503), ProviderDown),
    (error(529), ProviderOverloaded),
    (Fail(502, "<html>Bad Gateway</html>", content_type="text/html"), ProviderDown),
    (Fail(504, ""), ProviderTimeout),
    (Fail(500, ""), ProviderDown),
    (Fail(200, "<html>welcome</html>", content_type="text/html"), ProviderDown),
    (Fail(302, "", {"location": "http://elsewhere.invalid/"}), BadRequest),
]


@pytest.mark.parametrize(("answer", "expected"), STATUSES, ids=lambda value: getattr(value, "status", ""))
async def test_status(case: Case, answer: Answer, expected: type[ProviderError]) -> None:
    """Each has its class, says who answered, and is asked for once: repeating is the router's business."""
    async with case.wired([answer, text("second")]) as (server, provider):
        with pytest.raises(ProviderError) as caught:
            await say(case, provider)
        assert type(caught.value) is expected, caught.value
        assert len(server.seen) == 1


async def test_retry_after(case: Case) -> None:
    async with case.wired([error(429, retry_after="7")]) as (_, provider):
        with pytest.raises(RateLimited) as caught:
            await say(case, provider)
        assert caught.value.retry_after == 7


BREAKS: dict[str, Sequence[Step]] = {
    "cut": [Cut()],
    "reset": [Cut(reset=True)],
    "garbage": [Raw(b"\x00\x01garbage\n\n"), Hang()],
    "half an event": [Raw(b'data: {"choi'), Cut()],
    "no JSON": [Raw(b"data: {garbage\n\n"), Hang()],
    "64 MB in a line": [Huge()],
    "an error": [Broken(), Hang()],
    "cut inside a call": [Call("look", {"at": "x"}, cut=1), Cut()],
}


@pytest.mark.parametrize("words", ["", "one two "], ids=["at once", "after words"])
@pytest.mark.parametrize("how", BREAKS)
async def test_break_in_the_reply(case: Case, how: str, words: str) -> None:
    """What was given until then stays given, and it is not taken for a whole reply; the next request works."""
    steps = [*([Say(words)] if words else ()), *BREAKS[how]]
    async with case.wired([Reply(steps), text("second")]) as (server, provider):
        given: list[Delta] = []
        with pytest.raises(ProviderDown), trio.fail_after(10):
            await say(case, provider, into=given)
        assert (whole(given).text, whole(given).stop) == (words, None)
        assert (await say(case, provider)).text == "second"
        assert len(server.seen) == 2


async def test_end_without_an_end(case: Case) -> None:
    """A body that ends cleanly, but whose last words never came, is a cut."""
    async with case.wired([Reply([Say("one two ")], finish="", done=False)]) as (_, provider):
        with pytest.raises(ProviderDown):
            await say(case, provider)


@pytest.mark.parametrize("reset", [False, True])
async def test_cut_before_the_answer(case: Case, reset: bool) -> None:
    async with case.wired([Drop(reset=reset), text("second")]) as (server, provider):
        with pytest.raises(ProviderDown):
            await say(case, provider)
        assert len(server.seen) == 1
        assert (await say(case, provider)).text == "second"


SILENCES: dict[str, tuple[Answer, Timeouts]] = {
    "no answer": (Silent(), Timeouts(first_event=SHORT)),
    "no event": (Reply([Hang()], role=False), Timeouts(first_event=SHORT)),
    "pings only": (Reply([Pings()], role=False), Timeouts(first_event=SHORT)),
    "hangs": (Reply([Say("one two "), Hang()]), Timeouts(between_events=SHORT)),
    "pings from then on": (Reply([Say("one two "), Pings()]), Timeouts(between_events=SHORT)),
    "drips": (Reply([Say("one two " * 50, delay=0.005)]), Timeouts(step=SHORT)),
}


@pytest.mark.parametrize("how", SILENCES)
async def test_silence(case: Case, how: str) -> None:
    """A host that hangs, drips or only pings is left, and sees it."""
    answer, timeouts = SILENCES[how]
    async with case.wired([answer], timeouts) as (server, provider):
        with pytest.raises(ProviderTimeout), trio.fail_after(10):
            await say(case, provider)
        await server.gone(1)
        assert len(server.seen) == 1


async def test_slow_but_steady_is_no_silence(case: Case) -> None:
    """Each event starts the wait anew: a reply may take many times the longest silence."""
    async with case.wired([Reply([Say("a " * 15, delay=0.01)])], Timeouts(between_events=0.1)) as (_, provider):
        assert (await say(case, provider)).text == "a " * 15


async def test_invalid_utf8_is_replaced(case: Case) -> None:
    """The reply goes on: somewhere in the middle of a vendor's machines a character was cut in two."""
    said = body(Reply([Say("a\x7fb")]), case.voice).replace(b"\\u007f", b"\x7f").replace(b"\x7f", b"\xff")
    async with case.wired([Reply([Raw(said)], role=False, finish="", usage=None, done=False)]) as (_, provider):
        assert (await say(case, provider)).text == "a\ufffdb"


@pytest.mark.parametrize("where", ["status", "stream", "redirect"])
async def test_keys_are_in_no_error_and_no_log(case: Case, where: str, caplog: pytest.LogCaptureFixture) -> None:
    """Also when the host quotes one back, whichever it is, and with every library at its most talkative."""
    if case.own:
        return
    caplog.set_level(logging.DEBUG)
    quoted = f"wrong: {' '.join(KEYS)}"
    answers: dict[str, Answer] = {
        "status": error(401, quoted),
        "stream": Reply([Broken(quoted)]),
        "redirect": Fail(302, "", {"location": f"http://elsewhere.invalid/?{KEYS[0]}&{KEYS[1]}"}),
    }
    async with case.wired([answers[where]]) as (_, provider):
        with pytest.raises(ProviderError) as caught:
            await say(case, provider)
    shown = str(caught.value) + repr(caught.value) + json.dumps(caught.value.to_wire()) + caplog.text
    assert not any(key in shown for key in KEYS)


async def test_what_was_given_is_given_once(case: Case) -> None:
    """Parts are numbered from 0 in order, and no text comes before its part."""
    given: list[Delta] = []
    async with case.wired([RICH]) as (_, provider):
        await say(case, provider, into=given)
    begun = [delta.part for delta in given if isinstance(delta, PartStart)]
    assert begun == sorted(set(begun))
    assert {delta.part for delta in given if isinstance(delta, PartText)} <= set(begun)
