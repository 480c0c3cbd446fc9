"""A model server that reads a request without looking into it: `... PASSAGES` answers with another passage each time, `... calls N`
with N calls of the tool `todo`, one in each reply, and then a word, over and over.

What a long history costs the daemon is not to be hidden behind what it costs a server to parse it.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterable
from typing import Any

import msgspec
import trio

from benchmarks.passages import passages

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_READ = 1 << 20


def arguments(number: int) -> dict[str, Any]:
    """Those of call `number`."""
    return {"todos": [{"text": f"step {number}", "state": "in_progress"}]}


def _said(text: str) -> bytes:
    return _reply({"content": text}, "stop")


def _call(number: int) -> bytes:
    function = {"name": "todo", "arguments": msgspec.json.encode(arguments(number)).decode()}
    return _reply({"tool_calls": [{"index": 0, "id": f"call-{number}", "type": "function", "function": function}]}, "tool_calls")


def _reply(delta: dict[str, Any], reason: str) -> bytes:
    """Its body."""
    events = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
        {"choices": [], "usage": {"prompt_tokens": 5000, "completion_tokens": 80}},
    ]
    body = b"".join(b"data: %b\n\n" % msgspec.json.encode(event) for event in events) + b"data: [DONE]\n\n"
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


async def _main(bodies: Iterable[bytes]) -> None:
    replies = itertools.cycle(bodies)

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
                await stream.send_all(_HEAD)
                await stream.send_all(next(replies))

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    print(listeners[0].socket.getsockname()[1], flush=True)
    await trio.serve_listeners(serve, listeners)


if __name__ == "__main__":
    if sys.argv[1] == "calls":
        trio.run(_main, [*map(_call, range(int(sys.argv[2]))), _said("done")])
    else:
        trio.run(_main, map(_said, passages(int(sys.argv[1]))))
