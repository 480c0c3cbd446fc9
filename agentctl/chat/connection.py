"""The daemon's socket on asyncio: calls, a queue of events, and dialling until somebody answers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from typing import Any, TypeVar

from agentctl.client import PROTOCOL, intent, mismatch, open_socket
from agentwire import __version__
from agentwire.codec import MAX_FRAME, FrameReader, Oversized, decode, request
from agentwire.errors import AgentError, InvalidParams, Unreachable, VersionMismatch, from_wire
from agentwire.paths import Paths

T = TypeVar("T")
Event = dict[str, Any]

HANDSHAKE_SECONDS = 10.0
FIRST_DELAY, LONGEST_DELAY = 0.05, 3.0
"""Seconds between attempts to reach the daemon: doubled each time, up to the second."""
_READ = 256 * 1024


class Connection:
    """One connection that has shaken hands.

    *Resource handling*: owns its socket and a reader task; `close()` ends both. *Errors*: every call that is under way when the
    connection ends raises `Unreachable`; `events()` then returns what was still there and afterwards an empty list.
    """

    initialized: dict[str, Any]
    """The answer to `initialize`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._number = 0
        self._events: list[Event] = []
        self._stirred = asyncio.Event()
        self.closed = False
        self.initialized = {}
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, paths: Paths, environ: Mapping[str, str], *, start: bool) -> Connection:
        """Connects and shakes hands; with `start`, a daemon that is missing is started first."""
        sock = await in_thread(lambda: _socket(paths, start=start))
        sock.setblocking(False)
        connection = cls(*await asyncio.open_unix_connection(sock=sock))
        try:
            await connection._shake_hands(environ)
        except BaseException:
            connection.close()
            raise
        return connection

    async def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """The result of one request. Raises what the daemon answers, or `Unreachable`."""
        if self.closed:
            raise Unreachable("the connection to the daemon is closed")
        self._number += 1
        number = self._number
        frame = request(number, method, params)
        if len(frame) > MAX_FRAME:
            raise InvalidParams(f"{len(frame)} bytes are more than one request can hold ({MAX_FRAME}); put long text in a file")
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._writer.write(frame)
        try:
            result: dict[str, Any] = await future
        finally:
            self._waiting.pop(number, None)
        return result

    async def events(self) -> list[Event]:
        """All events that have come since the last call, at least one; empty when the connection has ended."""
        while not self._events and not self.closed:
            self._stirred.clear()
            await self._stirred.wait()
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        """Ends the connection; the session's turn goes on."""
        self._end()
        self._task.cancel()

    async def _shake_hands(self, environ: Mapping[str, str]) -> None:
        params = {"protocol": PROTOCOL, "client": "agentctl chat", "version": __version__, **intent(environ)}
        try:
            self.initialized = await asyncio.wait_for(self.call("initialize", params), HANDSHAKE_SECONDS)
        except VersionMismatch as error:
            raise mismatch(error.message, error.details) from None
        except InvalidParams as error:  # an older daemon of the same protocol
            raise mismatch(f"the daemon is of another release: {error.message}", {}) from None
        except TimeoutError:
            raise Unreachable("the daemon accepts connections but does not answer; try `agentctl daemon restart`") from None

    async def _read(self) -> None:
        frames = FrameReader()
        try:
            while data := await self._reader.read(_READ):
                for frame in frames.feed(data):
                    self._take(frame)
                self._stirred.set()
        except (OSError, ValueError):
            pass  # a peer that is gone or talks nonsense: the same to us, we dial again
        finally:
            self._end()

    def _take(self, frame: bytes | Oversized) -> None:
        if isinstance(frame, Oversized):
            raise ValueError("a frame over the limit")
        message = decode(frame)
        if message.get("method") == "event":
            self._events.append(message["params"])
            return
        future = self._waiting.get(message.get("id") or 0)
        if future is None or future.done():
            return
        if message.get("error") is not None:
            future.set_exception(from_wire(message["error"]))
        else:
            future.set_result(message.get("result") or {})

    def _end(self) -> None:
        self.closed = True
        self._stirred.set()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Unreachable("the daemon closed the connection"))
        with suppress(RuntimeError):  # the loop may be gone already
            self._writer.close()


async def dial(
    paths: Paths,
    environ: Mapping[str, str],
    *,
    may_start: Callable[[], bool],
    failed: Callable[[int, AgentError], None],
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> Connection:
    """Tries until the daemon answers, starting it where `may_start()` says so.

    `failed` hears of each attempt, counted from 1, and may raise to give up. What no waiting mends is raised: another protocol
    version, or a socket that is not ours.
    """
    delay = FIRST_DELAY
    for attempt in count(1):
        try:
            return await Connection.open(paths, environ, start=may_start())
        except AgentError as error:
            if isinstance(error, VersionMismatch) or error.details.get("untrusted"):
                raise
            failed(attempt, error)
        await sleep(delay)
        delay = min(delay * 2, LONGEST_DELAY)
    raise AssertionError("count() never ends")


def _socket(paths: Paths, *, start: bool) -> Any:
    try:
        return open_socket(paths)
    except Unreachable as error:
        if not start or error.details.get("untrusted"):
            raise
    from agentctl.start import ensure_running

    ensure_running(paths)
    return open_socket(paths)


async def in_thread(work: Callable[[], T]) -> T:
    """`work()` in a thread that nobody waits for at exit: leaving the chat does not wait for a daemon that is slow to start."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  # it is raised again, in the loop's thread
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name="dial").start()
    return await asyncio.wrap_future(future)
