"""`agentd`: the daemon in the foreground. argv -> Config -> lock -> log -> wiring -> run; and perhaps all of it once more."""

from __future__ import annotations

import argparse
import errno
import gc
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from agentwire import __version__
from agentwire.errors import AgentError, ConfigError, StorageFull, StoreError

if TYPE_CHECKING:
    import socket

    from agentd.ipc import Listener
    from agentd.process import ThisProcess
    from agentd.systemd import Inherited
    from agentwire.config import Config

READY_FD = "AGENTD_READY_FD"
"""Whoever starts the daemon may pass a pipe: one line, `ready` (with notices) or an error object, then end of file."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run until asked to stop; returns the exit code (0 after a stop in good order)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] in (["_llama"], ["_function"]):
        return _child(arguments[0], arguments[1:])
    options = _parser().parse_args(arguments)
    from agentd import systemd

    umask = os.umask(0o077)  # ours: nobody else reads the log; the tools get the user's back
    starter = _Starter(os.environ.pop(READY_FD, None))
    inherited = systemd.Inherited()
    try:
        inherited = systemd.take(os.environ)
        _run(options.config, starter, inherited, umask)
    except BaseExceptionGroup as group:
        return _failed(_first(group), starter, inherited)
    except AgentError as error:
        return _failed(error, starter, inherited)
    except OSError as error:
        return _failed(_explained(error), starter, inherited)
    return 0


def restore(source: str) -> dict[str, Any]:
    """Put a backup (empty: the newest) in the place of the store, without a daemon: the answer of `store/restore`.

    Error handling: Conflict if a daemon runs; else as `ports.Keeper.restore`.
    """
    from agentd.process import locked
    from agentd.wiring import restore_now
    from agentwire.convert import plain
    from agentwire.paths import locate

    paths = locate(os.environ, os.getuid())
    os.makedirs(paths.data, mode=0o700, exist_ok=True)
    before = os.umask(0o077)
    try:
        with locked(paths.lock):
            done: dict[str, Any] = plain(restore_now(paths.database, source))
            return done
    finally:
        os.umask(before)


def _explained(error: OSError) -> AgentError:
    reason = f"cannot start: {error.strerror}" + (f": {error.filename}" if error.filename else "")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"{reason}. Make room on this file system.")
    return ConfigError(f"{reason}. Check its permissions.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="agentd", description="The agentd daemon, in the foreground. agentctl starts it by itself."
    )
    parser.add_argument("-c", "--config", action="append", default=[], metavar="KEY=VALUE", help="set a configuration value")
    parser.add_argument("--version", action="version", version=f"agentd {__version__}")
    return parser


def _run(overrides: Sequence[str], starter: _Starter, inherited: Inherited, umask: int) -> None:
    from agentd.logs import Logs
    from agentd.process import ThisProcess, become, locked, secrets
    from agentwire import config as configuration

    config = configuration.load(os.environ, overrides)
    for directory in (config.paths.data, config.paths.logs):
        os.makedirs(directory, mode=0o700, exist_ok=True)
    with locked(config.paths.lock, inherited.lock) as lock:
        logs = Logs(config.log, default_file=config.paths.log_file, secrets=secrets(config), stderr=sys.stderr.isatty())
        import faulthandler

        import trio

        from agentd import systemd, wiring

        faulthandler.enable(logs.descriptor)  # what kills the interpreter itself, and the manager's watchdog, leave their stacks
        process = ThisProcess(config=config, overrides=overrides, logs=logs, check=wiring.check)
        run = trio.run(_serve, process, starter, inherited, umask)
        if run is not None:
            listening, environment = run
            name = systemd.OWN if inherited.socket is None or inherited.owned else systemd.ACTIVATED[0]
            become(environment, overrides, {name: listening.fileno(), systemd.LOCK: lock}, umask)


async def _serve(
    process: ThisProcess, starter: _Starter, inherited: Inherited, umask: int
) -> tuple[socket.socket, Mapping[str, str]] | None:
    """Until the end; the socket and the environment of the run that follows, if one does."""
    import structlog

    from agentd.wiring import build

    log, config = structlog.get_logger(), process.config
    async with build(config, process, umask) as (daemon, parts, listener):
        _listen(listener, inherited, config)
        log.info("started", version=__version__, pid=os.getpid(), boot=daemon.boot, socket=listener.path, model=config.model)
        for warning in config.warnings:
            log.warning("configuration", message=warning)
        gc.freeze()  # what is loaded by now stays: a full collection would look through all of it, 13 ms each time
        try:
            await daemon.run(parts, listener, lambda: starter.ready(parts.notices()))
            listening = listener.leave() if daemon.successor is not None else None
        finally:
            listener.close()
    log.info("stopped")
    return None if listening is None or daemon.successor is None else (listening, daemon.successor)


def _listen(listener: Listener, inherited: Inherited, config: Config) -> None:
    if inherited.socket is None:
        listener.bind()
        return
    listener.adopt(inherited.socket, owned=inherited.owned)
    if listener.path != config.paths.socket:
        import structlog

        said = (
            f"the service manager listens on {listener.path}, where no client of this configuration looks ({config.paths.socket})"
        )
        structlog.get_logger().warning("configuration", message=said)


class _Starter:
    """The process that waits for us to be ready, if there is one."""

    def __init__(self, descriptor: str | None) -> None:
        self._descriptor: int | None = None
        with suppress(ValueError, OverflowError, OSError):  # a variable left over from elsewhere keeps nobody from starting
            number = int(descriptor or "")
            os.set_inheritable(number, False)
            self._descriptor = number

    def ready(self, notices: Sequence[str]) -> None:
        """`notices`: what the user should know of how it was found; behind the word as a JSON list, if there is any."""
        for notice in notices:
            sys.stderr.write(f"agentd: warning: {notice}\n")
        self._say(b"ready " + json.dumps(notices).encode() + b"\n" if notices else b"ready\n")

    def failed(self, error: AgentError) -> None:
        self._say(json.dumps({"error": error.to_wire()}).encode() + b"\n")

    def _say(self, line: bytes) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):  # it did not wait for us
                os.write(descriptor, line)
            os.close(descriptor)


def _first(group: BaseExceptionGroup[BaseException]) -> AgentError:
    """The cause to report: the expected kind if there is one in the group, else the bug itself is raised on."""
    found, rest = group.split(AgentError)
    if found is None or rest is not None:
        raise group
    error: BaseException = found
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, AgentError)
    return error


def _failed(error: AgentError, starter: _Starter, inherited: Inherited) -> int:
    starter.failed(error)
    sys.stderr.write(f"agentd: {error}\n")
    if isinstance(error, StoreError):
        import structlog

        structlog.get_logger().critical("store_failed", error=str(error))
    if inherited.socket is not None and inherited.socket.fileno() >= 0:
        _turn_away(inherited.socket, error, owned=inherited.owned)
    return error.exit_code


def _turn_away(listening: socket.socket, error: AgentError, *, owned: bool) -> None:
    """Those who wait at the socket that came with us hear why nobody serves them."""
    from agentd.ipc import turn_away

    name = listening.getsockname()
    turn_away(listening, error)
    listening.close()
    if owned:
        with suppress(OSError):
            os.unlink(name)


def _child(name: str, arguments: list[str]) -> int:
    """A frozen program starts its own children from itself."""
    if name == "_llama":
        from agentd.providers import llama_child

        return llama_child.main(arguments)
    from agentd.toolsources import function_worker

    return function_worker.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
