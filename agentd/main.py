"""`agentd`: the daemon in the foreground. argv -> Config -> lock -> wiring -> run."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from agentwire import __version__
from agentwire.errors import AgentError, ConfigError, Conflict, StoreError

if TYPE_CHECKING:
    from agentwire.config import Config

READY_FD = "AGENTD_READY_FD"
"""Whoever starts the daemon may pass a pipe: one line, `ready` or an error object, then end of file."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run until asked to stop; returns the exit code (0 after a stop in good order)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] in (["_llama"], ["_function"]):
        return _child(arguments[0], arguments[1:])
    options = _parser().parse_args(arguments)
    umask = os.umask(0o077)  # ours: nobody else reads the log; the tools get the user's back
    starter = _Starter(os.environ.pop(READY_FD, None))
    try:
        _run(options.config, starter, umask)
    except BaseExceptionGroup as group:
        return _failed(_first(group), starter)
    except AgentError as error:
        return _failed(error, starter)
    except OSError as error:
        return _failed(ConfigError(f"cannot start: {error.strerror}: {error.filename}. Check its permissions."), starter)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="agentd", description="The agentd daemon, in the foreground. agentctl starts it by itself."
    )
    parser.add_argument("-c", "--config", action="append", default=[], metavar="KEY=VALUE", help="set a configuration value")
    parser.add_argument("--version", action="version", version=f"agentd {__version__}")
    return parser


def _run(overrides: Sequence[str], starter: _Starter, umask: int) -> None:
    from agentd import logs
    from agentwire import config as configuration

    config = configuration.load(os.environ, overrides)
    for directory in (config.paths.data, config.paths.logs):
        os.makedirs(directory, mode=0o700, exist_ok=True)
    secrets = (config.providers.openai.api_key,)
    logs.configure(config.log, default_file=config.paths.log_file, secrets=secrets, stderr=sys.stderr.isatty())
    with _lock(config.paths.lock):
        import trio

        trio.run(_serve, config, starter, umask)


async def _serve(config: Config, starter: _Starter, umask: int) -> None:
    import structlog

    from agentd.wiring import build

    log = structlog.get_logger()
    async with build(config, umask) as (daemon, parts, listener):
        listener.bind()
        log.info("started", version=__version__, pid=os.getpid(), boot=daemon.boot, socket=config.paths.socket, model=config.model)
        for warning in config.warnings:
            log.warning("configuration", message=warning)
        try:
            await daemon.run(parts, listener, starter.ready)
        finally:
            listener.close()
    log.info("stopped")


class _Starter:
    """The process that waits for us to be ready, if there is one."""

    def __init__(self, descriptor: str | None) -> None:
        self._descriptor: int | None = None
        with suppress(ValueError, OverflowError, OSError):  # a variable left over from elsewhere keeps nobody from starting
            number = int(descriptor or "")
            os.set_inheritable(number, False)
            self._descriptor = number

    def ready(self) -> None:
        self._say(b"ready\n")

    def failed(self, error: AgentError) -> None:
        self._say(json.dumps({"error": error.to_wire()}).encode() + b"\n")

    def _say(self, line: bytes) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):  # it did not wait for us
                os.write(descriptor, line)
            os.close(descriptor)


@contextmanager
def _lock(path: str) -> Iterator[None]:
    """One daemon per data directory. Error handling: Conflict naming the pid of the one that runs."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(descriptor, 32).decode().strip() or "unknown"
            raise Conflict(f"a daemon is running already (pid {pid}, lock {path}); `agentctl daemon stop` ends it") from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
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


def _failed(error: AgentError, starter: _Starter) -> int:
    starter.failed(error)
    sys.stderr.write(f"agentd: {error}\n")
    if isinstance(error, StoreError):
        import structlog

        structlog.get_logger().critical("store_failed", error=str(error))
    return error.exit_code


def _child(name: str, arguments: list[str]) -> int:
    """A frozen program starts its own children from itself."""
    if name == "_llama":
        from agentd.providers import llama_child

        return llama_child.main(arguments)
    from agentd.toolsources import function_worker

    return function_worker.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
