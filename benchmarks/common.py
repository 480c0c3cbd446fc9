"""What the benches share: the daemon, the model server and the relay as processes, a small client, and many streams read at once.

Theory of operation: everything measured is a process of its own, started here with a built environment and ended by its pid. CPU
time is the kernel's clock of the process in nanoseconds, threads and all (clock_getcpuclockid(3)): other load does not enter it.
"""

from __future__ import annotations

import json
import os
import re
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw
from attrs import define, frozen

from agentwire.codec import FrameReader, decode, request
from agentwire.paths import Paths, locate
from benchmarks.wires import CHAT, Wire

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
ECHO = """
import socket, sys
listening = socket.socket(socket.AF_UNIX); listening.bind(sys.argv[1]); listening.listen(); print("ready", flush=True)
connection, _ = listening.accept()
while data := connection.recv(65536): connection.sendall(data)
"""
_READY = 60.0
"""Seconds a process may take until it says that it is ready."""

# --- processes ---------------------------------------------------------------------------------------------------------------


def environment(home: Path, **more: str) -> dict[str, str]:
    """Nothing of the user's settings, and no proxy."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "AGENTD_HOME": str(home),
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        **more,
    }


@frozen
class Child:
    """A process of ours."""

    pid: int

    @property
    def cpu(self) -> float:
        """Seconds of CPU time so far."""
        return time.clock_gettime_ns((~self.pid << 3) | 2) / 1e9

    @property
    def rss(self) -> float:
        """Resident memory in MB (10^6 bytes)."""
        statm = Path(f"/proc/{self.pid}/statm").read_text()
        return int(statm.split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6

    @property
    def held(self) -> tuple[int, int]:
        """Open descriptors and threads."""
        return len(os.listdir(f"/proc/{self.pid}/fd")), len(os.listdir(f"/proc/{self.pid}/task"))


@contextmanager
def running(argv: Sequence[str], env: dict[str, str]) -> Iterator[tuple[Child, str]]:
    """A process and the first line it printed; ended by SIGTERM, after 15 s by SIGKILL."""
    with subprocess.Popen(argv, env=env, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield Child(process.pid), process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


@frozen
class Daemon:
    """A real agentd with a home of its own."""

    process: Child
    paths: Paths
    env: dict[str, str]


@define
class Lab:
    """A directory for one run, and what can be started in it."""

    home: Path
    _count: int = 0

    def place(self, name: str) -> Path:
        self._count += 1
        path = self.home / f"{name}{self._count}"
        path.mkdir()
        return path

    @contextmanager
    def server(self, *rules: dict[str, Any]) -> Iterator[int]:
        """A scripted model server in a process of its own; its port."""
        place = self.place("server")
        script = place / "rules.json"
        script.write_text(json.dumps(rules))
        argv = [sys.executable, "-m", "tests.fakes.model_server", "--port", "0", "--script", str(script)]
        with running(argv, environment(place)) as (_, port):
            yield int(port)

    @contextmanager
    def listener(self, *what: str | int) -> Iterator[int]:
        """A model server that looks into no request; `what` it answers in turn, see benchmarks/listener.py. Its port."""
        argv = [sys.executable, "-m", "benchmarks.listener", *map(str, what)]
        with running(argv, environment(self.place("listener"))) as (_, port):
            yield int(port)

    @contextmanager
    def daemon(self, port: int, home: Path | None = None, wire: Wire = CHAT, **more: str) -> Iterator[Daemon]:
        """A daemon whose model is the server at `port`, accepting connections. `more` is added to its environment."""
        home = home or self.place("home")
        env = environment(home, LOG_LEVEL="warning", **wire.environment(port), **more)
        reading, writing = os.pipe()
        argv = [str(BIN / "agentd"), "-c", f"model={wire.model}"]
        ready = {**env, "AGENTD_READY_FD": str(writing)}
        with subprocess.Popen(argv, env=ready, cwd=home, pass_fds=[writing], stdin=subprocess.DEVNULL) as process:
            try:
                os.close(writing)
                with open(reading, encoding="utf-8") as pipe:
                    if (line := pipe.readline()) != "ready\n":
                        raise RuntimeError(f"the daemon did not start: {line}")
                yield Daemon(Child(process.pid), locate(env, os.getuid()), env)
            finally:
                process.terminate()
                process.wait(20)

    @contextmanager
    def relay(self, port: int, wire: Wire = CHAT) -> Iterator[tuple[Child, str]]:
        """The relay beside the daemon; its process and socket."""
        path = str(self.place("relay") / "socket")
        with running([sys.executable, "-m", "benchmarks.relay", path, str(port), wire.name], environment(self.home)) as (
            process,
            line,
        ):
            assert line == "ready", line
            yield process, path

    @contextmanager
    def echo(self) -> Iterator[socket.socket]:
        """A connection to a process that sends back what it gets."""
        path = str(self.place("echo") / "socket")
        with running([sys.executable, "-c", ECHO, path], environment(self.home)) as (_, line):
            assert line == "ready", line
            with closing(unix(path)) as connection:
                yield connection


@contextmanager
def laboratory() -> Iterator[Lab]:
    with tempfile.TemporaryDirectory(prefix="agentd-bench-") as directory:
        yield Lab(Path(directory))


# --- rules of the model server -----------------------------------------------------------------------------------------------


def rule(match: str, *steps: dict[str, Any], after_tools: int | None = None) -> dict[str, Any]:
    """`match` is found in the last user message; steps as in tests/fakes/model_script.py."""
    return {"match": match, "after_tools": after_tools, "reply": {"steps": list(steps)}}


def tokens(count: int, delay: float = 0.0, *, stamp: bool = False) -> dict[str, Any]:
    return {"verb": "tokens", "count": count, "delay": delay, "stamp": stamp}


# --- floors ------------------------------------------------------------------------------------------------------------------


class FullCommit:
    """One row into a bare SQLite file of our settings: what durability costs in this directory."""

    def __init__(self, directory: Path) -> None:
        self._db = apsw.Connection(str(directory / "floor.db"))
        for pragma in ("journal_mode = wal", "synchronous = FULL", "wal_autocheckpoint = 64"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute("CREATE TABLE event (pos INTEGER PRIMARY KEY, data BLOB)")

    def __call__(self) -> float:
        """Seconds of one commit."""
        began = time.perf_counter()
        with self._db:
            self._db.execute("INSERT INTO event (data) VALUES (?)", (b"x" * 300,))
        return time.perf_counter() - began

    def close(self) -> None:
        self._db.close()


def timed(argv: Sequence[str], env: dict[str, str]) -> float:
    """Seconds a program runs, from its start to its end."""
    began = time.perf_counter()
    subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


# --- a client ----------------------------------------------------------------------------------------------------------------


def unix(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    return connection


class Client:
    """A connection to a daemon that has shaken hands. Blocking."""

    def __init__(self, daemon: Daemon) -> None:
        self.socket = unix(daemon.paths.socket)
        self.socket.settimeout(_READY)
        self._reader, self._frames, self._number = FrameReader(), list[dict[str, Any]](), 0
        self.call("initialize", protocol=1, client="benchmark")

    def frame(self, method: str, **params: Any) -> bytes:
        self._number += 1
        return request(self._number, method, params)

    def call(self, method: str, **params: Any) -> Any:
        """A request's result. Events that come before it are dropped."""
        self.socket.sendall(self.frame(method, **params))
        while (message := self.next()).get("id") != self._number:
            pass
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']}")
        return message["result"]

    def next(self) -> dict[str, Any]:
        while not self._frames:
            data = self.socket.recv(1 << 20)
            if not data:
                raise RuntimeError("the daemon closed the connection")
            self._frames += [decode(frame) for frame in self._reader.feed(data) if isinstance(frame, bytes)]
        return self._frames.pop(0)

    @property
    def ready(self) -> bool:
        """Whether something has come for `next`."""
        return bool(self._frames or select.select([self.socket], [], [], 0)[0])

    def until(self, kind: str) -> dict[str, Any]:
        """The next event of that kind."""
        while True:
            message = self.next()
            if message.get("method") == "event" and message["params"]["kind"] == kind:
                event: dict[str, Any] = message["params"]
                return event

    def session(self) -> str:
        """A new session, watched by this connection."""
        name: str = self.call("session/create", cwd="/")["id"]
        self.call("session/watch", session=name)
        return name

    def prompt(self, session: str, text: str) -> bytes:
        """The frame of a prompt."""
        return self.frame("session/prompt", session=session, parts=[{"kind": "text", "text": text}])

    def turn(self, session: str, text: str) -> dict[str, Any]:
        """One whole turn; its end."""
        self.socket.sendall(self.prompt(session, text))
        end: dict[str, Any] = self.until("turn_finished")["data"]
        if end["outcome"] != "done":
            raise RuntimeError(f"the turn ended {end}")
        return end

    def close(self) -> None:
        self.socket.close()


# --- many streams at once ----------------------------------------------------------------------------------------------------


@frozen
class Dialect:
    """How a stream looks on the wire: lines with `mark` carry tokens, a line with `end` is the last."""

    mark: bytes
    end: bytes


OURS = Dialect(b'"kind":"delta"', b'"kind":"turn_finished"')
RELAYED = Dialect(b'{"text":', b'{"end":true}')
SSE = Dialect(b'"delta":{"content"', b"data: [DONE]")
_STAMP = re.compile(rb"(\d{10,}) ")  # time.monotonic_ns() at the server, one a token


@frozen
class Streamed:
    """`wall`: seconds from the first request to the last end; `late`: of each token, seconds since the server made it."""

    wall: float
    late: list[float]


def drive(requests: Sequence[tuple[socket.socket, bytes]], dialect: Dialect) -> Streamed:
    """Send all requests at once and read all replies to their ends. While it runs, bytes are only stamped: it must be fast."""
    chunks: dict[int, list[tuple[int, bytes]]] = {connection.fileno(): [] for connection, _ in requests}
    began = time.monotonic_ns()
    with selectors.DefaultSelector() as selector:
        for connection, frame in requests:
            connection.sendall(frame)
            selector.register(connection, selectors.EVENT_READ)
        while selector.get_map():
            if not (ready := selector.select(_READY)):
                raise TimeoutError(f"{len(selector.get_map())} streams fell silent")
            for key, _ in ready:
                data = key.fileobj.recv(1 << 18)  # type: ignore[union-attr]
                held = chunks[key.fd]
                held.append((time.monotonic_ns(), data))
                if not data or dialect.end in (held[-2][1] + data if len(held) > 1 else data):
                    selector.unregister(key.fileobj)
    wall = (time.monotonic_ns() - began) / 1e9
    return Streamed(wall, [late for held in chunks.values() for late in _lateness(held, dialect.mark)])


def _lateness(chunks: Sequence[tuple[int, bytes]], mark: bytes) -> Iterator[float]:
    pending = b""
    for at, data in chunks:
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            if mark in line:
                yield from ((at - int(stamp)) / 1e9 for stamp in _STAMP.findall(line))
