"""What the OpenAI SDK knows: where requests go and with which headers; unusual requests are its own.

Theory of operation: the SDK makes one request that is sent nowhere (`_rehearse`); its head is that of all our requests, which go
over the same connections without it: to build a request costs it 0.3 ms, and its HTTP client needs another 0.7. Behind a proxy
all is httpx2's. To import this module takes half a second, to use the SDK for the first time 50 ms: a worker thread does both.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import anyio
import httpx2
import openai
import trio

from agentd.providers.http1 import HttpError, request_head, why
from agentd.providers.http1_pool import Pool
from agentd.providers.http1_transport import Http1Transport, origin

ENVIRONMENT: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
"""Variables that decide how a connection is made."""

_HEADERS: Final = {"content-type": "application/json", "accept": "text/event-stream", "accept-encoding": "identity"}
_LIMITS: Final = httpx2.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=60)
"""Behind a proxy: as many at once as there may be streams."""
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

    async def aclose(self) -> None:
        """End the exchange; without effect at the second time. Works in a cancelled scope."""


Post = Callable[[Sequence[bytes]], Awaitable[Answer]]


class Sdk:
    """Made in a worker thread; `aclose` closes its connections. `connect`: seconds.

    Error handling: making one raises ImportError, OSError, ValueError or HttpError if this machine's certificates, the proxy
    settings or the key cannot be used.
    """

    def __init__(self, base: str, key: str, connect: float) -> None:
        context = httpx2.create_ssl_context()
        context.set_alpn_protocols(["http/1.1"])
        timeout = httpx2.Timeout(None, connect=connect)  # all other waits are the caller's
        self._pool = Pool(context, connect)
        try:
            if proxied(base):
                http = httpx2.AsyncClient(verify=context, timeout=timeout, limits=_LIMITS, follow_redirects=False)
            else:
                transport = Http1Transport(self._pool, context)
                http = httpx2.AsyncClient(transport=transport, timeout=timeout, follow_redirects=False)
        except httpx2.InvalidURL as error:
            raise ValueError(str(error)) from None
        self._client = openai.AsyncOpenAI(api_key=key, base_url=base, max_retries=0, timeout=timeout, http_client=http)
        request = trio.run(_rehearse, self._client)
        self._post = _through_httpx2(http, request) if proxied(base) else _through_pool(self._pool, request)

    async def post(self, body: bytes | Sequence[bytes]) -> Answer:
        """A chat completion request with this body, which may be in blocks. Raises HttpError."""
        return await self._post([body] if isinstance(body, bytes) else body)

    async def get(self, path: str) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of a small answer. Raises HttpError."""
        try:
            response = await self._client.get(path, cast_to=httpx2.Response)
        except openai.APIStatusError as error:
            response = error.response
        except (openai.OpenAIError, *_BROKEN) as error:
            raise HttpError(why(error)) from None
        return response.status_code, response.headers, response.content

    async def aclose(self) -> None:
        self._pool.close()
        await self._client.close()


def proxied(url: str) -> bool:
    """True if the environment names a proxy for this address and does not except its host."""
    parts, proxies = urlsplit(url), getproxies()
    if not (proxies.get(parts.scheme) or proxies.get("all")):
        return False
    return not proxy_bypass(parts.hostname or "")


async def _rehearse(client: openai.AsyncOpenAI) -> httpx2.Request:
    """The request as the SDK makes it, sent nowhere."""
    asked: list[httpx2.Request] = []

    async def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=b"data: [DONE]\n\n")

    async with client.with_options(http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(answer))) as rehearsing:
        response = await rehearsing.post(
            "/chat/completions", content=b"{}", cast_to=httpx2.Response, stream=True, options={"headers": _HEADERS}
        )
        await response.aclose()
    request = asked[0]
    del request.headers["content-length"]
    return request


# --- the two ways --------------------------------------------------------------------------------------------------------------


def _through_pool(pool: Pool, like: httpx2.Request) -> Post:
    to, head = origin(like.url), request_head(b"POST", like.url.raw_path, like.headers.raw)

    async def post(blocks: Sequence[bytes]) -> Answer:
        return await pool.exchange(to, [b"%bcontent-length: %d\r\n\r\n" % (head, sum(map(len, blocks))), *blocks], again=False)

    return post


def _through_httpx2(http: httpx2.AsyncClient, like: httpx2.Request) -> Post:
    async def post(blocks: Sequence[bytes]) -> Answer:
        request = httpx2.Request("POST", like.url, headers=like.headers, content=b"".join(blocks), extensions=like.extensions)
        try:
            return _Response(await http.send(request, stream=True))
        except _BROKEN as error:
            raise HttpError(why(error)) from None

    return post


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

    async def aclose(self) -> None:
        """A cancellation passes through httpx2's nested generators; closed, the outer one leaves the others to the collector."""
        with trio.CancelScope() as scope:
            scope.cancel()
            async for _ in self._chunks:
                pass
        await self._response.aclose()
