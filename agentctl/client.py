"""The blocking client of one-shot commands: one Unix socket, one request at a time, events buffered in between.

Standard library only, and little of it: every command pays for what is imported here. `typing` alone costs a tenth of a start,
hence the guard below, which type checkers read as true.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from collections import deque
from collections.abc import Iterator, Mapping

from agentwire import __version__
from agentwire.codec import MAX_FRAME, FrameReader, Oversized, decode, request
from agentwire.errors import AgentError, DeadlineExceeded, InvalidParams, ProtocolError, Unreachable, VersionMismatch, from_wire
from agentwire.paths import Paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

PROTOCOL = 1
"""The protocol version spoken here; a test holds it equal to `agentwire.messages.PROTOCOL_VERSION`, which is dear to import."""
HANDSHAKE_SECONDS = 10.0
CALL_SECONDS = 60.0
"""Every method answers when its effect is durable, not when a turn ends: a minute is a daemon in trouble."""
_RECEIVE = 256 * 1024


class Client:
    """A connection that has shaken hands.

    *Resource handling*: owns its socket; `close()` or `with`. *Errors*: `Unreachable` if the daemon is not there or goes away,
    whatever the daemon answers (`agentwire.errors`), `DeadlineExceeded` if it does not answer. After an exception that is not an
    answer (a deadline, KeyboardInterrupt) the connection is in no known state: close it.
    """

    initialized: dict[str, Any]
    """The answer to `initialize`."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._reader = FrameReader()
        self._frames: deque[bytes | Oversized] = deque()
        self._events: deque[dict[str, Any]] = deque()
        self._number = 0
        self.initialized = {}

    @classmethod
    def connect(
        cls, paths: Paths, *, start: bool = True, environ: Mapping[str, str] | None = None, prompting: bool = True
    ) -> Client:
        """Connects and shakes hands; with `start`, a daemon that is missing is started first.

        With `environ` the daemon compares its configuration variables with ours (`initialized["environment_differs"]`), and
        expects a prompt, unless `prompting` is False.
        """
        meaning = {} if environ is None else intent(environ, prompting=prompting)
        try:
            return cls._greeted(_opened(paths, start=start), meaning)
        except Unreachable as error:
            if not error.details.get("hung_up"):
                raise
        # It was accepted by a daemon that was about to begin anew: the next one waits for us already, or is missing.
        return cls._greeted(_opened(paths, start=start), meaning)

    @classmethod
    def _greeted(cls, sock: socket.socket, meaning: Mapping[str, Any]) -> Client:
        client = cls(sock)
        try:
            client._shake_hands(meaning)
        except BaseException:
            client.close()
            raise
        return client

    def call(self, method: str, params: dict[str, Any], *, timeout: float = CALL_SECONDS) -> dict[str, Any]:
        """The result of one request; events that arrive meanwhile wait for `events()`. `timeout` in seconds."""
        self._number += 1
        frame = request(self._number, method, params)
        if len(frame) > MAX_FRAME:
            raise InvalidParams(f"{len(frame)} bytes are more than one request can hold ({MAX_FRAME}); put long text in a file")
        self._sock.settimeout(timeout)
        try:
            self._send(frame)
            while True:
                message = self._message()
                if "method" in message:
                    self._keep(message)
                elif message.get("id") == self._number or message.get("id") is None:
                    return _result(message)
        except TimeoutError:
            raise DeadlineExceeded(f"the daemon did not answer {method} within {timeout:g} s; see `agentctl daemon logs`") from None

    def events(self, *, timeout: float | None = None) -> Iterator[dict[str, Any]]:
        """The events of this connection's watches as they come, for ever.

        Raises `Unreachable` when the daemon goes away, `DeadlineExceeded` when nothing comes for `timeout` seconds, and
        `BrokenPipeError` when whoever read our stdout is gone: nobody would see what comes.
        """
        while True:
            while self._events:
                yield self._events.popleft()
            self._sock.settimeout(timeout)
            try:
                if not self._frames:
                    _wait(self._sock, timeout)
                self._keep(self._message())
            except TimeoutError:
                raise DeadlineExceeded(f"nothing came from the daemon for {timeout:g} s; see `agentctl daemon logs`") from None

    @property
    def daemon_pid(self) -> int:
        """The process that made the socket (SO_PEERCRED): known even where the protocol versions differ."""
        return peer(self._sock)[0]

    def close(self) -> None:
        """Ends the connection; the session's turn goes on."""
        self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _shake_hands(self, meaning: Mapping[str, Any]) -> None:
        params = {"protocol": PROTOCOL, "client": "agentctl", "version": __version__, **meaning}
        try:
            self.initialized = self.call("initialize", params, timeout=HANDSHAKE_SECONDS)
        except VersionMismatch as error:
            raise mismatch(error.message, error.details) from None
        except InvalidParams as error:  # an older daemon of the same protocol
            raise mismatch(f"the daemon (pid {self.daemon_pid}) is of another release: {error.message}", {}) from None
        except DeadlineExceeded:
            raise Unreachable(
                f"the daemon (pid {self.daemon_pid}) accepts connections but does not answer; try `agentctl daemon restart`"
            ) from None
        if self.initialized.get("protocol") != PROTOCOL:
            raise mismatch(f"agentctl speaks protocol {PROTOCOL}, the daemon {self.initialized.get('protocol')}", {})

    def _send(self, frame: bytes) -> None:
        try:
            self._sock.sendall(frame)
        except TimeoutError:
            raise
        except OSError as error:
            raise _gone(error) from None

    def _message(self) -> dict[str, Any]:
        while not self._frames:
            try:
                data = self._sock.recv(_RECEIVE)
            except TimeoutError:
                raise
            except OSError as error:
                raise _gone(error) from None
            if not data:
                raise _gone(None)
            self._frames.extend(self._reader.feed(data))
        frame = self._frames.popleft()
        if isinstance(frame, Oversized):
            raise ProtocolError(f"the daemon sent a frame of more than {frame.limit} bytes")
        try:
            return decode(frame)
        except ValueError as error:
            raise ProtocolError(f"the daemon sent what is not a frame: {error}") from None

    def _keep(self, message: dict[str, Any]) -> None:
        if message.get("method") == "event":
            self._events.append(message["params"])


def _opened(paths: Paths, *, start: bool) -> socket.socket:
    try:
        return open_socket(paths)
    except Unreachable as error:
        if not start or error.details.get("untrusted"):
            raise
    from agentctl.start import ensure_running

    ensure_running(paths)
    return open_socket(paths)


def open_socket(paths: Paths) -> socket.socket:
    """A connected socket. Raises `Unreachable` with a reason; a place that others could have prepared is refused."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _check_owner(paths.runtime)
        sock.settimeout(HANDSHAKE_SECONDS)
        sock.connect(paths.socket)
        owner = peer(sock)[1]
        if owner not in (0, os.geteuid()):
            raise _untrusted(f"the process listening on {paths.socket} belongs to uid {owner}, not to you")
    except AgentError:
        sock.close()
        raise
    except OSError as error:
        sock.close()
        raise Unreachable(
            f"no daemon answers on {paths.socket} ({error.strerror or error}); start it with `agentctl daemon start`"
        ) from None
    return sock


def _wait(sock: socket.socket, timeout: float | None) -> None:
    """Until there is something to read. Raises TimeoutError, or BrokenPipeError if our stdout is a pipe that nobody reads."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    if sys.stdout is not None:
        poll.register(1, 0)  # the errors are reported unasked
    while True:
        ready = dict(poll.poll(None if timeout is None else timeout * 1000))
        if not ready:
            raise TimeoutError
        if ready.get(1, 0) & select.POLLERR:
            raise BrokenPipeError
        if sock.fileno() in ready:
            return
        poll.unregister(1)  # a terminal that hung up, or no stdout at all: not a pipe's end


def peer(sock: socket.socket) -> tuple[int, int]:
    """pid and uid of the process that listens at the other end (unix(7): struct ucred is three ints)."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[:4], sys.byteorder), int.from_bytes(credentials[4:8], sys.byteorder)


def intent(environ: Mapping[str, str], *, prompting: bool = True) -> dict[str, Any]:
    """What `initialize` says of a client: whether it will prompt, and fingerprints of its variables, which show no value."""
    from agentwire.environment import fingerprint

    salt = os.urandom(16).hex()
    return {"prompting": prompting, "salt": salt, "environment": fingerprint(environ, salt)}


def tool_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What the tools of a session see of our environment (architecture.md, "Configuration and environment")."""
    return {name: environ[name] for name in ("PATH", "LANG", "LC_ALL", "VIRTUAL_ENV", "SSH_AUTH_SOCK") if environ.get(name)}


def other_variables(initialized: Mapping[str, Any]) -> str:
    """A warning if the daemon was started with other configuration variables than ours; else empty."""
    names = ", ".join(initialized.get("environment_differs") or ())
    told = f"the daemon was started with another value of {names}; `agentctl daemon restart` makes it use yours"
    return told if names else ""


def mismatch(reason: str, details: dict[str, Any]) -> VersionMismatch:
    """A version mismatch with the way out."""
    return VersionMismatch(f"{reason}; `agentctl daemon restart` starts the installed version", **details)


def _check_owner(directory: str) -> None:
    info = os.stat(directory)
    if info.st_uid not in (0, os.geteuid()):
        raise _untrusted(f"{directory} belongs to uid {info.st_uid}, not to you: whatever listens there is not your daemon")
    if info.st_mode & 0o022:
        raise _untrusted(f"others can write to {directory}, so its socket cannot be trusted; try `chmod 700 {directory}`")


def _untrusted(reason: str) -> Unreachable:
    """Something is there, but it may be somebody else's: no reason to start a daemon."""
    return Unreachable(reason, untrusted=True)


def _gone(error: OSError | None) -> Unreachable:
    reason = f" ({error.strerror})" if error else ""
    return Unreachable(f"the daemon closed the connection{reason}; see `agentctl daemon logs`", hung_up=True)


def _result(message: dict[str, Any]) -> dict[str, Any]:
    error = message.get("error")
    if error is not None:
        raise from_wire(error)
    result = message.get("result")
    return result if isinstance(result, dict) else {}
