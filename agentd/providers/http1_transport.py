"""Our HTTP/1.1 below httpx2's client: what the SDK sends goes over the connections of a `Pool`.

Only plain requests do. Whatever this transport does not know goes to httpx2's own: other schemes, bodies of unknown length,
upgrades, time limits other than the one to connect, which is the pool's. Behind a proxy it is not used at all.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

import httpx2

from agentd.providers.http1 import HttpError, Slow, Unreachable, request_head
from agentd.providers.http1_pool import Exchange, Origin, Pool

_PORTS: Final = {"http": 80, "https": 443}
_UNKNOWN = frozenset((b"transfer-encoding", b"upgrade", b"expect", b"te"))
_LIMITS = ("read", "write", "pool")


class Http1Transport(httpx2.AsyncBaseTransport):
    """`pool` is its owner's; closing this closes only the transport beside it."""

    def __init__(self, pool: Pool, context: ssl.SSLContext) -> None:
        self._pool = pool
        self._aside = httpx2.AsyncHTTPTransport(verify=context)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if not _plain(request):
            return await self._aside.handle_async_request(request)
        method, body = request.method.encode("ascii"), await request.aread()
        with _translated():
            head = request_head(method, request.url.raw_path, request.headers.raw)
            exchange = await self._pool.exchange(origin(request.url), [head, b"\r\n", body], method)
        told = exchange.head
        extensions = {"http_version": b"HTTP/1.%d" % told.minor, "reason_phrase": told.reason}
        return httpx2.Response(told.status, headers=list(told.fields), stream=_Body(exchange), extensions=extensions)

    async def aclose(self) -> None:
        await self._aside.aclose()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _translated():
            while data := await self._exchange.receive():
                yield data

    async def aclose(self) -> None:
        await self._exchange.aclose()


def origin(url: httpx2.URL) -> Origin:
    return Origin(url.scheme == "https", url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme])


def _plain(request: httpx2.Request) -> bool:
    limits = request.extensions.get("timeout", {})
    return (
        request.url.scheme in _PORTS
        and isinstance(request.stream, httpx2.ByteStream)
        and not any(name.lower() in _UNKNOWN for name, _ in request.headers.raw)
        and all(limits.get(name) is None for name in _LIMITS)
    )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except Slow as error:
        raise httpx2.ConnectTimeout(str(error)) from error
    except Unreachable as error:
        raise httpx2.ConnectError(str(error)) from error
    except HttpError as error:
        raise httpx2.RemoteProtocolError(str(error)) from error
