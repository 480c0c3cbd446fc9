"""The embedded model: a llama.cpp child process on a Unix socket, started on first use, stopped when idle, replaced when it dies.

Theory of operation: `run` owns the child's life and is the only one to start it. A stream asks for a running child; the first to
ask makes an `_Attempt` and wakes `run`, later ones wait for the same attempt. The child's life is one wait for its exit inside
`Child.scope`, whose deadline is the idle stop: infinite while streams are open, set when the last one closes. A stream that
finds the scope already cancelled asks for the next child.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
import zlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import trio

from agentd.ports import ModelLimits, Process, Profile, Prompt, Spawner, Stream
from agentd.providers.llama_chat import MAX_OUTPUT, WHO, Child, exchange
from agentwire.config import LocalConfig, Timeouts
from agentwire.errors import BadRequest, ProviderDown, ToolError
from agentwire.types import ModelInfo
from agentwire.weights import EMBEDDED

if TYPE_CHECKING:
    import httpx2

NOTE: Final = "SmolLM2 135M on this machine's CPU: answers of demo quality; set OPENAI_API_KEY for a capable model"
MISSING: Final = "The embedded model's weights are not here; run `agentctl model pull`, or set OPENAI_API_KEY for another model."

SLOTS = 2  # answers at the same time, the next ones wait in order; each costs a whole context's memory (92 MB for 4,096 tokens)
CHARS_PER_TOKEN = 3.0  # measured: English prose 4.4, Python 3.4 to 3.8, Polish 1.4, Chinese 0.5
START_LIMIT = 60.0  # seconds to load; takes 0.5 from a warm page cache
DEATHS, DEATHS_WITHIN = 5, 60.0  # that many unasked exits within so many seconds: no more starts until some are forgotten

# What the child may see of our environment: where programs, libraries and the user's packages are. Never a key.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH")


class _Attempt:
    """One start, shared by all who wait for it. It has failed if `failure` is not None when `over` is set."""

    def __init__(self) -> None:
        self.over = trio.Event()
        self.failure: ProviderDown | None = None


class LocalProvider:
    """A `ports.Provider` with the one model `local/smollm2-135m`. Streams need `run` to be running."""

    name = "local"
    keys = 1

    def __init__(self, config: LocalConfig, timeouts: Timeouts, model_dir: str, runtime_dir: str, spawner: Spawner) -> None:
        self._config = config
        self._timeouts = timeouts
        self._model = f"{model_dir}/{EMBEDDED.file}"
        self._runtime_dir = runtime_dir
        self._spawner = spawner
        self._serving = False
        self._wanted = trio.Event()
        self._attempt: _Attempt | None = None
        self._child: Child | None = None
        self._users = 0
        self._places = trio.Semaphore(SLOTS)
        self._deaths: deque[float] = deque(maxlen=DEATHS)
        self._last_words = ""

    def reconfigure(self, timeouts: Timeouts) -> None:
        """The requests from now on have these."""
        self._timeouts = timeouts

    # --- what the router asks ------------------------------------------------------------------------------------------------

    def limits(self, model: str) -> ModelLimits:
        return ModelLimits(
            context=self._config.context,
            max_output=MAX_OUTPUT,
            chars_per_token=CHARS_PER_TOKEN,
            family="embedded",
            tools=False,
        )

    async def models(self) -> Sequence[ModelInfo]:
        here = self._weights_here()
        return (ModelInfo(id=EMBEDDED.model, context=self._config.context, available=here, note=NOTE if here else MISSING),)

    def status(self) -> tuple[str, str]:
        """idle, starting, ready or unavailable, and why or where."""
        if self._child is not None:
            return "ready", f"pid {self._child.pid}, {self._users} open"
        if not self._weights_here():
            return "unavailable", MISSING
        if self._attempt is not None:
            return "starting", ""
        return ("unavailable", self._exhausted().message) if self._exhausting() else ("idle", "starts with the first request")

    def stream(self, prompt: Prompt) -> AbstractAsyncContextManager[Stream]:
        """One answer. Waits for its turn when all slots are taken, and for the child when it is not running.

        Error handling: entering raises BadRequest if the weights are missing (the sentence says what to do), ContextTooLong, or
        ProviderDown if the child cannot be started, died or hangs.
        """
        return self._stream(prompt)

    @asynccontextmanager
    async def _stream(self, prompt: Prompt) -> AsyncIterator[Stream]:
        if f"{self.name}/{prompt.model}" != EMBEDDED.model:
            raise BadRequest(f"There is no model {self.name}/{prompt.model}: the embedded one is {EMBEDDED.model}.")
        if not self._weights_here():
            raise BadRequest(MISSING)
        self._users += 1
        try:
            async with self._places:
                child = await self._running()
                self._rearm()
                async with exchange(child, prompt, self._timeouts) as reply:
                    yield reply
        finally:
            self._users -= 1
            self._rearm()

    async def prewarm(self) -> None:
        """Start the child now: it takes as long to load as a person to type."""
        if self._weights_here():
            with suppress(ProviderDown):
                await self._running()

    async def aclose(self) -> None:
        """Nothing is held between the child's lives; `run` ends the child."""

    # --- the child's life ----------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Start children as they are wanted. Cancelling this kills the child; streams then get ProviderDown."""
        self._serving = True
        task_status.started()
        try:
            while True:
                await self._wanted.wait()
                self._wanted = trio.Event()
                try:
                    await self._live()
                except (ProviderDown, ToolError) as error:  # ToolError: the spawner could not start it
                    self._settle(error if isinstance(error, ProviderDown) else ProviderDown(error.message))
        finally:
            self._serving = False
            self._settle(ProviderDown("agentd is stopping"))

    async def _running(self) -> Child:
        while self._child is None or self._child.scope.cancel_called:
            if not self._serving:
                raise ProviderDown("agentd is stopping")
            if self._attempt is None:
                self._attempt = _Attempt()
                self._wanted.set()
            attempt = self._attempt
            await attempt.over.wait()
            if attempt.failure is not None:
                raise ProviderDown(attempt.failure.message, retry_after=attempt.failure.retry_after)
        return self._child

    def _settle(self, failure: ProviderDown | None) -> None:
        if self._attempt is not None:
            self._attempt.failure = failure
            self._attempt.over.set()
            self._attempt = None

    def _rearm(self) -> None:
        """The idle stop counts from the moment the last stream closed."""
        if self._child is not None:
            idle = self._users == 0
            self._child.scope.deadline = trio.current_time() + self._config.idle_stop if idle else float("inf")

    async def _live(self) -> None:
        """One child from its start to its end, whether asked for or not. Raises ProviderDown if it did not start."""
        if self._exhausting():
            raise self._exhausted()
        key, socket = secrets.token_hex(32), _socket_path(self._runtime_dir, self._model)
        profile = Profile(cwd="/", environment=_environment())
        async with self._spawner.start(_argv(self._config, self._model, socket), profile) as process:
            await process.send(key.encode() + b"\n")
            http = await trio.to_thread.run_sync(_client, socket, key)  # while the model loads
            async with http:
                await self._await_ready(process)
                await self._until_end(process, Child(process.pid, http))

    async def _await_ready(self, process: Process) -> None:
        line = b""
        with trio.move_on_after(START_LIMIT) as limit:
            line = await process.receive()
            if not line:
                await process.wait()
        if not line:
            what = f"did not load within {START_LIMIT:g} s" if limit.cancelled_caught else "did not start"
            raise self._died(process, f"{WHO}'s process {what}")

    async def _until_end(self, process: Process, child: Child) -> None:
        self._child = child
        self._settle(None)
        self._rearm()
        try:
            with child.scope:
                child.how = _how(await process.wait())
                self._died(process, f"{WHO}'s process {child.how}")
        finally:
            self._child = None
            child.ended.set()

    # --- the restart budget --------------------------------------------------------------------------------------------------

    def _died(self, process: Process, what: str) -> ProviderDown:
        """Count an end that nobody asked for."""
        words = " ".join(process.stderr_tail().split())[-500:]
        self._last_words = f"{what}: {words}" if words else f"{what}."
        self._deaths.append(trio.current_time())
        return ProviderDown(self._last_words)

    def _exhausting(self) -> bool:
        return len(self._deaths) == DEATHS and trio.current_time() - self._deaths[0] < DEATHS_WITHIN

    def _exhausted(self) -> ProviderDown:
        wait = self._deaths[0] + DEATHS_WITHIN - trio.current_time()
        return ProviderDown(f"{WHO} died {DEATHS} times within {DEATHS_WITHIN:g} s; at last: {self._last_words}", retry_after=wait)

    def _weights_here(self) -> bool:
        """By size: `agentctl model pull` has checked the sum, and a file cut short would crash the child."""
        try:
            return os.stat(self._model).st_size == EMBEDDED.bytes
        except OSError:
            return False


def _argv(config: LocalConfig, model: str, socket: str) -> list[str]:
    frozen = getattr(sys, "frozen", False)
    # -P: `-m` would put the working directory in front of everything importable.
    program = [sys.executable, "_llama"] if frozen else [sys.executable, "-P", "-m", "agentd.providers.llama_child"]
    threads = config.threads or max(1, len(os.sched_getaffinity(0)) // 2)
    numbers = {"--context": config.context, "--slots": SLOTS, "--threads": threads}
    return [*program, "--model", model, "--socket", socket, *(word for pair in numbers.items() for word in map(str, pair))]


def _environment() -> dict[str, str]:
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    # Threads that spin while they wait drop two of them on busy cores to 2 tokens/s. A onefile build must unpack itself anew.
    return environment | {"OMP_WAIT_POLICY": "passive", "PYINSTALLER_RESET_ENVIRONMENT": "1"}


def _socket_path(runtime_dir: str, model: str) -> str:
    """The same name in every life of a daemon, so that a killed one leaves one file that the next takes over.

    Raises ProviderDown if the directory is not ours alone: whoever could put a socket there would read the prompts.
    """
    folder = f"{runtime_dir}/llm"
    try:
        os.makedirs(runtime_dir, 0o700, exist_ok=True)
        os.makedirs(folder, 0o700, exist_ok=True)
        found = os.lstat(folder)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise ProviderDown(f"{WHO} needs {folder} as a directory of this user with mode 0700; remove what is there.")
        path = f"{folder}/{zlib.crc32(os.fsencode(model)):08x}.sock"
        if os.path.lexists(path):
            os.unlink(path)
    except OSError as error:
        raise ProviderDown(f"{WHO} cannot use {folder}: {error.strerror}.") from error
    return path


def _client(socket: str, key: str) -> httpx2.AsyncClient:
    """Runs in a thread: importing httpx2 takes a third of a second. No timeouts: the watchdog of each reply has them."""
    import httpx2

    # A connection per request: the server closes a used one when it likes, now and then just as the next request goes out on it.
    limits = httpx2.Limits(max_keepalive_connections=0)
    transport = httpx2.AsyncHTTPTransport(uds=socket, limits=limits, verify=False)  # a Unix socket: no CA file to load
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    return httpx2.AsyncClient(transport=transport, base_url="http://llama", headers=headers, timeout=None, trust_env=False)


def _how(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
