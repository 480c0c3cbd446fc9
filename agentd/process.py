"""The process a daemon runs in: its lock, its log, its configuration, and how it becomes the next one.

A restart executes the program anew in the same process: new code, new configuration, the environment that was asked for. The
listening socket and the lock go with it (agentd/systemd.py), so that no client is refused and no other daemon comes in between.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NoReturn

from attrs import frozen

from agentd import systemd
from agentd.logs import Logs
from agentd.spawn import restore_library_path
from agentwire import config as configuration
from agentwire.config import Config
from agentwire.errors import ConfigError, Conflict

_FROZEN = bool(getattr(sys, "frozen", False))
_GLANCES, _GLANCE_SECONDS = 10, 0.02
"""Whoever looks who holds the lock holds it for a moment: that is no daemon."""


@frozen(kw_only=True)
class ThisProcess:
    """The `daemon.Process` that really is one. `check` raises ConfigError for a configuration no daemon could be built from."""

    config: Config
    overrides: Sequence[str]
    logs: Logs
    check: Callable[[Config], Awaitable[None]]

    async def read(self, environ: Mapping[str, str]) -> Config:
        found = configuration.load(environ, self.overrides)
        await self.check(found)
        return found

    def log_to(self, config: Config) -> None:
        self.logs.reconfigure(config.log, secrets(config))

    async def successor(self, environment: Mapping[str, str]) -> Mapping[str, str]:
        wrong = [name for name, value in environment.items() if not name or "=" in name or "\0" in name + value]
        if wrong:
            raise ConfigError(f"the environment has variables that cannot be: {wrong[0]!r}")
        there, here = (await self.read(environment)).paths, self.config.paths
        if (there.socket, there.lock) != (here.socket, here.lock):
            raise Conflict(f"with this environment the daemon would listen on {there.socket} and keep its data in {there.data}")
        if not os.access(sys.executable, os.X_OK):
            raise ConfigError(f"{sys.executable} cannot be executed any more; `agentctl daemon stop` and start the daemon anew")
        return environment


def secrets(config: Config) -> Sequence[str]:
    """What must never be logged."""
    remote = config.providers.remote.values()
    return [secret for provider in remote for secret in (*provider.pool, *provider.headers.values())]


@contextmanager
def locked(path: str, inherited: int | None = None) -> Iterator[int]:
    """One daemon per data directory. `inherited`: the lock as the run before us in this process held it.

    Error handling: Conflict naming the pid of the daemon that runs.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) if inherited is None else inherited
    try:
        _acquire(descriptor, path)
        _sign(descriptor, path)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: str) -> None:
    for _ in range(_GLANCES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            select.select([], [], [], _GLANCE_SECONDS)
        else:
            return
    pid = os.pread(descriptor, 32, 0).decode().strip() or "unknown"
    raise Conflict(f"a daemon is running already (pid {pid}, lock {path}); `agentctl daemon stop` ends it")


def _sign(descriptor: int, path: str) -> None:
    pid = f"{os.getpid()}\n".encode()
    try:
        os.pwrite(descriptor, pid, 0)  # before the file is cut: to overwrite needs no space on a full disk
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    os.ftruncate(descriptor, len(pid))


def become(environment: Mapping[str, str], overrides: Sequence[str], inherited: Mapping[str, int], umask: int) -> NoReturn:
    """This process is the next daemon from here on. Raises OSError if the program cannot be executed."""
    program = [sys.executable, "daemon", "run", "--"] if _FROZEN else [sys.executable, "-P", "-m", "agentd.main"]
    arguments = [argument for override in overrides for argument in ("-c", override)]
    os.umask(umask)  # the next daemon takes what it finds for the user's
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a reload that comes before it listens to signals must not end it
    os.execve(program[0], [*program, *arguments], _prepared(environment, inherited))


def _prepared(environment: Mapping[str, str], inherited: Mapping[str, int]) -> dict[str, str]:
    manager = systemd.kept(os.environ)
    own = {name: value for name, value in environment.items() if name not in systemd.KEPT}
    # A frozen program must unpack itself anew instead of using the folder of the one before.
    frozen = {"PYINSTALLER_RESET_ENVIRONMENT": "1"} if _FROZEN else {}
    return systemd.pass_on(inherited, {**restore_library_path(own, frozen=_FROZEN), **manager, **frozen})
