"""What is said of a model server that fails, played for real. That each failure has its class: conformance/test_provider.py."""

from __future__ import annotations

import json
import logging
import re

import pytest
import trio

from agentd.ports import Delta
from agentwire.config import Timeouts
from agentwire.errors import (
    AuthFailed,
    BadRequest,
    OutOfCredit,
    ProviderDown,
    ProviderError,
    ProviderTimeout,
    RateLimited,
)
from tests.fakes.model_script import (
    Answer,
    Call,
    Cut,
    Drop,
    Event,
    Fail,
    Hang,
    Huge,
    Pings,
    Raw,
    Reply,
    Say,
    Silent,
    Think,
    error,
    text,
)
from tests.fakes.model_server import serve
from tests.providers.scenes import HELLO, KEY, ask, chat, whole, wired


async def test_status() -> None:
    """The error names the host, quotes it, and says what to do; it was asked once: repeating is the router's business."""
    async with wired([error(401, "Bad key"), text("second")]) as (server, provider):
        with pytest.raises(AuthFailed, match=r"127\.0\.0\.1:\d+ answered 401: Bad key\. Check the API key\."):
            await ask(provider)
        assert len(server.seen) == 1


# What comes after "one two " when the reply breaks, and what is said of it.
BREAKS: list[tuple[Reply, str]] = [
    (Reply([Cut()]), "cut the reply off"),
    (Reply([Cut(reset=True)]), "cut the reply off"),
    (Reply([Say("one two "), Cut()]), "cut the reply off"),
    (Reply([Say("one two "), Cut(reset=True)]), "cut the reply off"),
    (Reply([Say("one two "), Call("look", {"at": "x"}, cut=1), Cut()]), "cut the reply off"),
    (Reply([Say("one two "), Raw(b'data: {"choi'), Cut()]), "cut the reply off"),
    (Reply([Say("one two ")], finish="", done=False), "cut the reply off"),
    (Reply([Say("one two ")], finish=""), "cut the reply off"),
    (Reply([Say("one two "), Raw(b"\x00\x01garbage\n")]), "no server-sent event"),
    (Reply([Say("one two "), Raw(b"data: {garbage\n\n")]), "no chat completion chunk"),
    (Reply([Say("one two "), Event({"error": {"message": "broke", "code": "server_error"}}), Hang()]), "reported an error"),
    (Reply([Say("one two "), Huge()]), "line longer than 8 MiB"),
]


@pytest.mark.parametrize(("reply", "said"), BREAKS)
async def test_break_in_the_reply(reply: Reply, said: str) -> None:
    """What was given until then stays given; the error is a retryable one that names the server."""
    async with wired([reply, text("second")]) as (server, provider):
        given: list[Delta] = []
        with pytest.raises(ProviderDown, match=re.escape(said)) as caught:
            await ask(provider, into=given)
        assert "127.0.0.1" in caught.value.message
        assert whole(given).text in {"", "one two "}
        assert whole(given).stop is None
        assert (await ask(provider)).text == "second"
        assert len(server.seen) == 2


async def test_error_in_the_stream_has_its_class() -> None:
    broken = Reply([Think("hm"), Event({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}), Hang()])
    async with wired([broken]) as (server, provider):
        with pytest.raises(RateLimited, match="slow down"):
            await ask(provider)
        await server.gone(1)


@pytest.mark.parametrize("reset", [False, True])
async def test_cut_before_the_answer(reset: bool) -> None:
    async with wired([Drop(reset=reset), text("second")]) as (server, provider):
        with pytest.raises(ProviderDown, match="cannot reach 127"):
            await ask(provider)
        assert len(server.seen) == 1
        assert (await ask(provider)).text == "second"


async def test_nobody_listens() -> None:
    with trio.socket.socket() as unused:
        await unused.bind(("127.0.0.1", 0))  # taken, but not listening
        port = unused.getsockname()[1]
        provider = chat(f"http://127.0.0.1:{port}/v1")
        with pytest.raises(
            ProviderDown, match=rf"^cannot connect to http://127\.0\.0\.1:{port}: connection refused; is it running\?$"
        ):
            await ask(provider)
        with pytest.raises(ProviderDown, match="connection refused; is it running"):
            await provider.models()
        await provider.aclose()


async def test_unknown_host() -> None:
    """It is named. (Without a network the name is not answered at all.)"""
    provider = chat("http://no-such-host.invalid/v1", timeouts=Timeouts(connect=1))
    with pytest.raises(
        ProviderDown, match=r"^cannot connect to http://no-such-host\.invalid: .*; check the network and the base URL"
    ):
        await ask(provider)
    await provider.aclose()


async def test_server_that_does_not_speak_tls() -> None:
    async with wired([text("hi")]) as (server, _):
        provider = chat(server.url.replace("http:", "https:"), timeouts=Timeouts(connect=SHORT))
        with pytest.raises(ProviderDown):
            await ask(provider)
        await provider.aclose()


# --- silence --------------------------------------------------------------------------------------------------------------------

SHORT = 0.03  # seconds
STOP = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'


@pytest.mark.parametrize(
    ("answer", "timeouts", "said"),
    [
        (Silent(), Timeouts(first_event=SHORT), "did not answer within 0.03 s"),
        (Reply([Hang()], role=False), Timeouts(first_event=SHORT), "sent no event within 0.03 s"),
        (Reply([Pings()], role=False), Timeouts(first_event=SHORT), "sent no event within 0.03 s"),
        (Reply([Hang()]), Timeouts(between_events=SHORT), "fell silent for 0.03 s"),
        (Reply([Say("one two "), Hang()]), Timeouts(between_events=SHORT), "fell silent for 0.03 s"),
        (Reply([Say("one two "), Pings()]), Timeouts(between_events=SHORT), "fell silent for 0.03 s"),
        (Reply([Say("one two " * 50, delay=0.005)]), Timeouts(step=SHORT), "did not finish its reply within 0.03 s"),
    ],
)
async def test_silence(answer: Answer, timeouts: Timeouts, said: str) -> None:
    """A server that hangs or only pings is left, and sees it; what it gave stays given."""
    async with wired([answer], timeouts) as (server, provider):
        with pytest.raises(ProviderTimeout, match=re.escape(said)):
            await ask(provider)
        await server.gone(1)
        assert len(server.seen) == 1


async def test_silence_of_the_list() -> None:
    """A host that does not list its models is not waited for."""
    async with wired([], Timeouts(first_event=SHORT)) as (server, provider):
        server.models = Silent()
        with pytest.raises(ProviderTimeout, match=r"did not list its models within 0\.03 s"):
            await provider.models()
        await server.gone(1)


async def test_server_that_keeps_the_body_open_after_the_end() -> None:
    """The reply is whole with `[DONE]`: who waits for it is not kept waiting."""
    async with wired(
        [Reply([Say("hi"), Raw(b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'), Hang()])]
    ) as (_, provider):
        with trio.fail_after(5):
            assert (await ask(provider)).text == "hi"


async def test_silence_after_the_finish_reason_is_forgiven() -> None:
    """Only usage may be missing: no reason to ask for the reply again."""
    async with wired([Reply([Say("hi"), Raw(STOP), Hang()])], Timeouts(between_events=SHORT)) as (_, provider):
        assert (await ask(provider)).stop == "end"


async def test_missing_done_is_forgiven() -> None:
    async with wired([Reply([Say("hi")], done=False)]) as (_, provider):
        assert (await ask(provider)).stop == "end"


# --- the wrong kind of answer ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer", [Fail(200, "<html>", content_type="text/html; charset=utf-8"), Reply([], content_type="text/html")]
)
async def test_web_page_instead_of_a_stream(answer: Answer) -> None:
    """The user is told where to look."""
    async with wired([answer]) as (server, provider):
        with pytest.raises(ProviderDown, match="answered with text/html instead of an event stream") as caught:
            await ask(provider)
        assert server.url in caught.value.message


async def test_error_with_a_good_status() -> None:
    body = json.dumps({"error": {"message": "no credit", "code": "insufficient_quota"}})
    async with wired([Fail(200, body)]) as (_, provider):
        with pytest.raises(OutOfCredit, match="no credit"):
            await ask(provider)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    """The key goes to no other address; the user is told which it was."""
    async with wired([text("must not be asked")]) as (other, _):
        to = f"{other.url}/chat/completions"
        async with wired([Fail(status, "", {"location": to})]) as (server, provider):
            with pytest.raises(BadRequest, match="redirects to") as caught:
                await ask(provider)
            assert to in caught.value.message
            assert len(server.seen) == 1
        assert not other.connections


async def test_key_in_a_redirect() -> None:
    """A key in the address is masked like any other."""
    async with wired([Fail(302, "", {"location": f"http://elsewhere.invalid/?key={KEY}"})]) as (_, provider):
        with pytest.raises(BadRequest, match=r"elsewhere\.invalid/\?key=\*\*\*"):
            await ask(provider)


@pytest.mark.parametrize(
    "answer",
    [
        error(401, f"Incorrect API key provided: {KEY}."),
        error(500, f"key {KEY}"),
        Fail(200, json.dumps({"error": f"key {KEY}"})),
        Reply([Event({"error": {"message": f"key {KEY}"}})]),
        Reply([Raw(f"{KEY}\n".encode())]),
    ],
)
async def test_key_is_in_no_error_and_no_log(answer: Answer, caplog: pytest.LogCaptureFixture) -> None:
    """Also when the host quotes it back, and with every library at its most talkative."""
    caplog.set_level(logging.DEBUG)
    async with wired([answer]) as (_, provider):
        with pytest.raises(ProviderError) as caught:
            await ask(provider, HELLO)
    assert KEY not in str(caught.value) + repr(caught.value) + json.dumps(caught.value.to_wire())
    assert "***" in caught.value.message
    assert KEY not in caplog.text


@pytest.mark.parametrize("secret", ["sk-first", "sk-first-and-more", "tok-123", "w%3Frd", "w?rd", "dXNlcjp3P3Jk"])
async def test_all_that_is_secret_is_masked(secret: str) -> None:
    """Each key, the longer before the shorter, the values of headers that sign in, a password in the address in all its forms."""
    async with serve([error(500, f"see {secret}.")]) as server:
        url = server.url.replace("//", "//user:w%3Frd@")
        headers = {"X-Auth-Token": "Token tok-123", "x-team": "blue"}
        provider = chat(url, "sk-first", "sk-first-and-more", headers=headers)
        with pytest.raises(ProviderDown, match=r"see \*\*\*\."):
            await ask(provider)
        await provider.aclose()


async def test_unmasked_errors_are_left_alone() -> None:
    """Without a key nothing is replaced."""
    async with wired([error(500, "***")], keys=()) as (_, provider):
        with pytest.raises(ProviderDown, match=r"500: \*\*\*"):
            await ask(provider)
