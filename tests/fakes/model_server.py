"""A scripted model server: real HTTP/1.1 on 127.0.0.1, speaking the dialect of the request.

In a test::

    async with serve([text("hello"), error(503), Reply([Say("half a "), Cut()])]) as server:   # n-th request, n-th answer
    async with serve(by_rules([Rule(text("hello"), match="greet")])) as server:                # chosen by the last user message
        ... server.url, server.seen[0].body, server.connections; await server.requests(2); await server.gone(1)

As a process, for the real daemon and for benchmarks (the script is `model_rules.load_rules`' JSON; the port is the first line)::

    python -m tests.fakes.model_server --port 0 --script rules.json

A request to /chat/completions is answered in Chat Completions, and so on (tests/fakes/voices/by_path.py). `GET /requests` answers
what was asked so far, as JSON: `[{number, connection, at, path, body}]`. `GET /v1/models` or `/api/tags` lists
`models`; `POST /api/pull` gets the answer `pulling`.
The steps and answers (text, error, Reply, Say, Tokens, Call, Cut, ...) are in model_script.py, the rules in model_rules.py.
"""

from __future__ import annotations

import argparse
import json
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import trio

from tests.fakes.model_rules import Choose, Request, Rule, by_rules, in_order, load_rules
from tests.fakes.model_script import Act, Action, Answer, Drop, Event, Fail, Reply, Silent, error, text
from tests.fakes.voices import Voice
from tests.fakes.voices.by_path import LISTS, REPLIES, is_one_of, voice_of

PULLED = Reply(
    [
        Event({"status": "pulling manifest"}),
        *(
            Event({"status": "pulling 8eeb52dfb3bb", "digest": "sha256:8eeb", "total": 2000, "completed": n})
            for n in (0, 700, 2000)
        ),
        Event({"status": "pulling 966de95ca8a6", "digest": "sha256:966d", "total": 500, "completed": 500}),
        *(Event({"status": status}) for status in ("verifying sha256 digest", "writing manifest", "success")),
    ],
    done=False,
)
"""How Ollama tells of a model that it fetches."""

_PATIENCE = 10.0  # seconds a test waits for a condition before it fails instead of hanging


class ScriptedModelServer:
    """See the module's head. `seen`: the model requests in order; `connections`: TCP connections accepted; `left`: answers that the
    client broke off; `listed`, `pulls`: how often it was asked for its models, and to fetch one. Attributes may be read at any time
    from the same event loop."""

    def __init__(self, script: Sequence[Answer] | Choose, *, models: Sequence[str] = ("scripted-1",)) -> None:
        self.choose = script if callable(script) else in_order(script)
        self.models: Answer | Sequence[str] = models
        self.seen: list[Request] = []
        self.pulling: Answer = PULLED
        self.pulls = 0
        self.listed = 0
        self.connections = 0
        self.left = 0
        self.port = 0
        self._changed = trio.Event()

    @property
    def url(self) -> str:
        """The base URL for an OpenAI client."""
        return f"{self.base}/v1"

    @property
    def base(self) -> str:
        """The base URL for a client that adds the version itself."""
        return f"http://127.0.0.1:{self.port}"

    async def requests(self, count: int) -> None:
        """Wait until `count` model requests have come in."""
        await self.until(lambda: len(self.seen) >= count)

    async def gone(self, count: int) -> None:
        """Wait until the client has broken off `count` answers."""
        await self.until(lambda: self.left >= count)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that happened here makes `condition` true. Raises trio.TooSlowError after 10 s."""
        with trio.fail_after(_PATIENCE):
            while not condition():
                await self._changed.wait()

    async def run(self, port: int = 0, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        listeners = await trio.open_tcp_listeners(port, host="127.0.0.1", backlog=512)
        self.port = listeners[0].socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._connection, listeners)

    async def _connection(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        connection, buffer = self.connections, bytearray()
        self._notify()
        with suppress(trio.BrokenResourceError):
            while (request := await self._read(stream, buffer, connection)) and await self._answer(stream, request):
                pass

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _read(self, stream: trio.SocketStream, buffer: bytearray, connection: int) -> Request | None:
        while b"\r\n\r\n" not in buffer:
            if not (data := await stream.receive_some()):
                return None
            buffer += data
        head, _, rest = bytes(buffer).partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        pieces, held = [rest], len(rest)
        while held < length:
            if not (data := await stream.receive_some()):
                return None
            pieces.append(data)
            held += len(data)
        whole = b"".join(pieces)
        buffer[:] = whole[length:]
        method, path, _ = first.split(" ", 2)
        body, raw = None, whole[:length]
        if method == "POST":
            with suppress(ValueError):
                body = json.loads(raw)
        return Request(len(self.seen) + 1, connection, method, path, headers, body, raw, time.monotonic())

    async def _answer(self, stream: trio.SocketStream, request: Request) -> bool:
        """True if the connection can take another request."""
        keep, answer, voice = False, self._route(request), voice_of(request.path, request.headers)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, stream, nursery.cancel_scope)
            try:
                keep = await self._send(stream, answer, voice)
            except trio.BrokenResourceError:
                self._leave()
            nursery.cancel_scope.cancel()
        return keep

    def _route(self, request: Request) -> Answer:
        if request.method == "POST" and is_one_of(request.path, REPLIES):
            answer = self.choose(request)
            self.seen.append(request)
            self._notify()
            return answer
        if is_one_of(request.path, LISTS):
            self.listed += 1
            if isinstance(self.models, (Reply, Fail, Drop, Silent)):
                return self.models
            return _json(voice_of(request.path, request.headers).models(self.models))
        if request.path == "/api/pull":
            self.pulls += 1
            self._notify()
            return self.pulling
        if request.path == "/requests":
            return _json(
                [{"number": r.number, "connection": r.connection, "at": r.at, "path": r.path, "body": r.body} for r in self.seen]
            )
        return error(404, f"no such path: {request.path}")

    async def _watch(self, stream: trio.SocketStream, answering: trio.CancelScope) -> None:
        """Notices a client that goes away while we have nothing to send. A client never speaks while it is being answered."""
        with suppress(OSError):
            if await stream.socket.recv(1, socket.MSG_PEEK):
                return
        self._leave()
        answering.cancel()

    def _leave(self) -> None:
        self.left += 1
        self._notify()

    async def _send(self, stream: trio.SocketStream, answer: Answer, voice: type[Voice]) -> bool:
        match answer:
            case Fail():
                await stream.send_all(_whole(answer, voice))
            case Drop():
                return _end(stream, reset=answer.reset)
            case Silent():
                await trio.sleep_forever()
            case Reply():
                kind = answer.content_type or voice.content_type
                head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"
                await stream.send_all(head.encode())
                return await self._stream(stream, answer.actions(voice()))
        return True

    async def _stream(self, stream: trio.SocketStream, actions: Iterable[Action]) -> bool:
        due, gathered = trio.current_time(), bytearray()
        for action in actions:
            if isinstance(action, bytes):
                gathered += action
                if len(gathered) < 65536:
                    continue
            if gathered:
                await stream.send_all(gathered)
                gathered = bytearray()
            if isinstance(action, float):
                due += action
                await trio.sleep_until(due)
            elif action is Act.HANG:
                await trio.sleep_forever()
            elif isinstance(action, Act):
                return _end(stream, reset=action is Act.RESET)
        await stream.send_all(bytes(gathered) + b"0\r\n\r\n")
        return True


def _end(stream: trio.SocketStream, *, reset: bool) -> bool:
    if reset:  # closing with a linger of 0 sends RST
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def _json(value: Any) -> Fail:
    return Fail(200, json.dumps(value))


def _whole(answer: Fail, voice: type[Voice]) -> bytes:
    said = (
        voice.error(answer.message, status=answer.status, code=answer.code, kind=answer.kind)
        if answer.body is None
        else answer.body
    )
    body = said.encode()
    headers = {"content-type": answer.content_type, "content-length": str(len(body)), **answer.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {answer.status} Scripted\r\n{lines}\r\n".encode() + body


@asynccontextmanager
async def serve(
    script: Sequence[Answer] | Choose, *, models: Sequence[str] = ("scripted-1",)
) -> AsyncIterator[ScriptedModelServer]:
    """A running server; leaving the scope ends it and its connections."""
    server = ScriptedModelServer(script, models=models)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        yield server
        nursery.cancel_scope.cancel()


async def _main(arguments: argparse.Namespace) -> None:
    rules = load_rules(await trio.Path(arguments.script).read_text()) if arguments.script else [Rule(text("hello"))]
    server = ScriptedModelServer(by_rules(rules))
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run, arguments.port)
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any free port; the one taken is printed")
    parser.add_argument("--script", type=Path, help="a JSON file of rules")
    trio.run(_main, parser.parse_args())
