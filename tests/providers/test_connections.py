"""What is learnt from the SDK, and when its own ways are taken: behind a proxy everything is httpx2's."""

from __future__ import annotations

import pytest
import trio

from agentd.providers.connections import Connections, proxied
from agentd.providers.http1 import HttpError
from agentd.providers.openai_sdk import rehearsal
from agentwire.config import Timeouts
from agentwire.errors import AuthFailed, ProviderDown, ProviderError
from tests.fakes.authority import Authority
from tests.fakes.model_script import Answer, Cut, Drop, Event, Hang, Raw, Reply, Say, Tokens, error, text
from tests.fakes.proxy import proxy
from tests.fakes.raw_server import raw_server
from tests.providers.exchanges import ASK
from tests.providers.scenes import HELLO, KEY, RICH, ask, body, chat, wired
from tests.providers.test_http1_tls import STREAM

# --- what is learnt ------------------------------------------------------------------------------------------------------------


async def test_body_in_blocks() -> None:
    """Sent as they are, as one body."""
    async with wired([text("hi")]) as (server, _):
        connections = await trio.to_thread.run_sync(Connections, server.url, [KEY], {}, rehearsal("/chat/completions"), 5)
        answer = await connections.post([b'{"model":', b"", b'"m",', b'"messages":[]}'])
        while await answer.receive():
            pass
        await answer.aclose()
        await connections.aclose()
    assert server.seen[0].body == {"model": "m", "messages": []}
    assert server.seen[0].headers["content-length"] == "27"


def test_key_that_cannot_be_sent() -> None:
    """Refused, without showing it. (The configuration refuses such keys before.)"""
    with pytest.raises(HttpError, match="'authorization' has characters that are not allowed there") as caught:
        Connections("http://127.0.0.1/v1", ["sk-secret\n"], {}, rehearsal("/chat/completions"), 5)
    assert "secret" not in str(caught.value)


async def test_user_in_the_address() -> None:
    """Goes where the SDK would put it."""
    async with wired([text("hi")]) as (server, _):
        provider = chat(server.url.replace("//", "//user:word@"))
        assert (await ask(provider)).text == "hi"
        await provider.aclose()
    assert server.seen[0].headers["authorization"] == "Basic dXNlcjp3b3Jk"


# --- behind a proxy ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "url", "expected"),
    [
        ({}, "https://api.test/v1", False),
        ({"HTTPS_PROXY": "http://p:1"}, "https://api.test/v1", True),
        ({"https_proxy": "http://p:1"}, "https://api.test/v1", True),
        ({"HTTPS_PROXY": "http://p:1"}, "http://api.test/v1", False),
        ({"HTTP_PROXY": "http://p:1"}, "http://api.test/v1", True),
        ({"ALL_PROXY": "socks5://p:1"}, "http://api.test/v1", True),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "other.test"}, "https://api.test/v1", True),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "other.test, api.test"}, "https://api.test/v1", False),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".test"}, "https://api.test/v1", False),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://api.test/v1", False),
        ({"ALL_PROXY": "http://p:1", "no_proxy": "127.0.0.1"}, "http://127.0.0.1:80/v1", False),
    ],
)
def test_who_is_behind_a_proxy(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str, *, expected: bool) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxied(url) == expected


async def test_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replies, models, errors: everything goes through it, over connections that are used again."""
    async with proxy() as between:
        monkeypatch.setenv("HTTP_PROXY", between.url)
        async with wired([RICH, error(401), text("hi")]) as (server, provider):
            assert (await ask(provider)).text == "Grüße, 世界 🎉, done"
            with pytest.raises(AuthFailed):
                await ask(provider)
            assert (await ask(provider)).text == "hi"
            assert [info.id for info in await provider.models()] == ["openai/scripted-1"]
            assert server.connections == 1
        assert between.seen == [f"POST {server.url}/chat/completions"]


async def test_excepted_from_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxy() as between:
        monkeypatch.setenv("HTTP_PROXY", between.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        async with wired([text("hi")]) as (_, provider):
            assert (await ask(provider)).text == "hi"
        assert not between.seen


async def test_tls_through_a_proxy(monkeypatch: pytest.MonkeyPatch, authority: Authority) -> None:
    """The proxy sees the host's name and nothing else."""
    said = body(Reply([Tokens(300)]))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    async with proxy() as between, raw_server([ASK, STREAM % len(said) + said], tls=authority.server()) as server:
        monkeypatch.setenv("HTTPS_PROXY", between.url)
        provider = chat(f"https://localhost:{server.port}/v1", KEY)
        assert len((await ask(provider)).text.split()) == 300
        await provider.aclose()
        assert between.seen == [f"CONNECT localhost:{server.port}"]
    assert KEY.encode() in server.requests[0]


@pytest.mark.parametrize("url", ["socks5://127.0.0.1:1", "nonsense://x", "http://[::"])
async def test_proxy_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """The user is told which variables to look at; also of SOCKS, for which a library is missing."""
    monkeypatch.setenv("ALL_PROXY", url)
    async with wired([text("hi")]) as (server, provider):
        with pytest.raises(ProviderError, match=r"Check SSL_CERT_FILE, .*ALL_PROXY"):
            await ask(provider)
        assert not server.connections


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Drop(), "cannot reach 127"),
        (Reply([Say("one two "), Cut()]), "cut the reply off"),
        (Reply([Say("one two "), Raw(b"\x00\x01garbage\n"), Hang()]), "no server-sent event"),
        (Reply([Event({"error": {"message": "broke", "code": "server_error"}}), Hang()]), "reported an error"),
        (Reply([Say("one two "), Hang()]), "fell silent"),
        (Reply([Hang()], content_type="text/html"), "did not answer"),
    ],
)
async def test_failures_behind_a_proxy(monkeypatch: pytest.MonkeyPatch, answer: Answer, said: str) -> None:
    """The same words as without one, and nothing is left to the garbage collector."""
    async with proxy() as between:
        monkeypatch.setenv("ALL_PROXY", between.url)
        async with wired([answer, text("second")], Timeouts(between_events=0.05, first_event=0.2)) as (_, provider):
            with pytest.raises(ProviderDown, match=said):
                await ask(provider)
            assert (await ask(provider)).text == "second"


@pytest.mark.parametrize(("variable", "url"), [("HTTP_PROXY", "http://10.0.0.1:1/v1"), ("all_proxy", "https://api.test/v1")])
async def test_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch, variable: str, url: str) -> None:
    """It is named, with its variable and without its password, instead of the host that was never reached."""
    with trio.socket.socket() as unused:
        await unused.bind(("127.0.0.1", 0))  # taken, but not listening
        at = f"127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv(variable, f"http://me:secret@{at}")
        provider = chat(url, KEY)
        told = rf"no connection through the proxy {at} \({variable}\): connection refused\. Is the proxy running"
        for asked in (lambda: ask(provider), provider.models):
            with pytest.raises(ProviderDown, match=told) as caught:
                await asked()
            assert "secret" not in caught.value.message
        await provider.aclose()


async def test_certificate_behind_a_proxy(monkeypatch: pytest.MonkeyPatch, authority: Authority) -> None:
    """The proxy is not to blame."""
    async with proxy() as between, raw_server([ASK], tls=authority.server()) as server:
        monkeypatch.setenv("HTTPS_PROXY", between.url)
        provider = chat(f"https://localhost:{server.port}/v1", KEY)
        with pytest.raises(ProviderError, match="SSL_CERT_FILE") as caught:
            await ask(provider)
        assert not caught.value.retryable
        await provider.aclose()


async def test_cancelling_behind_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host sees it through the proxy."""
    async with proxy() as between:
        monkeypatch.setenv("ALL_PROXY", between.url)
        async with wired([Reply([Say("one two "), Hang()])]) as (server, provider):
            async with trio.open_nursery() as nursery:

                async def listen() -> None:
                    async with provider.stream(HELLO) as stream:
                        await stream.drain(lambda _: nursery.cancel_scope.cancel())

                nursery.start_soon(listen)
            await server.gone(1)
