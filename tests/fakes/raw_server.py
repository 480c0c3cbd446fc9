"""A server that plays bytes: every connection follows a script, so that a test writes a conversation as it goes over the wire.

::

    async with raw_server([ASK, OK, ASK], [ASK, OK]) as server:   # the n-th connection plays the n-th script, then it is closed
        ... server.port, server.requests, server.connections; await server.closed(1); await server.left(1)

With a `tls` context it speaks TLS; an end is then announced only by `Do.GOODBYE`.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto

import trio


class Do(Enum):
    """What a connection does besides sending."""

    ASK = auto()  # read a whole request
    HEAD = auto()  # read a request's head, and of its body what came with it
    RESET = auto()  # end with RST
    GOODBYE = auto()  # tell of the end, in TLS
    HANG = auto()  # wait until the client goes away


Step = bytes | Do | trio.Event
"""An event is waited for."""

_PATIENCE = 10.0  # seconds until a test fails instead of hanging


class RawServer:
    """`requests`: all that was read, one per ASK or HEAD; `connections`: accepted so far; `names`: the hosts that TLS asked for."""

    def __init__(self, scripts: Sequence[Sequence[Step]], tls: ssl.SSLContext | None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.names: list[str | None] = []
        self.port = 0
        self._scripts = scripts
        self._tls = tls
        self._ends = 0
        self._hung_up = 0
        self._changed = trio.Event()
        if tls:
            tls.sni_callback = lambda _, name, __: self.names.append(name)

    async def asked(self, count: int) -> None:
        """Wait until so many requests were read."""
        await self._until(lambda: len(self.requests) >= count)

    async def closed(self, count: int) -> None:
        """Wait until so many connections were ended from here."""
        await self._until(lambda: self._ends >= count)

    async def left(self, count: int) -> None:
        """Wait until the client has gone away from so many connections that hang."""
        await self._until(lambda: self._hung_up >= count)

    async def _until(self, condition: Callable[[], bool]) -> None:
        with trio.fail_after(_PATIENCE):
            while not condition():
                await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._connection, listeners)

    async def _connection(self, connected: trio.SocketStream) -> None:
        script = self._scripts[self.connections]
        self.connections += 1
        stream: trio.abc.Stream = connected
        if self._tls:
            stream = trio.SSLStream(connected, self._tls, server_side=True)
        with suppress(trio.BrokenResourceError):
            for step in script:
                await self._play(step, stream, connected)
        await connected.aclose()
        self._ends += 1
        self._notify()

    async def _play(self, step: Step, stream: trio.abc.Stream, connected: trio.SocketStream) -> None:
        match step:
            case bytes():
                await stream.send_all(step)
            case trio.Event():
                await step.wait()
            case Do.ASK | Do.HEAD:
                self.requests.append(await _request(stream, whole=step is Do.ASK))
                self._notify()
            case Do.RESET:  # closing with a linger of 0 sends RST
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            case Do.GOODBYE:
                assert isinstance(stream, trio.SSLStream)
                await stream.unwrap()
            case Do.HANG:
                with suppress(trio.BrokenResourceError):
                    while await stream.receive_some():
                        pass
                self._hung_up += 1
                self._notify()


async def _request(stream: trio.abc.Stream, *, whole: bool) -> bytes:
    """One request; less of it if the client goes away."""
    data, length = bytearray(), 0
    while b"\r\n\r\n" not in data or (whole and len(data) < length):
        piece = await stream.receive_some()
        if not piece:
            break
        data += piece
        if not length and b"\r\n\r\n" in data:
            head, _, _ = bytes(data).partition(b"\r\n\r\n")
            sizes = [line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            length = len(head) + 4 + int(sizes[0] if sizes else 0)
    return bytes(data)


@asynccontextmanager
async def raw_server(*scripts: Sequence[Step], tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """A running server; leaving the scope ends it and its connections."""
    server = RawServer(scripts, tls)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        yield server
        nursery.cancel_scope.cancel()
