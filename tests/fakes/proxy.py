"""An HTTP proxy on 127.0.0.1: `CONNECT` for https, whole addresses for http, as RFC 9110 and 9112 describe them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import trio


class Proxy:
    """`seen`: the request lines that came."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._serve, listeners)

    async def _serve(self, client: trio.SocketStream) -> None:
        """One request decides where the connection goes."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = await client.receive_some()
            if not piece:
                return
            data += piece
        line, _, rest = data.partition(b"\r\n")
        method, target, version = line.decode("ascii").split(" ")
        self.seen.append(f"{method} {target}")
        to = urlsplit(f"//{target}" if method == "CONNECT" else target)
        server = await trio.open_tcp_stream(to.hostname or "", to.port or 80)
        if method == "CONNECT":
            await client.send_all(b"HTTP/1.1 200 Connected\r\n\r\n")
        else:
            await server.send_all(f"{method} {to.path} {version}\r\n".encode() + rest)
        async with client, server, trio.open_nursery() as nursery:
            nursery.start_soon(_pump, client, server, nursery.cancel_scope)
            nursery.start_soon(_pump, server, client, nursery.cancel_scope)


async def _pump(source: trio.SocketStream, sink: trio.SocketStream, both: trio.CancelScope) -> None:
    with suppress(trio.BrokenResourceError):
        async for data in source:
            await sink.send_all(data)
    both.cancel()


@asynccontextmanager
async def proxy() -> AsyncIterator[Proxy]:
    """A running proxy; leaving the scope ends it and its connections."""
    running = Proxy()
    async with trio.open_nursery() as nursery:
        await nursery.start(running.run)
        yield running
        nursery.cancel_scope.cancel()
