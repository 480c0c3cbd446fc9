"""Exchanges over HTTP/1.1: who is connected, who may be used again, and one request with its answer.

Theory of operation: a connection is kept only if its answer ended by its own framing and nothing came after it; it is looked at
before it is used again. The server may close it at that very moment: if it ends before the first byte of an answer, the request is
sent once more on a new one, as every HTTP client does, by us or by who counts the attempts. (Nothing else is ever repeated here.)
"""

from __future__ import annotations

import socket
import ssl
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import trio

from agentd.providers.http1 import Dropped, Head, HttpError, ResponseReader, Slow, Stale, Unreachable, unreachable, why
from agentd.providers.http1_link import Address, Link, TlsLink, connect, find

KEPT: Final = 100
"""Idle connections to one origin at most."""
IDLE: Final = 60.0
"""Seconds a connection is kept; the same for an address that answered: the host's name may mean another one by then."""


class Origin(NamedTuple):
    """Where requests go."""

    tls: bool
    host: str
    port: int


class Exchange:
    """An answer whose head is there: `status`, `headers` by lower-case name, and the body, read by `receive`."""

    __slots__ = ("_closed", "_link", "_origin", "_pool", "_reader", "_ready", "_sent", "head", "headers", "status")

    def __init__(
        self, pool: Pool, origin: Origin, link: Link, reader: ResponseReader, head: Head, ready: bytes, *, sent: bool
    ) -> None:
        self.head = head
        self.status = head.status
        self.headers: Mapping[str, str] = head.headers()
        self._pool, self._origin, self._link, self._reader, self._ready, self._sent = pool, origin, link, reader, ready, sent
        self._closed = False

    async def receive(self) -> bytes:
        """All that one read brought of the body; b"" at its end. Raises HttpError if the answer breaks off."""
        if ready := self._ready:
            self._ready = b""
            return ready
        reader = self._reader
        while not reader.done:
            if reader.failed is not None:
                raise reader.failed
            try:
                data = await self._link.receive()
            except OSError as error:
                raise _broken(error) from None
            if body := reader.feed(data):
                return body
        return b""

    async def give(self, take: Callable[[bytes], bool]) -> None:
        """Give `take` what each read brings, until it has enough (True) or the body ends; see `Arrivals.each`.

        Error handling: HttpError if the answer breaks off, and what `take` raises.
        """
        ready, self._ready = self._ready, b""
        enough = bool(ready) and take(ready)
        reader, link = self._reader, self._link

        def arrived() -> bool:
            nonlocal enough
            data = link.take()
            if data is None:
                return link.owing
            body = reader.feed(data)
            enough = bool(body) and take(body)
            return enough or reader.done or reader.failed is not None

        while not (enough or reader.done):
            if reader.failed is not None:
                raise reader.failed
            try:
                await link.arrivals(arrived)
            except OSError as error:
                raise _broken(error) from None

    async def aclose(self) -> None:
        """Keep the connection or close it; without waiting, so that it works in a cancelled scope. May be called again."""
        if self._closed:
            return
        self._closed = True
        if self._sent and self._reader.reusable:
            self._pool.keep(self._origin, self._link)
        else:
            self._link.close()


def _broken(error: OSError) -> HttpError:
    return HttpError(f"the connection broke in the middle of its answer: {why(error)}")


class Pool:
    """Connections to any number of origins; no limit on how many at once.

    `timeout`: seconds to connect, TLS included; it may be changed.
    """

    def __init__(self, context: ssl.SSLContext, timeout: float) -> None:
        self._context = context
        self.timeout = timeout
        self._kept: dict[Origin, deque[tuple[float, Link]]] = {}
        self._known: dict[Origin, tuple[float, Address]] = {}

    async def exchange(self, origin: Origin, blocks: Sequence[bytes], method: bytes = b"POST", *, again: bool = True) -> Exchange:
        """Send a request, head and body, and read until the head of its answer. Raises HttpError.

        `again` False: whoever asks counts what is sent; a kept connection that dies raises Stale.
        """
        if link := self._take(origin):
            try:
                return await self._ask(origin, link, blocks, method)
            except Dropped as error:
                if not again:
                    raise Stale(str(error)) from None
        return await self._ask(origin, await self._connect(origin), blocks, method)

    def keep(self, origin: Origin, link: Link) -> None:
        """For the next request."""
        now, kept = trio.current_time(), self._kept.setdefault(origin, deque())
        kept.append((now, link))
        while kept and (len(kept) > KEPT or kept[0][0] < now - IDLE):
            kept.popleft()[1].close()

    def close(self) -> None:
        """Close what is kept; exchanges under way are their owners'."""
        for kept in self._kept.values():
            for _, link in kept:
                link.close()
        self._kept.clear()

    def _take(self, origin: Origin) -> Link | None:
        """The connection used last, if it is still good."""
        kept, oldest = self._kept.get(origin), trio.current_time() - IDLE
        while kept:
            since, link = kept.pop()
            if since >= oldest and link.silent:
                return link
            link.close()
        return None

    async def _ask(self, origin: Origin, link: Link, blocks: Sequence[bytes], method: bytes) -> Exchange:
        reader, body, unsent = ResponseReader(method), b"", None
        try:
            try:
                await link.send(blocks)
            except OSError as error:  # it may have answered before it had read everything
                unsent = error
            while reader.head is None:
                if reader.failed is not None:
                    raise reader.failed
                body = reader.feed(await link.receive())
            return Exchange(self, origin, link, reader, reader.head, body, sent=unsent is None)
        except OSError as error:
            link.close()
            broken = HttpError if reader.begun else Dropped
            raise broken(f"the connection broke before its answer: {why(unsent or error)}") from None
        except BaseException:
            link.close()
            raise

    async def _connect(self, origin: Origin) -> Link:
        failure: Unreachable = Slow(f"it did not accept a connection within {self.timeout:g} s")
        with trio.move_on_after(self.timeout):
            try:
                return await self._open(origin)
            except OSError as error:
                failure = unreachable(error)
        self._known.pop(origin, None)
        raise failure

    async def _open(self, origin: Origin) -> Link:
        connected = await self._again(origin)
        if connected is None:
            connected = await find(origin.host, origin.port)
            self._known[origin] = (trio.current_time(), (connected.family, connected.getpeername()))
        if not origin.tls:
            return Link(connected)
        link = TlsLink(connected, self._context, origin.host)
        try:
            await link.handshake()
        except BaseException:
            link.close()
            raise
        return link

    async def _again(self, origin: Origin) -> socket.socket | None:
        """To the address that answered last: no asking for the host's name, no race of all its addresses."""
        if origin not in self._known:
            return None
        found, address = self._known[origin]
        if found >= trio.current_time() - IDLE:
            with trio.move_on_after(self.timeout / 4), suppress(OSError):
                return await connect(address)
        del self._known[origin]
        return None
