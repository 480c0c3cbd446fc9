"""The floor below the relay: a client that talks to the model server itself, with nothing between."""

from __future__ import annotations

import socket
import time

import trio

from benchmarks.wires import Wire


async def read(wire: Wire, port: int, prompt: str, times: int) -> int:
    """Read a reply so many times on one connection, every token decoded; returns the number of tokens."""
    stream, pending, tokens, said = await trio.open_tcp_stream("127.0.0.1", port), b"", 0, wire.said
    async with stream:
        for _ in range(times):
            await stream.send_all(wire.post(prompt))
            ended = False
            while not ended:
                *lines, pending = (pending + await stream.receive_some(65536)).split(b"\n")
                ended = b"0\r" in lines
                for line in lines:
                    tokens += bool(said(line))
    return tokens


class Bare:
    """A blocking client on a kept connection: the least time in which a first token can be had."""

    def __init__(self, wire: Wire, port: int) -> None:
        self._wire = wire
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def first_token(self, prompt: str) -> float:
        """Seconds from the request to the first token; reads the reply to its end."""
        began = time.perf_counter()
        self._socket.sendall(self._wire.post(prompt))
        data, first = b"", 0.0
        while not data.endswith(b"\r\n0\r\n\r\n"):
            data += self._socket.recv(65536)
            if not first and any(map(self._wire.said, data.split(b"\n")[:-1])):
                first = time.perf_counter() - began
        return first

    def close(self) -> None:
        self._socket.close()
