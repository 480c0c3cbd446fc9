"""What the tests of connections share: requests and answers as they go over the wire, and a name that means what a test says."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from agentd.providers.http1_pool import Exchange, Origin, Pool
from tests.fakes.raw_server import Do

ASK = Do.ASK
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
HEAD = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"


@asynccontextmanager
async def asked(pool: Pool, to: Origin, body: bytes = b"hi") -> AsyncIterator[Exchange]:
    exchange = await pool.exchange(to, [HEAD % len(body), body])
    try:
        yield exchange
    finally:
        await exchange.aclose()


async def answer(pool: Pool, to: Origin, body: bytes = b"hi") -> bytes:
    """The body of one exchange."""
    pieces = []
    async with asked(pool, to, body) as exchange:
        while piece := await exchange.receive():
            pieces.append(piece)
    return b"".join(pieces)


class Names(trio.abc.HostnameResolver):
    """Where `model.test` is, and how often it was asked for."""

    def __init__(self) -> None:
        self.port = 0
        self.asked = 0

    async def getaddrinfo(self, *args: object, **options: object) -> Any:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", self.port))]

    async def getnameinfo(self, sockaddr: object, flags: int) -> Any:
        raise NotImplementedError
