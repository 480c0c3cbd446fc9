"""The connections to one host, whatever is spoken over them: where requests go, with which headers, and how.

Theory of operation: the vendor's SDK makes one request for each API key, which is sent nowhere (`_learn`); its head is that of all
our requests, which go over the pool's connections without the SDK: to build a request costs it 0.3 ms, and its HTTP client needs
another 0.7. What is rarely asked goes over the same connections by httpx2's client, and behind a proxy that does everything. To
import this module takes a third of a second, an SDK up to a second more: a worker thread does both.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import anyio
import httpx2
import trio

from agentd.providers.dialect import Rehearse
from agentd.providers.http1 import HttpError, Slow, Untrusted, causes, request_head, unreachable, why
from agentd.providers.http1_pool import Pool
from agentd.providers.http1_transport import Http1Transport, origin

_LIMITS: Final = httpx2.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=60)
"""Behind a proxy: as many at once as there may be streams."""
_LARGEST = 16 * 1024 * 1024  # bytes of an answer that is read whole
_BROKEN = (httpx2.HTTPError, ssl.SSLError, anyio.EndOfStream)
"""What httpx2 may raise while it reads."""


class Answer(Protocol):
    """An answer whose head is there. Header names are in lower case."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    async def receive(self) -> bytes:
        """The body's next bytes, all that are there; b"" at its end. Raises HttpError if it breaks off."""

    async def give(self, take: Callable[[bytes], bool]) -> None:
        """Give `take` what each read brings, until it has enough (True) or the body ends. Raises HttpError, and what `take` raises.

        It may be called from another task.
        """

    async def aclose(self) -> None:
        """End the exchange; without effect at the second time. Works in a cancelled scope."""


Post = Callable[[Sequence[bytes]], Awaitable[Answer]]


class Connections:
    """Made in a worker thread; `aclose` closes them. `keys`: at least one (empty if the host asks for none), each with a
    head of its own over the same connections. `headers`: further ones for every request. `connect`: seconds.

    Error handling: making them raises ImportError, OSError, ValueError or HttpError if this machine's certificates, the proxy
    settings, the address or a key cannot be used.
    """

    def __init__(self, base: str, keys: Sequence[str], headers: Mapping[str, str], rehearse: Rehearse, connect: float) -> None:
        context = httpx2.create_ssl_context()
        context.set_alpn_protocols(["http/1.1"])
        self._base = base.rstrip("/")
        self._pool = Pool(context, connect)
        try:
            self._http = self._client(context)
            learnt = [trio.run(_learn, rehearse, base, key, headers) for key in keys]
        except httpx2.InvalidURL as error:
            raise ValueError(str(error)) from None
        post = self._through_httpx2 if proxied(base) else self._through_pool
        self._posts = [post(request) for request in learnt]
        self._asking = learnt[0].headers.copy()
        self._asking.pop("content-type", None)
        self._asking["accept"] = "application/json"

    async def post(self, body: Sequence[bytes], key: int = 0) -> Answer:
        """The request that was rehearsed, with this body in blocks and the key of that number. Raises HttpError."""
        return await self._posts[key](body)

    async def get(self, path: str) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of an answer of 16 MiB at most; with the first key. Raises HttpError."""
        answer = await self.ask("GET", path)
        body = bytearray()
        try:
            while data := await answer.receive():
                body += data
                if len(body) > _LARGEST:
                    raise HttpError("its answer is longer than 16 MiB")
        finally:
            await answer.aclose()
        return answer.status, answer.headers, bytes(body)

    async def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        """A request that nobody rehearsed, with a body of JSON or none; with the first key. Raises HttpError."""
        headers = self._asking.copy()
        if body:
            headers["content-type"] = "application/json"
        return await self._send(
            httpx2.Request(method, self._base + path, headers=headers, content=body, extensions=self._extensions())
        )

    def reconfigure(self, connect: float) -> None:
        """The connections made from now on may take so many seconds."""
        self._pool.timeout = connect

    async def aclose(self) -> None:
        self._pool.close()
        await self._http.aclose()

    # --- the two ways ---------------------------------------------------------------------------------------------------------

    def _client(self, context: ssl.SSLContext) -> httpx2.AsyncClient:
        if proxied(self._base):
            return httpx2.AsyncClient(verify=context, limits=_LIMITS, follow_redirects=False)
        return httpx2.AsyncClient(transport=Http1Transport(self._pool, context), follow_redirects=False)

    def _through_pool(self, like: httpx2.Request) -> Post:
        pool, to, head = self._pool, origin(like.url), request_head(b"POST", like.url.raw_path, like.headers.raw)

        async def post(blocks: Sequence[bytes]) -> Answer:
            return await pool.exchange(to, [b"%bcontent-length: %d\r\n\r\n" % (head, sum(map(len, blocks))), *blocks], again=False)

        return post

    def _through_httpx2(self, like: httpx2.Request) -> Post:
        async def post(blocks: Sequence[bytes]) -> Answer:
            body, extensions = b"".join(blocks), self._extensions()
            return await self._send(httpx2.Request("POST", like.url, headers=like.headers, content=body, extensions=extensions))

        return post

    async def _send(self, request: httpx2.Request) -> Answer:
        try:
            return _Response(await self._http.send(request, stream=True))
        except _BROKEN as error:
            raise self._failure(error) from None

    def _failure(self, error: Exception) -> HttpError:
        """What httpx2's error says of the host, or of the proxy before it."""
        for cause in causes(error):
            if isinstance(cause, HttpError):  # the pool's, in httpx2's clothes
                return cause
        if isinstance(error, httpx2.ConnectTimeout):
            return Slow(f"{_proxy(self._base) or 'it'} did not accept a connection within {self._pool.timeout:g} s")
        if isinstance(found := unreachable(error), Untrusted):
            return found
        if isinstance(error, (httpx2.ConnectError, httpx2.ProxyError)):
            return HttpError(f"no connection through {_proxy(self._base)}: {found}. Is the proxy running, and the setting right?")
        return HttpError(why(error))

    def _extensions(self) -> dict[str, object]:
        """All waits but the one to connect are the caller's."""
        return {"timeout": httpx2.Timeout(None, connect=self._pool.timeout).as_dict()}


def proxied(url: str) -> bool:
    """True if the environment names a proxy for this address and does not except its host."""
    return bool(_proxy(url))


def _proxy(url: str) -> str:
    """The proxy for this address as people know it, and the variable that names it; empty if there is none."""
    parts, proxies = urlsplit(url), getproxies()
    kind = parts.scheme if proxies.get(parts.scheme) else "all"
    told = proxies.get(kind)
    if not told or proxy_bypass(parts.hostname or ""):
        return ""
    named = [name for name, value in os.environ.items() if name.lower() == f"{kind}_proxy" and value == told]
    return f"the proxy {told.rpartition('://')[2].rpartition('@')[2]} ({named[0] if named else 'set in the system'})"


async def _learn(rehearse: Rehearse, base: str, key: str, headers: Mapping[str, str]) -> httpx2.Request:
    """The request as the SDK makes it, sent nowhere."""
    asked: list[httpx2.Request] = []

    async def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=b"data: [DONE]\n\n")

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
        await rehearse(http, base, key, headers)
    request = asked[0]
    for name in ("content-length", "x-stainless-raw-response"):  # each body has its own; what the SDKs write for themselves
        request.headers.pop(name, None)
    return request


class _Response:
    """An `Answer` from httpx2."""

    def __init__(self, response: httpx2.Response) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._chunks: AsyncGenerator[bytes, None] = response.aiter_raw()

    async def receive(self) -> bytes:
        try:
            return await anext(self._chunks, b"")
        except _BROKEN as error:
            raise HttpError(why(error)) from None

    async def give(self, take: Callable[[bytes], bool]) -> None:
        while data := await self.receive():
            if take(data):
                return

    async def aclose(self) -> None:
        """A cancellation passes through httpx2's nested generators; closed, the outer one leaves the others to the collector."""
        with trio.CancelScope() as scope:
            scope.cancel()
            async for _ in self._chunks:
                pass
        await self._response.aclose()
