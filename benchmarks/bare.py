"""The floor below the relay: a client that talks to the model server itself, with nothing between."""

from __future__ import annotations

import socket
import time

import msgspec
import trio


class Delta(msgspec.Struct):
    content: str = ""


class Choice(msgspec.Struct):
    delta: Delta


class Chunk(msgspec.Struct):
    choices: list[Choice] = []


decode = msgspec.json.Decoder(Chunk).decode


def post(prompt: str) -> bytes:
    """A streaming request as it goes over the wire."""
    body = msgspec.json.encode({"model": "scripted-1", "messages": [{"role": "user", "content": prompt}], "stream": True})
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: bare\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


async def read(port: int, prompt: str, times: int) -> int:
    """Read a reply so many times on one connection, every token decoded; returns the number of tokens."""
    stream, pending, tokens = await trio.open_tcp_stream("127.0.0.1", port), b"", 0
    async with stream:
        for _ in range(times):
            await stream.send_all(post(prompt))
            ended = False
            while not ended:
                *lines, pending = (pending + await stream.receive_some(65536)).split(b"\n")
                ended = b"0\r" in lines
                for line in lines:
                    if line.startswith(b"data: {"):
                        tokens += sum(bool(choice.delta.content) for choice in decode(line[6:]).choices)
    return tokens


class Bare:
    """A blocking client on a kept connection: the least time in which a first token can be had."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def first_token(self, prompt: str) -> float:
        """Seconds from the request to the first token; reads the reply to its end."""
        began = time.perf_counter()
        self._socket.sendall(post(prompt))
        data, first = b"", 0.0
        while not data.endswith(b"\r\n0\r\n\r\n"):
            data += self._socket.recv(65536)
            if not first and b'"delta":{"content":"' in data:
                first = time.perf_counter() - began
        return first

    def close(self) -> None:
        self._socket.close()
