"""The same connections with TLS, end to end: who is trusted, what both sides agree on, and where an answer ends."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from agentd.providers.http1 import HttpError, Unreachable, Untrusted
from agentd.providers.http1_pool import Origin, Pool
from agentwire.errors import ProviderError
from tests.fakes.authority import Authority
from tests.fakes.model_script import Reply, Tokens, text
from tests.fakes.raw_server import Do, RawServer, Step, raw_server
from tests.providers.exchanges import ASK, CHUNKED, HEAD, OK, Names, answer, asked
from tests.providers.scenes import ask, body, chat

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n"


@pytest.fixture
def pool(authority: Authority) -> Iterator[Pool]:
    pool = Pool(authority.client(), 5)
    yield pool
    pool.close()


def at(server: RawServer, host: str = "localhost") -> Origin:
    return Origin(tls=True, host=host, port=server.port)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_requests_and_answers(pool: Pool, authority: Authority, version: ssl.TLSVersion) -> None:
    """Several on one connection; the host's name is told before the handshake ends."""
    tls = authority.server()
    tls.maximum_version = version
    async with raw_server([ASK, OK] * 3, tls=tls) as server:
        for _ in range(3):
            assert await answer(pool, at(server)) == b"hello"
    assert server.connections == 1
    assert server.names == ["localhost"]
    assert server.requests == [HEAD % 2 + b"hi"] * 3


async def test_host_that_is_an_address(pool: Pool, authority: Authority) -> None:
    """Its certificate names the address; there is no name to tell."""
    async with raw_server([ASK, OK], tls=authority.server()) as server:
        assert await answer(pool, at(server, "127.0.0.1")) == b"hello"
    assert server.names == [None]


async def test_much_both_ways(pool: Pool, authority: Authority) -> None:
    """Many records, many reads, many blocks."""
    said, blocks = b"x" * 3_000_000, [b"y" * 100_000] * 30
    reply = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(said) + said
    async with raw_server([ASK, reply], tls=authority.server()) as server:
        exchange = await pool.exchange(at(server), [HEAD % 3_000_000, *blocks])
        pieces = []
        while piece := await exchange.receive():
            pieces.append(piece)
        await exchange.aclose()
    assert b"".join(pieces) == said
    assert server.requests == [HEAD % 3_000_000 + b"".join(blocks)]


async def test_given_as_it_comes(pool: Pool, authority: Authority) -> None:
    """Record by record, until whoever takes it has enough; what is still in the answer is nobody's, and so is the connection."""
    go, given = trio.Event(), list[bytes]()

    def take(data: bytes) -> bool:
        given.append(data)
        go.set()
        return data.endswith(b".")

    script: list[Step] = [ASK, CHUNKED + b"2\r\nhe\r\n", go, b"4\r\nllo.\r\n", Do.HANG]
    async with raw_server(script, tls=authority.server()) as server:
        async with asked(pool, at(server)) as exchange:
            await exchange.give(take)
        await server.left(1)
    assert given == [b"he", b"llo."]


async def test_cut_while_it_is_given(pool: Pool, authority: Authority) -> None:
    """What came before it is given, then it is an error."""
    given: list[bytes] = []

    def take(data: bytes) -> bool:
        given.append(data)
        return False

    async with (
        raw_server([ASK, CHUNKED + b"5\r\nhello\r\n"], tls=authority.server()) as server,
        asked(pool, at(server)) as exchange,
    ):
        with pytest.raises(HttpError, match="broke in the middle"):
            await exchange.give(take)
    assert given == [b"hello"]


# --- who is trusted ------------------------------------------------------------------------------------------------------------


async def test_unknown_authority(authority: Authority) -> None:
    async with raw_server([ASK], tls=authority.server()) as server:
        with pytest.raises(Untrusted, match=r"^unable to get local issuer certificate$"):
            await answer(Pool(ssl.create_default_context(), 5), at(server))
    assert not server.requests


async def test_another_host(pool: Pool, authority: Authority, names: Names) -> None:
    """A good certificate of somebody else."""
    async with raw_server([ASK], tls=authority.server()) as server:
        names.port = server.port
        with pytest.raises(Untrusted, match=r"^hostname mismatch"):
            await answer(pool, Origin(tls=True, host="model.test", port=443))
    assert not server.requests


async def test_server_without_tls(pool: Pool) -> None:
    async with raw_server([b"HTTP/1.1 400 Bad\r\n\r\n", Do.HANG]) as server:
        with pytest.raises(Unreachable, match="SSL"):
            await answer(pool, at(server))
        await server.left(1)


async def test_connection_cut_in_the_handshake(pool: Pool) -> None:
    async with raw_server([]) as server:
        with pytest.raises(Unreachable):
            await answer(pool, at(server))


# --- ends ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [[], [Do.RESET]])
async def test_cut_in_the_body(pool: Pool, authority: Authority, end: Sequence[Do]) -> None:
    go = trio.Event()
    script: list[Step] = [ASK, CHUNKED + b"5\r\nhello\r\n", go, *end]
    async with raw_server(script, tls=authority.server()) as server, asked(pool, at(server)) as exchange:
        assert await exchange.receive() == b"hello"
        go.set()
        with pytest.raises(HttpError, match="broke in the middle"):
            await exchange.receive()


async def test_end_of_the_connection_as_the_end_of_the_body(pool: Pool, authority: Authority) -> None:
    """Only if the server announces it: otherwise anybody could shorten an answer."""
    until_the_end = b"HTTP/1.1 200 OK\r\n\r\nhello"
    async with raw_server([ASK, until_the_end, Do.GOODBYE], [ASK, until_the_end], tls=authority.server()) as server:
        assert await answer(pool, at(server)) == b"hello"
        with pytest.raises(HttpError, match="broke in the middle"):
            await answer(pool, at(server))


async def test_goodbye_while_idle(pool: Pool, authority: Authority) -> None:
    """Seen before anything is sent."""
    go = trio.Event()
    async with raw_server([ASK, OK, go, Do.GOODBYE], [ASK, OK], tls=authority.server()) as server:
        assert await answer(pool, at(server)) == b"hello"
        go.set()
        await wait_all_tasks_blocked()
        assert await answer(pool, at(server)) == b"hello"
    assert len(server.requests) == 2


# --- the provider --------------------------------------------------------------------------------------------------------------


async def test_provider(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the authority of the environment: replies over https, one connection."""
    replies = [body(reply) for reply in (text("hi"), Reply([Tokens(500)]))]
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    script = [step for reply in replies for step in (ASK, STREAM % len(reply) + reply)]
    async with raw_server(script, tls=authority.server()) as server:
        provider = chat(f"https://localhost:{server.port}/v1")
        assert (await ask(provider)).text == "hi"
        assert len((await ask(provider)).text.split()) == 500
        await provider.aclose()
    assert server.connections == 1


async def test_provider_does_not_trust_everybody(authority: Authority) -> None:
    """What would be no better the next time is no outage. The remedy is named, and the same is said of the list of models."""
    async with raw_server([ASK], [ASK], tls=authority.server()) as server:
        provider = chat(f"https://localhost:{server.port}/v1")
        for asked in (lambda: ask(provider), provider.models):
            with pytest.raises(
                ProviderError, match=r"cannot be trusted: unable to get local issuer certificate.*SSL_CERT_FILE"
            ) as caught:
                await asked()
            assert not caught.value.retryable
        await provider.aclose()


async def test_certificate_of_another_name(authority: Authority, monkeypatch: pytest.MonkeyPatch, names: Names) -> None:
    """To trust its authority would not help."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    async with raw_server([ASK], tls=authority.server()) as server:
        names.port = server.port
        provider = chat("https://model.test/v1")
        with pytest.raises(ProviderError, match=r"hostname mismatch.*Is the base URL right") as caught:
            await ask(provider)
        assert not caught.value.retryable
        await provider.aclose()
