"""Our transport beside httpx2's own: the same recorded answers mean the same, and what it does not know goes to the other."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx2
import pytest

from agentd.providers.http1_pool import Pool
from agentd.providers.http1_transport import Http1Transport
from tests.fakes.raw_server import Do, RawServer, Step, raw_server
from tests.providers.exchanges import ASK, OK
from tests.providers.test_http1 import BROKEN, WHOLE

Told = tuple[int, str, list[tuple[bytes, bytes]], bytes, bytes] | str


@asynccontextmanager
async def ours() -> AsyncIterator[httpx2.AsyncClient]:
    context = ssl.create_default_context()
    pool = Pool(context, 5)
    async with httpx2.AsyncClient(transport=Http1Transport(pool, context), timeout=None) as client:
        try:
            yield client
        finally:
            pool.close()


async def told(client: httpx2.AsyncClient, reply: bytes) -> Told:
    """All that a client says of an answer."""
    async with raw_server([ASK, reply]) as server:
        try:
            response = await client.post(f"http://127.0.0.1:{server.port}/v1", content=b"hi")
        except httpx2.HTTPError:
            return "failed"
    version: bytes = response.extensions["http_version"]
    return response.status_code, response.reason_phrase, response.headers.raw, version, response.content


STRICTER = {"space before an extension"}  # refused by httpx2, allowed by RFC 9112, 7.1.1
LENIENT = {  # httpx2 takes these; who reads them otherwise sees another message
    "bare line feeds",
    "bare line feed in the header",
    "folded",
    "twice the same",
    "list of lengths",
    "chunks and a length",
    "old chunks",
    "compressed",
    "upgrade",
    "endless length",
    "zero byte in an extension",
    "endless extension",
    "endless trailers",
    "endless head",
    "endless line",
    "endless interim",
    "HTTP/1.2",
}


@pytest.mark.parametrize("name", sorted(WHOLE.keys() - STRICTER))
async def test_same_answer_same_meaning(name: str) -> None:
    """Status, reason, headers, version and body."""
    async with ours() as client, httpx2.AsyncClient(timeout=None) as theirs:
        assert await told(client, WHOLE[name][0]) == await told(theirs, WHOLE[name][0])


@pytest.mark.parametrize("name", BROKEN)
async def test_same_failures(name: str) -> None:
    """Except where it is lenient and we are not."""
    async with ours() as client, httpx2.AsyncClient(timeout=None) as theirs:
        assert await told(client, BROKEN[name][0]) == "failed"
        if name not in LENIENT:
            assert await told(theirs, BROKEN[name][0]) == "failed"


async def test_same_request() -> None:
    """The same bytes on the wire, whatever the method; only compression is not asked for."""
    requests = []
    for make in (ours, httpx2.AsyncClient):
        async with raw_server([ASK, OK] * 4) as server, make() as client:
            url = f"http://127.0.0.1:{server.port}/a%20b?c=d"
            await client.get(url)
            await client.post(url, content=b"hi", headers={"X-Custom": "two words"})
            await client.post(url, json={"a": 1}, timeout=None)
            await client.delete(url)
            port = str(server.port).encode()
            requests.append([request.replace(port, b"").replace(b"gzip, deflate", b"identity") for request in server.requests])
    assert requests[0] == requests[1]


async def test_stream_that_is_left() -> None:
    """Its connection is closed."""
    async with raw_server([ASK, OK[:-1], Do.HANG]) as server, ours() as client:
        async with client.stream("POST", f"http://127.0.0.1:{server.port}/", content=b"hi") as response:
            assert response.status_code == 200
        await server.left(1)


async def test_nobody_listens() -> None:
    """Told apart from a server that answers with nonsense."""
    async with raw_server() as server:
        pass
    async with ours() as client:
        with pytest.raises(httpx2.ConnectError, match=r"^connection refused$"):
            await client.get(f"http://127.0.0.1:{server.port}/")


# --- stepping aside ------------------------------------------------------------------------------------------------------------


async def _pieces() -> AsyncIterator[bytes]:
    yield b"hi"


@asynccontextmanager
async def watched(script: Sequence[Step]) -> AsyncIterator[tuple[RawServer, httpx2.AsyncClient, list[str]]]:
    """A client with our transport, whose pool notes what it was asked for."""
    context, used = ssl.create_default_context(), list[str]()

    class Noting(Pool):
        async def exchange(self, *args: object, **options: object) -> object:  # type: ignore[override] # hands on as it comes
            used.append("ours")
            return await super().exchange(*args, **options)  # type: ignore[arg-type]

    pool = Noting(context, 5)
    async with raw_server(script) as server, httpx2.AsyncClient(transport=Http1Transport(pool, context), timeout=None) as client:
        try:
            yield server, client, used
        finally:
            pool.close()


@pytest.mark.parametrize(
    "options",
    [
        {"content": _pieces()},
        {"timeout": httpx2.Timeout(None, read=5)},
        {"headers": {"upgrade": "websocket"}},
        {"headers": {"expect": "100-continue"}},
    ],
)
async def test_what_it_does_not_know(options: dict[str, object]) -> None:
    """Bodies of unknown length, other time limits, upgrades: httpx2 does them, and does them right."""
    async with watched([Do.HEAD, OK]) as (server, client, used):
        response = await client.post(f"http://127.0.0.1:{server.port}/", **options)  # type: ignore[arg-type]
        assert response.content == b"hello"
        assert not used


async def test_what_it_knows() -> None:
    async with watched([ASK, OK, ASK, OK]) as (server, client, used):
        await client.get(f"http://127.0.0.1:{server.port}/", timeout=httpx2.Timeout(None, connect=3))
        await client.post(f"http://127.0.0.1:{server.port}/", content=b"hi")
        assert used == ["ours"] * 2


async def test_other_schemes() -> None:
    async with ours() as client:
        with pytest.raises(httpx2.UnsupportedProtocol):
            await client.get("ftp://127.0.0.1/")
