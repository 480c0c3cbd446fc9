"""One model on this machine: the life of its process, started on first use, stopped when idle, replaced when it dies.

Theory of operation: a stream asks for a running child; the first to ask makes an `_Attempt` and has a life begun, later ones wait
for the same attempt. The child's life is one wait for its exit inside `Child.scope`, whose deadline is the idle stop: infinite
while streams are open, set when the last one closes. A stream that finds the scope already cancelled asks for the next child,
whose life begins when the last one's has ended.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import sys
import zlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import trio
from attrs import frozen

from agentd.ports import Process, Profile, Spawner, Stream
from agentd.providers.llama_chat import Child, exchange
from agentd.providers.local_files import EMBEDDED_NAME, Version, version
from agentwire.config import LocalConfig, Timeouts
from agentwire.errors import BadRequest, ProviderDown, ToolError

if TYPE_CHECKING:
    import httpx2

SLOTS = 2  # answers at the same time, the next ones wait in order; each costs a whole context's memory (92 MB for 4,096 tokens)
SLOT_CONTEXT = 16_384  # tokens; a model with a larger context has one slot
START_LIMIT = 60.0  # seconds to load; takes 0.5 from a warm page cache
DISK = 20_000_000  # bytes a second that a slow disk gives: as much longer may a large model take
DEATHS, DEATHS_WITHIN = 5, 60.0  # that many unasked exits within so many seconds: no more starts until some are forgotten

# What llama.cpp says of a file that it cannot load, among 20 other lines; and where it says so for want of something else.
_REASON: Final = re.compile("error loading model: (.+)")
_NOT_THE_FILE: Final = re.compile("alloc|memory|mmap|failed to open", re.IGNORECASE)

# What the child may see of our environment: where programs, libraries and the user's packages are. Never a key.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH")


@frozen
class Served:
    """What a process serves. `name` without the provider, `who` for sentences, `context` in tokens, `bytes` of the file."""

    name: str
    who: str
    path: str
    bytes: int
    context: int

    @property
    def slots(self) -> int:
        return SLOTS if self.context <= SLOT_CONTEXT else 1


class _Attempt:
    """One start, shared by all who wait for it. It has failed if `failure` is not None when `over` is set."""

    def __init__(self) -> None:
        self.over = trio.Event()
        self.failure: ProviderDown | BadRequest | None = None


class LocalModel:
    """`begin` runs a function in the background, and says no by raising ProviderDown. `freed` is called when it may be unloaded."""

    def __init__(
        self,
        served: Served,
        config: LocalConfig,
        runtime_dir: str,
        spawner: Spawner,
        begin: Callable[[Callable[[], Awaitable[None]]], None],
        freed: Callable[[], None],
    ) -> None:
        self.served = served
        self.child: Child | None = None
        self.users = 0  # streams that are open, or wait to be
        self.used = 0.0  # when it was last asked for
        self._config, self._runtime_dir, self._spawner = config, runtime_dir, spawner
        self._begin, self._freed = begin, freed
        self._attempt: _Attempt | None = None
        self._lives = trio.Lock()  # one after the other
        self._places = trio.Semaphore(served.slots)
        self._deaths: deque[float] = deque(maxlen=DEATHS)
        self._last_words = ""
        self._spoiled: tuple[Version | None, str] | None = None

    @property
    def spoiled(self) -> str:
        """What is wrong with the file, if llama.cpp could not load it as it is now. Only another file can mend that."""
        return self._spoiled[1] if self._spoiled is not None and self._spoiled[0] == _version(self.served.path) else ""

    def refuse_spoiled(self) -> None:
        """Raises BadRequest if there is something wrong with the file."""
        if self.spoiled:
            raise BadRequest(self.spoiled)

    @property
    def starting(self) -> bool:
        return self._attempt is not None

    @property
    def loaded(self) -> bool:
        """Whether it is in memory, or somebody is about to have it there."""
        return self.child is not None or self.starting or self.users > 0

    @property
    def idle(self) -> bool:
        return self.users == 0 and not self.starting

    def enter(self) -> None:
        """One more wants it; `leave` must follow."""
        self.users += 1
        self.used = trio.current_time()
        self._rearm()

    def leave(self) -> None:
        self.users -= 1
        self._rearm()
        if self.idle:
            self._freed()

    @asynccontextmanager
    async def stream(self, body: bytes, timeouts: Timeouts) -> AsyncIterator[Stream]:
        """One answer, between `enter` and `leave`. Waits for its turn when all slots are taken, and for the child.

        Error handling: entering raises ContextTooLong, BadRequest if the file cannot be loaded, or ProviderDown if the child cannot
        be started, died or hangs.
        """
        async with self._places:
            child = await self.running()
            async with exchange(child, body, timeouts) as reply:
                yield reply

    async def running(self) -> Child:
        """The child, started if there is none. Raises ProviderDown, or BadRequest if the file cannot be loaded."""
        while self.child is None or self.child.scope.cancel_called:
            self.refuse_spoiled()
            if self._attempt is None:
                attempt = _Attempt()
                self._begin(partial(self._live, attempt))
                self._attempt = attempt
            attempt = self._attempt
            await attempt.over.wait()
            if attempt.failure is not None:  # each gets an error of its own
                raise type(attempt.failure)(attempt.failure.message, retry_after=attempt.failure.retry_after)
        return self.child

    async def unload(self) -> None:
        """End the child, if there is one, and wait until it is gone."""
        if self.child is not None:
            self.child.scope.cancel()
            async with self._lives:
                pass

    # --- the child's life ----------------------------------------------------------------------------------------------------

    async def _live(self, attempt: _Attempt) -> None:
        """One child from its start to its end. What goes wrong belongs to those who wait for the start."""
        failure: ProviderDown | BadRequest = ProviderDown("agentd is stopping")
        try:
            async with self._lives:
                await self._serve(attempt)
        except (ProviderDown, BadRequest) as error:
            failure = error
        except ToolError as error:  # the spawner could not start it
            failure = ProviderDown(error.message)
        finally:
            if not attempt.over.is_set():
                self._settle(attempt, failure)
            if self.idle:
                self._freed()

    def _settle(self, attempt: _Attempt, failure: ProviderDown | BadRequest | None = None) -> None:
        attempt.failure = failure
        attempt.over.set()
        self._attempt = None

    def _rearm(self) -> None:
        """The idle stop counts from the moment the last stream closed."""
        if self.child is not None:
            self.child.scope.deadline = trio.current_time() + self._config.idle_stop if self.users == 0 else float("inf")

    async def _serve(self, attempt: _Attempt) -> None:
        """Raises ProviderDown if the child did not start, BadRequest if that is due to the file."""
        if self.exhausted is not None:
            raise self.exhausted
        found = _version(self.served.path)
        key, socket = secrets.token_hex(32), _socket_path(self._runtime_dir, self.served, self._config)
        async with self._spawner.start(
            _argv(self._config, self.served, socket), Profile(cwd="/", environment=_environment())
        ) as process:
            await process.send(key.encode() + b"\n")
            http = await trio.to_thread.run_sync(_client, socket, key)  # while the model loads
            async with http:
                await self._await_ready(process, found)
                self.child = child = Child(process.pid, http, self.served.who)
                self._settle(attempt)
                await self._until_end(process, child)

    async def _await_ready(self, process: Process, found: Version | None) -> None:
        line = b""
        seconds = START_LIMIT + self.served.bytes / DISK
        with trio.move_on_after(seconds) as limit:
            line = await process.receive()
            if not line:
                await process.wait()
        if not line:
            self._note_spoiled(process, found)
            what = f"did not load within {seconds:.0f} s" if limit.cancelled_caught else "did not start"
            raise self._died(process, f"{self.served.who}'s process {what}")

    def _note_spoiled(self, process: Process, found: Version | None) -> None:
        """Raises BadRequest if llama.cpp found something wrong with the file, and not with the machine: no start helps then."""
        path, reason = self.served.path, _REASON.search(process.stderr_tail())
        if reason is None or _NOT_THE_FILE.search(reason[1].replace(path, "")):
            return
        said = reason[1].removesuffix(f" from {path}")
        mend = "Run `agentctl model pull`" if self.served.name == EMBEDDED_NAME else "Fetch it again, or use another model"
        self._spoiled = (
            found,
            (
                f"{self.served.who} cannot be loaded from {path}: {said}. The file is incomplete, damaged, or of a kind that this "
                f"llama.cpp does not know. {mend}; it is tried again when the file has changed."
            ),
        )
        raise BadRequest(self._spoiled[1])

    async def _until_end(self, process: Process, child: Child) -> None:
        self._rearm()
        if self.idle:
            self._freed()
        try:
            with child.scope:
                child.how = _how(await process.wait())
                self._died(process, f"{self.served.who}'s process {child.how}")
        finally:
            self.child = None
            child.ended.set()

    # --- the restart budget --------------------------------------------------------------------------------------------------

    def _died(self, process: Process, what: str) -> ProviderDown:
        """Count an end that nobody asked for."""
        said = process.stderr_tail()
        reason = _REASON.search(said)
        words = reason[1] if reason else " ".join(said.split())[-500:]
        self._last_words = f"{what}: {words}" if words else f"{what}."
        self._deaths.append(trio.current_time())
        return ProviderDown(self._last_words)

    @property
    def exhausted(self) -> ProviderDown | None:
        """Why no more children are started for now, if so."""
        wait = self._deaths[0] + DEATHS_WITHIN - trio.current_time() if len(self._deaths) == DEATHS else 0.0
        if wait <= 0:
            return None
        what = f"{self.served.who} died {DEATHS} times within {DEATHS_WITHIN:g} s; at last: {self._last_words}"
        return ProviderDown(what, retry_after=wait)


def _version(path: str) -> Version | None:
    """None if there is no such file."""
    try:
        return version(path)
    except OSError:
        return None


def _argv(config: LocalConfig, served: Served, socket: str) -> list[str]:
    frozen = getattr(sys, "frozen", False)
    # -P: `-m` would put the working directory in front of everything importable.
    program = [sys.executable, "_llama"] if frozen else [sys.executable, "-P", "-m", "agentd.providers.llama_child"]
    threads = config.threads or max(1, len(os.sched_getaffinity(0)) // 2)
    numbers = {"--context": served.context, "--slots": served.slots, "--threads": threads}
    return [*program, "--model", served.path, "--socket", socket, *(word for pair in numbers.items() for word in map(str, pair))]


def _environment() -> dict[str, str]:
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    # Threads that spin while they wait drop two of them on busy cores to 2 tokens/s. A onefile build must unpack itself anew.
    return environment | {"OMP_WAIT_POLICY": "passive", "PYINSTALLER_RESET_ENVIRONMENT": "1"}


def _socket_path(runtime_dir: str, served: Served, config: LocalConfig) -> str:
    """The same name in every life of a daemon, so that a killed one leaves one file that the next takes over; another one under
    another configuration, which may be that of a provider that is being replaced.

    Raises ProviderDown if the directory is not ours alone: whoever could put a socket there would read the prompts.
    """
    folder = f"{runtime_dir}/llm"
    try:
        os.makedirs(runtime_dir, 0o700, exist_ok=True)
        os.makedirs(folder, 0o700, exist_ok=True)
        found = os.lstat(folder)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise ProviderDown(f"{served.who} needs {folder} as a directory of this user with mode 0700; remove what is there.")
        path = f"{folder}/{zlib.crc32(os.fsencode(f'{served.path} {config}')):08x}.sock"
        if os.path.lexists(path):
            os.unlink(path)
    except OSError as error:
        raise ProviderDown(f"{served.who} cannot use {folder}: {error.strerror}.") from error
    return path


def _client(socket: str, key: str) -> httpx2.AsyncClient:
    """Runs in a thread: importing httpx2 takes a third of a second. No timeouts: the watchdog of each reply has them."""
    import httpx2

    # A connection per request: the server closes a used one when it likes, now and then just as the next request goes out on it.
    limits = httpx2.Limits(max_keepalive_connections=0)
    transport = httpx2.AsyncHTTPTransport(uds=socket, limits=limits, verify=False)  # a Unix socket: no CA file to load
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Accept-Encoding": "identity"}
    return httpx2.AsyncClient(transport=transport, base_url="http://llama", headers=headers, timeout=None, trust_env=False)


def _how(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
