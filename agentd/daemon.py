"""The daemon: five nurseries, nested in the reverse order of their ending, and the stop sequence.

    store > services > connections > work > intake

Ending from the inside out: no new input, then turns get their grace, then clients get what is left, then services, then the log.
Connections lie outside of work so that a client hears the last event of its turn. No task lives outside these five.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import structlog
import trio
from attrs import frozen

from agentd.core.bus import Bus
from agentd.core.recovery import Recovery
from agentd.core.sessions import Sessions
from agentd.ipc import Listener
from agentd.ports import Clock
from agentd.reload import merge
from agentd.store.log import EventLog
from agentd.systemd import notify
from agentwire import __version__
from agentwire.config import Config
from agentwire.errors import ConfigError, Stopping, StorageFull
from agentwire.messages import PROTOCOL_VERSION
from agentwire.methods import Reloaded
from agentwire.types import CircuitStatus, DaemonStatus, ProviderStatus, SandboxStatus, StorageInfo

log = structlog.get_logger()

_UNCLEAN_WINDOW, _UNCLEAN_STARTS = 300.0, 3
"""Three unclean starts within five minutes: something in the open turns brings the daemon down; they are not resumed any more."""

Service = Callable[..., Awaitable[None]]


@frozen(kw_only=True)
class Parts:
    """What `wiring.build` puts together. `services` take a `task_status`, `background` tasks do not; all run until the end."""

    store: EventLog
    bus: Bus
    sessions: Sessions
    services: Sequence[Service]
    background: Sequence[Callable[[], Awaitable[None]]]
    prewarm: Callable[[], Awaitable[None]]
    providers: Callable[[], tuple[ProviderStatus, ...]]
    circuits: Callable[[], tuple[CircuitStatus, ...]] = tuple
    sandbox: Callable[[], SandboxStatus | None] = lambda: None
    notices: Callable[[], Sequence[str]] = tuple
    restored: bool = False
    recovery: Callable[..., Recovery]
    reconfigure: Callable[[Config], Awaitable[None]]


class Process(Protocol):
    """The process that the daemon runs in. Its methods raise ConfigError, and then nothing has changed."""

    async def read(self, environ: Mapping[str, str]) -> Config:
        """The configuration as it stands now, with which a daemon would start."""

    def log_to(self, config: Config) -> None:
        """Log as this says from now on, into the file that has the name now."""

    async def successor(self, environment: Mapping[str, str]) -> Mapping[str, str]:
        """The environment in which this process may become a daemon anew. Raises Conflict if it would live elsewhere."""


class Daemon:
    """One run of the daemon. `boot` names it. `successor`: the environment of the run that follows in this process, if one does."""

    def __init__(self, config: Config, clock: Clock, boot: str, process: Process) -> None:
        self._config, self._clock, self.boot, self._process = config, clock, boot, process
        self.successor: Mapping[str, str] | None = None
        self._misread = ""
        self._reloading = trio.Lock()
        self._began, self._started_at = trio.current_time(), clock.now()
        self._stop_asked = trio.Event()
        self._stop_now = trio.Event()
        self._resumes_suspended = False
        self._parts: Parts | None = None
        self._listener: Listener | None = None
        self._services: trio.Nursery | None = None

    # --- core.api.Host -----------------------------------------------------------------------------------------------------

    def status(self, sessions: int, running: int) -> DaemonStatus:
        assert self._parts is not None and self._listener is not None
        store = self._parts.store
        return DaemonStatus(
            pid=os.getpid(),
            boot=self.boot,
            version=__version__,
            protocol=PROTOCOL_VERSION,
            started_at=self._started_at,
            uptime=round(trio.current_time() - self._began, 3),
            socket=self._listener.path,
            model=self._config.model,
            sessions=sessions,
            running=running,
            clients=self._listener.clients,
            rss=_rss(),
            storage=StorageInfo(path=store.path, bytes=_size(store.path), full=store.full),
            resumes_suspended=self._resumes_suspended,
            providers=self._parts.providers(),
            circuits=self._parts.circuits(),
            sandbox=self._parts.sandbox(),
            warnings=(*([self._misread] if self._misread else []), *self._config.warnings, *self._parts.notices()),
        )

    def stop(self) -> None:
        """Stop in good order; asked a second time, at once. A restart that is under way becomes a stop."""
        if self.successor is not None:
            self.successor = None
        else:
            (self._stop_now if self._stop_asked.is_set() else self._stop_asked).set()

    async def restart(self, environment: Mapping[str, str] | None) -> None:
        """Stop in good order, and let this process become a daemon anew, with this environment if one is given.

        Error handling: ConfigError or Conflict for what could not start; Stopping. Then nothing has happened.
        """
        successor = await self._process.successor(os.environ if environment is None else environment)
        if self._stop_asked.is_set():
            raise Stopping("the daemon stops already")
        self.successor = successor
        self._stop_asked.set()

    async def reload(self) -> Reloaded:
        """Read the configuration again; what can counts at once. One after the other.

        Error handling: ConfigError; the old one stays in force, and `status` says so until it is read without an error.
        """
        assert self._parts is not None
        async with self._reloading:
            try:
                merged = merge(self._config, await self._process.read(os.environ))
                self._process.log_to(merged.config)
                await self._parts.reconfigure(merged.config)
            except ConfigError as error:
                self._misread = f"the configuration could not be read again and stays as it was: {error}"
                log.error("configuration_wrong", reason=str(error))
                raise
            self._misread, self._config = "", merged.config
        log.info("configuration_read", changed=merged.changed, needs_restart=merged.waiting)
        return Reloaded(changed=merged.changed, needs_restart=merged.waiting)

    def expect_prompt(self) -> None:
        """A client came that will probably prompt: load the model's SDK while it types."""
        if self._services is not None and self._parts is not None:
            self._services.start_soon(self._prewarm, self._parts)

    async def _prewarm(self, parts: Parts) -> None:
        try:
            await parts.prewarm()
        except Exception:  # a broken SDK: the request will say so to whoever needs it
            log.exception("prewarm_failed")

    # --- the run -----------------------------------------------------------------------------------------------------------

    async def run(self, parts: Parts, listener: Listener, ready: Callable[[], None]) -> None:
        """Until somebody asks to stop. `ready` is called once clients can connect.

        Error handling: StoreError (inside an exception group) if the log fails; the process then ends with an error.
        """
        self._parts, self._listener = parts, listener
        async with trio.open_nursery() as store:
            await store.start(parts.store.run, parts.sessions.on_commit)
            clean = await self._begin()
            async with trio.open_nursery() as services:
                self._services = services
                services.start_soon(self._heed_signals)  # here and not in intake: a second SIGTERM must be heard during the stop
                for service in parts.services:
                    await services.start(service)
                for task in parts.background:
                    services.start_soon(task)
                async with trio.open_nursery() as connections:
                    async with trio.open_nursery() as work:
                        turns = await work.start(parts.sessions.run_work)
                        async with trio.open_nursery() as intake:
                            intake.start_soon(listener.serve, connections)
                            await self._recover(turns, clean=clean)
                            ready()
                            notify("READY=1")
                            await self._stop_asked.wait()
                            deadline = self._refuse_work(parts)
                            if self.successor is None:
                                listener.close()
                            else:  # clients may come meanwhile; those who come after this wait for the next run
                                await self._grace(parts.sessions, deadline)
                            intake.cancel_scope.cancel()
                        await self._grace(parts.sessions, deadline)
                        work.cancel_scope.cancel()
                    parts.bus.close_all("stopping")
                    connections.cancel_scope.cancel()
                self._services = None
                services.cancel_scope.cancel()
            await self._end()
            parts.store.close()

    async def _begin(self) -> bool:
        """Record the boot; True if the last one ended in good order."""
        assert self._parts is not None
        try:
            unclean = await self._parts.store.start_boot(self.boot)
        except StorageFull as error:
            log.warning("boot_not_recorded", reason=str(error))  # reading and status work on a full disk
            return False
        recent = [at for at in unclean if 0 <= self._started_at - at <= _UNCLEAN_WINDOW]
        self._resumes_suspended = len(recent) >= _UNCLEAN_STARTS
        if self._resumes_suspended:
            log.warning("resumes_suspended", unclean_starts=len(recent))
        return not unclean

    async def _end(self) -> None:
        assert self._parts is not None
        try:
            await self._parts.store.end_boot(self.boot)
        except StorageFull as error:
            log.warning("end_not_recorded", reason=str(error))

    async def _recover(self, turns: trio.Nursery, *, clean: bool) -> None:
        assert self._parts is not None
        turn = self._config.turn
        resume = turn.resume == "auto" and not self._resumes_suspended and not self._parts.restored
        await self._parts.recovery(resume=resume, clean=clean, grace=turn.resume_grace).run(turns)

    def _refuse_work(self, parts: Parts) -> float:
        """No new work from now on. Returns when the work that runs must have ended."""
        if self.successor is None:
            notify("STOPPING=1")
        else:
            notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        log.info("stopping", running=parts.sessions.running, restart=self.successor is not None)
        parts.sessions.stop()
        return trio.current_time() + self._config.daemon.shutdown_grace

    async def _grace(self, sessions: Sessions, deadline: float) -> None:
        with trio.move_on_at(deadline):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._cancel_on_second, nursery.cancel_scope)
                await sessions.quiet()
                nursery.cancel_scope.cancel()

    async def _cancel_on_second(self, scope: trio.CancelScope) -> None:
        await self._stop_now.wait()
        scope.cancel()

    async def _heed_signals(self) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async for number in signals:
                log.info("signal", name=signal.Signals(number).name)
                if number != signal.SIGHUP:
                    self.stop()
                elif self._services is not None:  # which may take long: the next signal is heard meanwhile
                    self._services.start_soon(self._reread)

    async def _reread(self) -> None:
        with suppress(ConfigError):  # said in the log and by `status`
            await self.reload()


def _rss() -> int:
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()
    except OSError:  # no descriptor is left: the status must still be told, with the most it has been
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _size(path: str) -> int:
    total = 0
    for name in (path, f"{path}-wal"):
        try:
            total += os.stat(name).st_size
        except FileNotFoundError:
            continue
    return total
