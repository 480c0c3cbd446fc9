"""The real daemon as a process of its own, with a scripted model server as another, and a small client for tests.

    with Home() as home, Models(RULES) as models:
        daemon = home.start(models)
        async with daemon.connect() as peer:
            session = (await peer.call("session/create", cwd="/"))["id"]

Everything waits for a condition with a deadline; nothing sleeps for a guess. A daemon sees no environment but the one built here.
"""

from __future__ import annotations

import http.client
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import apsw
import trio

from agentwire.codec import FrameReader, Oversized, decode, request
from agentwire.errors import Unreachable, from_wire
from tests.fakes.witness import Witness

ROOT = Path(__file__).parent.parent.parent
ROUNDS = int(os.environ.get("AGENTD_CRASH_ROUNDS", "200"))
"""How often the daemon is struck at random points in all."""
SEEDS = range(2 if ROUNDS >= 20 else 1)
"""Of long runs at random: one where time is short."""
PATIENCE = 30.0
"""Seconds after which a test that hangs says so; nothing is measured with it."""
STOP_SECONDS = 15.0
"""What SIGTERM may take (promises.md)."""


async def eventually(condition: Callable[[], bool], what: str = "", *, seconds: float = PATIENCE) -> None:
    """Wait until `condition` holds, looked at a hundred times a second: for what no event announces (a file, another process)."""
    with trio.move_on_after(seconds) as scope:
        while not condition():  # noqa: ASYNC110 - other processes set no events
            await trio.sleep(0.01)
    assert not scope.cancelled_caught, f"not within {seconds:g} s: {what or condition}"


# --- the daemon ------------------------------------------------------------------------------------------------------------------


class Home:
    """A folder for one daemon at a time: AGENTD_HOME, HOME, and the tools folder. Gone at the end, and the daemon with it.

    The path is short enough for a socket, and it marks every process that belongs here: they all have HOME=`path`.
    """

    def __init__(self, **environ: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="agentd-"))
        self.environ = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            "HOME": str(self.path),
            "AGENTD_HOME": str(self.path),
            **environ,
        }
        self.witnesses: list[Witness] | None = None  # set to a list: every client without a witness of its own gets one in it
        self._daemons: list[Daemon] = []

    @property
    def socket(self) -> str:
        return str(self.path / "run/agentd.sock")

    @property
    def listens(self) -> bool:
        """Whether the socket is there (which says nothing of a daemon behind it)."""
        return Path(self.socket).is_socket()

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def log(self) -> str:
        path = self.path / "state/log/agentd.log"
        return path.read_text() if path.exists() else ""

    @property
    def stderr(self) -> str:
        return (self.path / "stderr").read_text()

    def write(self, name: str, text: str) -> Path:
        """A file below this folder, with its directories: `config/config.toml`, `config/tools/x.py`."""
        path = self.path / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def make_fifo(self, name: str) -> None:
        """Something a tool can wait at until a test writes into it."""
        os.mkfifo(self.path / name)

    def sql(self, statement: str, *values: str) -> None:
        """Change the database behind the daemon's back; no daemon may run."""
        database = apsw.Connection(str(self.data / "agentd.db"))
        database.execute(statement, values)
        database.close()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The database is held by another program that means to write."""
        database = apsw.Connection(str(self.data / "agentd.db"))
        database.execute("BEGIN IMMEDIATE")
        yield
        database.close()

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "agentd.main", *arguments]

    def start(
        self, models: Models | None = None, *, wrapper: Sequence[str] = (), pass_fds: Sequence[int] = (), **environ: str
    ) -> Daemon:
        """A daemon that accepts connections. `wrapper`: a program and arguments that exec the rest of the command line."""
        read, write = os.pipe()
        whole = {**self.environ, **(models.environ if models else {}), **environ, "AGENTD_READY_FD": str(write)}
        with open(self.path / "stderr", "ab") as stderr:
            process = subprocess.Popen(
                [*wrapper, *self.command()],
                cwd="/",
                env=whole,
                pass_fds=[write, *pass_fds],
                stdin=subprocess.DEVNULL,
                stderr=stderr,
            )
        os.close(write)
        daemon = Daemon(self, process)
        self._daemons.append(daemon)
        try:
            line = _read_line(read)
        finally:
            os.close(read)
        if not line.startswith(b"ready"):
            daemon.kill()
            raise AssertionError(f"the daemon did not start: {line!r}\n{self.stderr}\n{self.log[-4000:]}")
        return daemon

    def refuse(self, *arguments: str, wrapper: Sequence[str] = (), **environ: str) -> subprocess.CompletedProcess[str]:
        """Start a daemon that is expected to end by itself: its exit code and what it said."""
        return subprocess.run(
            [*wrapper, *self.command(*arguments)],
            cwd="/",
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def processes(self) -> dict[int, str]:
        """Every living process that belongs here, with its command line."""
        mark, found = f"HOME={self.path}".encode(), dict[int, str]()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):  # ended meanwhile, or somebody else's
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def __enter__(self) -> Self:
        return self

    def kill(self) -> None:
        """SIGKILL to every daemon that was started here."""
        for daemon in self._daemons:
            daemon.kill()

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.path, ignore_errors=True)


class Daemon:
    """One run of the daemon."""

    def __init__(self, home: Home, process: subprocess.Popen[bytes]) -> None:
        self.home, self.process, self.pid = home, process, process.pid

    def kill(self) -> None:
        """SIGKILL, and wait for the end. Does nothing to one that has ended."""
        self.process.kill()
        self.process.wait()

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    async def ended(self, *, seconds: float = STOP_SECONDS) -> int:
        """Its exit code, once it has ended."""
        await eventually(lambda: self.process.poll() is not None, "the daemon's end", seconds=seconds)
        return self.process.returncode

    async def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self.signal()
        return await self.ended()

    def rss(self) -> int:
        """Bytes of memory it holds."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    @asynccontextmanager
    async def connect(self, witness: Witness | None = None, **hello: Any) -> AsyncIterator[Peer]:
        """A client that has shaken hands."""
        async with self.open(witness) as peer:
            peer.initialized = await peer.call("initialize", protocol=1, client="test", **hello)
            yield peer

    @asynccontextmanager
    async def open(self, witness: Witness | None = None) -> AsyncIterator[Peer]:
        """A bare connection."""
        if witness is None and self.home.witnesses is not None:
            self.home.witnesses.append(witness := Witness())
        async with await trio.open_unix_socket(self.home.socket) as stream:
            yield Peer(stream, witness)


def _read_line(read: int) -> bytes:
    line, deadline = b"", time.monotonic() + PATIENCE
    while not line.endswith(b"\n") and select.select([read], [], [], max(0.0, deadline - time.monotonic()))[0]:
        piece = os.read(read, 65536)
        if not piece:
            break
        line += piece
    return line


# --- a client --------------------------------------------------------------------------------------------------------------------


class Peer:
    """One connection. Events that come while an answer is awaited wait in `events`. Used by one task at a time. Its witness hears
    what is asked with `ask` and every frame.

    Error handling: Unreachable when the daemon hangs up, the daemon's AgentError for an error answer, trio.TooSlowError.
    """

    def __init__(self, stream: trio.SocketStream, witness: Witness | None = None) -> None:
        self.stream, self._witness = stream, witness
        if witness:
            witness.connects()
        self.events: deque[dict[str, Any]] = deque()
        self.initialized: dict[str, Any] = {}
        self._reader = FrameReader()
        self._frames: deque[bytes | Oversized] = deque()
        self._number = 0

    async def send(self, data: bytes) -> None:
        with trio.fail_after(PATIENCE):
            try:
                await self.stream.send_all(data)
            except trio.BrokenResourceError:
                raise Unreachable("the daemon hung up") from None

    async def frame(self) -> dict[str, Any]:
        """The next frame, whatever it is."""
        with trio.fail_after(PATIENCE):
            while not self._frames:
                self._frames.extend(self._reader.feed(await self._receive()))
        frame = self._frames.popleft()
        assert isinstance(frame, bytes), "the daemon sent a frame over the cap"
        message = decode(frame)
        if self._witness:
            self._witness.hears(message)
        return message

    async def _receive(self) -> bytes:
        try:
            data = await self.stream.receive_some(65536)
        except trio.BrokenResourceError:
            data = b""
        if not data:
            raise Unreachable("the daemon hung up")
        return bytes(data)

    async def ask(self, method: str, **params: Any) -> int:
        """Send a request without waiting; returns its id."""
        self._number += 1
        if self._witness:
            self._witness.asks(self._number, method, params)
        await self.send(request(self._number, method, params))
        return self._number

    async def answer(self, number: int | str | None) -> Any:
        """The result of a request sent before."""
        while True:
            message = await self.frame()
            if message.get("method") == "event":
                self.events.append(message["params"])
            elif message["id"] == number:
                if "error" in message:
                    raise from_wire(message["error"])
                return message["result"]

    async def call(self, method: str, **params: Any) -> Any:
        return await self.answer(await self.ask(method, **params))

    async def prompt(self, session: str, text: str, **params: Any) -> Any:
        return await self.call("session/prompt", session=session, parts=[{"kind": "text", "text": text}], **params)

    async def create(self) -> str:
        """A new session's id, watched from its beginning."""
        session: str = (await self.call("session/create", cwd="/"))["id"]
        await self.call("session/watch", session=session, after=0)
        return session

    async def event(self) -> dict[str, Any]:
        """The next event, persisted or not."""
        if self.events:
            return self.events.popleft()
        message = await self.frame()
        assert message.get("method") == "event", message
        params: dict[str, Any] = message["params"]
        return params

    async def until(self, kind: str, **data: Any) -> dict[str, Any]:
        """The next event of this kind whose data has these values."""
        while True:
            event = await self.event()
            if event["kind"] == kind and data.items() <= event["data"].items():
                return event

    async def log(self, session: str) -> list[dict[str, Any]]:
        """The session's whole log."""
        events: list[dict[str, Any]] = []
        while True:
            page = await self.call("event/list", session=session, after=len(events))
            events += page["events"]
            if not page["more"]:
                return events


# --- the model server ------------------------------------------------------------------------------------------------------------


class Models:
    """A scripted model server as a process (tests/fakes/model_server.py). `rules`: as in `model_rules.load_rules`."""

    def __init__(self, rules: Sequence[Mapping[str, Any]]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="agentd-")
        script = Path(self._folder.name) / "rules.json"
        script.write_text(json.dumps(rules))
        command = [sys.executable, "-m", "tests.fakes.model_server", "--script", str(script)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    @property
    def environ(self) -> dict[str, str]:
        return {"OPENAI_BASE_URL": f"http://127.0.0.1:{self.port}/v1", "AGENTD_MODEL": "openai/scripted-1"}

    def requests(self, text: str = "") -> list[dict[str, Any]]:
        """What was asked so far: the requests in whose messages `text` is found."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", "/requests")
            asked: list[dict[str, Any]] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return [one for one in asked if text in json.dumps(one["body"])]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()


def say(text: str, **fields: Any) -> dict[str, Any]:
    """A step for a rule's reply."""
    return {"verb": "say", "text": text, **fields}


def call(name: str, **arguments: Any) -> dict[str, Any]:
    """A step that asks for a tool."""
    return {"verb": "call", "name": name, "arguments": arguments}


def rule(match: str, *steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A rule that answers with these steps; `after_tools` and `times` may be among the fields."""
    return {"match": match, "reply": {"steps": list(steps)}, **fields}
