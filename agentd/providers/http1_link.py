"""A connection to a server, with or without TLS: bytes to it, and all that one read brings from it.

Theory of operation: a plain non-blocking socket and trio's two waits. One wait and one `recv` per read cost half of what
`trio.SocketStream` does, and TLS over memory BIOs a fraction of `trio.SSLStream`. One task uses a link at a time. Closing is
synchronous, so that it works in a cancelled scope.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

import trio

from agentd.providers.http1_arrivals import here

READ: Final = 65536
"""Bytes of one read at most."""

_BLOCKS = 512  # in one sendmsg; the system allows 1,024
_RECORD = 16384  # the most that one TLS record holds
_GATHERED = 256 * 1024  # encrypted bytes in memory before they are sent


class Link:
    """Without TLS. Every method may raise OSError for a connection that broke (ssl.SSLError is one)."""

    __slots__ = ("_arrivals", "_socket")

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._arrivals = here()  # open from the first connection on, not from the first reply that comes in pieces

    async def send(self, blocks: Iterable[bytes]) -> None:
        """All of `blocks`, in order, without joining them."""
        left = deque(memoryview(block) for block in blocks if block)
        while left:
            try:
                sent = self._socket.sendmsg([left[i] for i in range(min(_BLOCKS, len(left)))])
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._socket)
                continue
            while left and sent >= len(left[0]):
                sent -= len(left.popleft())
            if sent:
                left[0] = left[0][sent:]

    async def receive(self) -> bytes:
        """Wait for something, and take all that is there (64 KiB at most); b"" at the end. A checkpoint each time."""
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            if (data := self.take()) is not None:
                return data

    async def arrivals(self, arrived: Callable[[], bool]) -> None:
        """Call `arrived` whenever `take` may have something, until it returns True: see `Arrivals.each`."""
        await self._arrivals.each(self._socket.fileno(), arrived)

    def take(self) -> bytes | None:
        """What is there now, as `receive` has it; None if nothing is."""
        try:
            return self._socket.recv(READ)
        except BlockingIOError:
            return None

    @property
    def owing(self) -> bool:
        """True if something must be sent before more can come: `arrivals` does it."""
        return False

    @property
    def silent(self) -> bool:
        """True if nothing came since the last read, neither bytes nor an end: it can be used again."""
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def close(self) -> None:
        """May be called again."""
        self._socket.close()


class TlsLink(Link):
    """With TLS. `handshake` comes first. An end that the server did not announce is an error: it may be somebody else's cut."""

    __slots__ = ("_incoming", "_outgoing", "_tls")

    def __init__(self, connected: socket.socket, context: ssl.SSLContext, host: str) -> None:
        super().__init__(connected)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    async def handshake(self) -> None:
        """Also checks the certificate and the host's name, as the context says."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            else:
                return await self._flush()

    async def send(self, blocks: Iterable[bytes]) -> None:
        for block in blocks:
            left = memoryview(block)
            while left:
                left = left[self._tls.write(left[:_RECORD]) :]
                if self._outgoing.pending > _GATHERED:
                    await self._flush()
        await self._flush()

    async def receive(self) -> bytes:
        while (data := self._decrypted()) is None:
            if self._outgoing.pending:  # the server asked for new keys
                await self._flush()
            await self._fill()
        return data

    async def arrivals(self, arrived: Callable[[], bool]) -> None:
        if self._outgoing.pending:
            await self._flush()
        await super().arrivals(arrived)

    def take(self) -> bytes | None:
        if (data := super().take()) is None:
            return None
        self._write(data)
        return self._decrypted()

    @property
    def owing(self) -> bool:
        return self._outgoing.pending > 0

    @property
    def silent(self) -> bool:
        return not self._incoming.pending and not self._tls.pending() and super().silent

    def _decrypted(self) -> bytes | None:
        """All that can be read; None if there is nothing, b"" at the end. To look first is cheaper than OpenSSL's "not yet"."""
        tls, incoming, pieces = self._tls, self._incoming, list[bytes]()
        try:
            while incoming.pending or incoming.eof or tls.pending():
                piece = tls.read(_RECORD)
                if not piece:
                    incoming.write_eof()  # read again, it says the same
                    return b"".join(pieces)
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            if not pieces:
                raise
        return b"".join(pieces) if pieces else None

    async def _flush(self) -> None:
        await super().send([self._outgoing.read()])

    async def _fill(self) -> None:
        await trio.lowlevel.wait_readable(self._socket)
        if (data := super().take()) is not None:
            self._write(data)

    def _write(self, data: bytes) -> None:
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()


Address = tuple[int, Any]
"""A family of sockets and an address in it."""


async def connect(address: Address) -> socket.socket:
    """A connection to one address. Raises OSError."""
    connected = socket.socket(address[0], socket.SOCK_STREAM)
    connected.setblocking(False)
    try:
        error = connected.connect_ex(address[1])
        if error == errno.EINPROGRESS:
            await trio.lowlevel.wait_writable(connected)
            error = connected.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        connected.close()
        raise
    return connected


async def find(host: str, port: int) -> socket.socket:
    """A connection to the address of `host` that answers first. Raises OSError."""
    stream = await trio.open_tcp_stream(host, port)
    connected = socket.socket(fileno=stream.socket.detach())
    connected.setblocking(False)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected
