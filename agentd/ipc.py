"""The Unix socket: listener, peer credentials, frames in, coalesced bytes out.

Theory of operation: `Connection.send` writes with one non-blocking `send` in the caller's own task (a switch to a writer task for
each token costs more than the write). What the socket refuses waits in a deque, and the connection's writer task joins and
writes it when the socket takes more; so it does with what was committed (`post`), behind the turns that go on with it. A peer that
does not read is not read from either once its backlog is full.
"""

from __future__ import annotations

import errno
import os
import resource
import socket
import stat
import struct
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import structlog
import trio

from agentd.core.api import Caller
from agentd.rpc import MAX_BYTES, Outlet, Session
from agentwire.codec import FrameReader
from agentwire.errors import AgentError, ConfigError, Conflict
from agentwire.messages import error_frame

log = structlog.get_logger()

_READ = 256 * 1024
_JOIN = 256 * 1024
_PROBE = 1.0
"""Seconds a socket that is there already gets to accept us, before we count it as somebody's."""
_DRAIN = 1.0
"""Seconds a connection gets at shutdown to read what is left."""
_TURNING_AWAY, _HEARING = 1.0, 0.2
"""Seconds in which a daemon that cannot start answers, and what each client gets to say its request."""
_UCRED = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED
_BACKLOG = 1024
"""Who waits for the next run of the daemon is not refused; connect(2) of a full queue blocks, or fails for who cannot wait."""
_RESERVED = 256
"""Descriptors of the usual 1,024 that clients cannot take."""
_STARVED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

OpenSession = Callable[[Caller, Outlet, trio.Nursery], Session]


class Connection:
    """One client's socket, non-blocking. An `Outlet`."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._gone = False
        self._wake = trio.Event()
        self._empty = trio.Event()
        self._writing = trio.CancelScope(shield=True)

    def send(self, frame: bytes) -> None:
        if self._gone:
            return
        sent = 0 if self._waiting else self._try(frame)
        if sent < len(frame) and not self._gone:
            self._waiting.append(frame[sent:] if sent else frame)
            self._size += len(frame) - sent
            self._wake.set()

    def post(self, frame: bytes) -> None:
        # A write wakes its reader, and the kernel lets that run in our place at once: a turn would ask its model 0.1 ms later.
        if not self._gone:
            self._waiting.append(frame)
            self._size += len(frame)
            self._wake.set()

    def _try(self, data: bytes) -> int:
        try:
            return self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            self._lose()
            return 0

    def _lose(self) -> None:
        self._gone = True
        self._waiting.clear()
        self._size = 0
        self._empty.set()
        self._wake.set()

    @property
    def backlog(self) -> tuple[int, int]:
        return len(self._waiting), self._size

    async def drained(self) -> None:
        while self._waiting:
            if self._empty.is_set():  # else others wait for it already: every replay of this connection, and `room`
                self._empty = trio.Event()
            await self._empty.wait()
        await trio.lowlevel.checkpoint()

    async def write_rest(self) -> None:
        """The writer task: whatever `send` could not get rid of. Until `stop_writing`, and by nothing else: a connection that is
        cancelled because the daemon stops still has something to say."""
        with self._writing:
            while not self._gone:
                await self._wake.wait()
                self._wake = trio.Event()
                await trio.lowlevel.cancel_shielded_checkpoint()  # behind whoever was woken together with it
                while self._waiting:
                    self._write_some()
                    if self._waiting:
                        await trio.lowlevel.wait_writable(self._socket)
                self._empty.set()

    def stop_writing(self) -> None:
        self._writing.cancel()

    def _write_some(self) -> None:
        pieces, size = [], 0
        while self._waiting and size < _JOIN:
            pieces.append(self._waiting.popleft())
            size += len(pieces[-1])
        data = b"".join(pieces)
        sent = self._try(data)
        if self._gone:
            return
        self._size -= sent
        if sent < size:
            self._waiting.appendleft(data[sent:])

    async def room(self) -> None:
        """Wait while the peer does not read its answers: one that only asks is not heard, and fills no memory."""
        if self._size > MAX_BYTES:
            await self.drained()

    async def receive(self) -> bytes:
        """The next bytes; b"" at the end."""
        while not self._gone:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                return self._socket.recv(_READ)
            except (BlockingIOError, InterruptedError):
                continue
            except OSError:
                break
        return b""

    def peer_uid(self) -> int:
        """The uid of the process that connected, from the kernel."""
        _, uid, _ = _UCRED.unpack(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        return int(uid)

    def close(self) -> None:
        self._lose()
        self._socket.close()


class Listener:
    """The daemon's socket. `clients` counts open connections. `path`: its name."""

    def __init__(self, path: str, open_session: OpenSession) -> None:
        self.path, self._open_session = path, open_session
        self._socket: socket.socket | None = None
        self._name: os.stat_result | None = None  # what we made, or took over: another's is not ours to remove
        self.clients = 0
        self._starved = False  # said in the log once, not ten times a second

    def bind(self) -> None:
        """Bind and listen: mode 0600 in a 0700 directory that is ours.

        Error handling: ConfigError naming the path; Conflict if another daemon (of another data directory) listens there. The
        caller holds the lock of its data, so any other socket that is there is stale.
        """
        directory = os.path.dirname(self.path)
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            check_directory(directory)
            self._remove_stale()
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listening.setblocking(False)
            listening.bind(self.path)
            os.chmod(self.path, 0o600)
            listening.listen(_BACKLOG)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {self.path}: {error.strerror}. Set AGENTD_SOCKET to a place you can write."
            ) from error
        self._socket, self._name = listening, os.stat(self.path)

    def adopt(self, listening: socket.socket, *, owned: bool) -> None:
        """Go on with a socket that came with the process. `owned`: its name is ours to remove."""
        self.path = listening.getsockname()
        listening.setblocking(False)
        listening.listen(_BACKLOG)  # clients see the process that did this last (SO_PEERCRED): us, not the service manager
        self._socket = listening
        if owned:
            with suppress(FileNotFoundError):
                self._name = os.stat(self.path)

    def leave(self) -> socket.socket | None:
        """Let go of the socket, open as it is: who wants to connect waits until somebody accepts."""
        listening, self._socket = self._socket, None
        return listening

    def _remove_stale(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_PROBE)
            try:
                probe.connect(self.path)
            except TimeoutError:
                pass  # somebody is there, and hangs
            except OSError:
                with suppress(FileNotFoundError):
                    os.unlink(self.path)
                return
            pid, _, _ = _UCRED.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        raise Conflict(
            f"another daemon (pid {pid}) listens on {self.path} and keeps its data elsewhere; stop it, or give this one a place "
            "of its own with AGENTD_HOME or AGENTD_SOCKET"
        )

    async def serve(self, connections: trio.Nursery) -> None:
        """Accept until cancelled or closed; each connection is a task in `connections`."""
        listening, most = self._socket, _most_clients()
        while listening is not None and listening is self._socket:
            await trio.lowlevel.wait_readable(listening)
            if self.clients >= most:
                await self._wait_for_room(f"{self.clients} clients")
                continue
            try:
                accepted, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                continue
            except OSError as error:
                if listening.fileno() < 0:
                    return  # closed in the moment in which somebody came
                if error.errno not in _STARVED:
                    raise
                await self._wait_for_room(str(error))
                continue
            self._starved = False
            accepted.setblocking(False)
            connections.start_soon(self._serve_one, accepted)

    async def _wait_for_room(self, reason: str) -> None:
        """Those who are not accepted wait in the kernel's queue. Accepting again at once would spin."""
        if not self._starved:
            log.warning("accept_starved", reason=reason)
        self._starved = True
        await trio.sleep(0.1)

    async def _serve_one(self, accepted: socket.socket) -> None:
        connection = Connection(accepted)
        self.clients += 1
        try:
            uid = connection.peer_uid()
            if uid not in (os.getuid(), 0):
                log.warning("peer_refused", uid=uid)
                return
            await self._converse(connection)
        except Exception:
            log.exception("connection_bug")  # costs this peer its connection, and nobody else anything
        finally:
            self.clients -= 1
            connection.close()

    async def _converse(self, connection: Connection) -> None:
        async with trio.open_nursery() as nursery:
            session = self._open_session(Caller(user="local", admin=True), connection, nursery)
            reader = FrameReader()
            nursery.start_soon(connection.write_rest)
            try:
                while data := await connection.receive():
                    for frame in reader.feed(data):
                        await connection.room()
                        await session.handle(frame)
                    if session.closing:
                        break
            finally:
                try:
                    session.close()
                    with trio.move_on_after(_DRAIN, shield=True):
                        await connection.drained()
                finally:
                    connection.stop_writing()
            nursery.cancel_scope.cancel()

    def close(self) -> None:
        """Stop listening and remove the socket's name if it is still ours, so that clients know at once."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            with suppress(OSError):
                if self._name is not None and os.path.samestat(self._name, os.stat(self.path)):
                    os.unlink(self.path)


def turn_away(listening: socket.socket, error: AgentError) -> None:
    """Tell all who come within a second why there is no daemon: the service manager has started us for one of them."""
    answer, deadline = error_frame(None, error), time.monotonic() + _TURNING_AWAY
    listening.setblocking(True)
    while (left := deadline - time.monotonic()) > 0:
        listening.settimeout(left)
        with suppress(OSError):  # nobody, or gone already
            peer, _ = listening.accept()
            with peer:
                peer.settimeout(_HEARING)
                with suppress(TimeoutError):
                    peer.recv(_READ)  # its first request: closing before it comes would look like a crash
                peer.sendall(answer)


def _most_clients() -> int:
    """Clients that leave descriptors enough for models, tools and the log."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return limit - min(_RESERVED, limit // 2)


def check_directory(path: str) -> None:
    """Refuse a directory in which another user could put a socket in place of ours."""
    found = os.lstat(path)
    if (
        not stat.S_ISDIR(found.st_mode)
        or found.st_uid not in (os.getuid(), 0)
        or (found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX)
    ):
        raise ConfigError(
            f"{path} is not a directory of ours alone (owner {found.st_uid}, mode {found.st_mode & 0o7777:o}); chmod it to 0700"
        )
