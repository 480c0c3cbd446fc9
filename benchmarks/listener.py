"""A model server that reads a request without looking into it and answers with another passage each time: `... PASSAGES`.

What a long history costs the daemon is not to be hidden behind what it costs a server to parse it.
"""

from __future__ import annotations

import itertools
import re
import sys

import msgspec
import trio

from benchmarks.passages import passages

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_READ = 1 << 20


def _reply(text: str) -> bytes:
    events = [
        {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 5000, "completion_tokens": 80}},
    ]
    body = b"".join(b"data: %b\n\n" % msgspec.json.encode(event) for event in events) + b"data: [DONE]\n\n"
    return b"%b%x\r\n%b\r\n0\r\n\r\n" % (_HEAD, len(body), body)


async def _main(count: int) -> None:
    replies = itertools.cycle(map(_reply, passages(count)))

    async def serve(stream: trio.SocketStream) -> None:
        pending = b""
        async with stream:
            while True:
                while b"\r\n\r\n" not in pending:
                    data = await stream.receive_some(_READ)
                    if not data:
                        return
                    pending += data
                end = pending.index(b"\r\n\r\n") + 4
                found = _LENGTH.search(pending, 0, end)
                left = (int(found[1]) if found else 0) - (len(pending) - end)
                while left > 0:
                    left -= len(await stream.receive_some(_READ))
                pending = b""
                await stream.send_all(next(replies))

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    print(listeners[0].socket.getsockname()[1], flush=True)
    await trio.serve_listeners(serve, listeners)


if __name__ == "__main__":
    trio.run(_main, int(sys.argv[1]))
