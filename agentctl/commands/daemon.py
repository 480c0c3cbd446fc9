"""`agentctl daemon`: run, start, stop and restart the daemon, ask how it is, read its log."""

from __future__ import annotations

import fcntl
import os
import select
import signal
from contextlib import suppress

from agentctl import arguments
from agentctl.client import Client, open_socket, peer
from agentctl.output import Output
from agentwire.errors import AgentError, DeadlineExceeded, Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable
    from typing import BinaryIO

    from agentwire.paths import Paths

EXAMPLES = """\
agentctl daemon status
agentctl daemon restart          after changing its configuration
agentctl daemon logs -f
agentctl daemon run              in the foreground; Ctrl-C stops it"""
STOP_SECONDS = 20.0
"""A daemon that is asked to stop ends its turns within 15 s."""
_PATIENCE, _HURRY_SECONDS = 1.0, 5.0
_FOLLOW_SECONDS = 0.1
_BLOCK = 64 * 1024


def parser() -> ArgumentParser:
    """The arguments of `daemon`."""
    made = arguments.make("agentctl daemon", "the daemon itself", EXAMPLES)
    group = arguments.verbs(made)
    run = arguments.verb(group, "run", "run it in the foreground", "agentctl daemon run\nagentctl daemon run -- -c log.level=debug")
    run.add_argument("arguments", nargs="*", metavar="-- ARGUMENT", help="arguments of agentd")
    arguments.verb(group, "start", "start it in the background; nothing happens if it runs", "agentctl daemon start")
    arguments.verb(group, "stop", "stop it and wait until it is gone; open turns are closed first", "agentctl daemon stop")
    arguments.verb(
        group, "restart", "stop and start it: new configuration, new environment, new version", "agentctl daemon restart"
    )
    status = arguments.verb(
        group, "status", "how it is; exit 3 if it does not run (`agentctl status` starts it)", "agentctl daemon status --json"
    )
    arguments.add_json(status)
    logs = arguments.verb(group, "logs", "the end of its log", "agentctl daemon logs -n 200\nagentctl daemon logs -f")
    logs.add_argument("-n", "--lines", type=arguments.number, default=50, metavar="N", help="so many lines (default 50)")
    logs.add_argument("-f", "--follow", action="store_true", help="go on printing what is added, until Ctrl-C")
    return made


def main(paths: Paths, args: Namespace) -> int:
    """Runs the verb."""
    out = Output(args)
    if args.verb == "run":
        from agentctl.embedded import run_daemon

        return run_daemon(args.arguments)
    if args.verb == "status":
        return _status(paths, args, out)
    if args.verb == "logs":
        return _logs(paths, args, out)
    if args.verb == "restart":
        _check_configuration(out)
    if args.verb in ("stop", "restart"):
        stopped = stop(paths, out.note)
        out.note(f"the daemon (pid {stopped}) is stopped" if stopped else "no daemon was running")
    if args.verb in ("start", "restart"):
        with Client.connect(paths) as client:
            out.note(f"the daemon runs (pid {client.initialized['pid']})")
    return 0


def _check_configuration(out: Output) -> None:
    """Raises ConfigError for what the new daemon would not start with, while the old one still runs."""
    from agentctl.start import unit_installed
    from agentwire import config

    if not unit_installed(os.environ):  # the unit's environment is not ours
        for warning in config.load(os.environ).warnings:
            out.warn(warning)


def stop(paths: Paths, tell: Callable[[str], None]) -> int | None:
    """Stops the daemon and waits until its process is gone; its pid, or None if there was none. `tell` hears of a longer wait.

    A daemon that does not understand us (another version) or does not answer gets SIGTERM; one that takes too long gets a second
    one, which means at once. Raises DeadlineExceeded if it outlives that.
    """
    try:
        sock = open_socket(paths)
    except Unreachable as error:
        if error.details.get("untrusted"):
            raise
        pid = _holder(paths.lock)
    else:
        with sock:
            pid = peer(sock)[0]
    if pid is None:
        return None
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        _ask_to_stop(paths, process)
        if not _gone(process, _PATIENCE):
            tell("what runs gets a few seconds to end its step ...")
        if not _gone(process, STOP_SECONDS):
            _signal(process, signal.SIGTERM)
            if not _gone(process, _HURRY_SECONDS):
                raise DeadlineExceeded(f"the daemon (pid {pid}) does not stop; `kill -9 {pid}` loses nothing that was acknowledged")
    finally:
        os.close(process)
    return pid


def _holder(lock: str) -> int | None:
    """The pid of a daemon that listens elsewhere (another XDG_RUNTIME_DIR) but holds the lock of our data."""
    try:
        with open(lock, "rb+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read() or 0) or None
    except (FileNotFoundError, ValueError):
        pass
    return None


def _ask_to_stop(paths: Paths, process: int) -> None:
    try:
        with Client.connect(paths, start=False) as client:
            client.call("daemon/stop", {}, timeout=_HURRY_SECONDS)
    except AgentError:
        _signal(process, signal.SIGTERM)


def _signal(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # gone already: that is what was wanted
        signal.pidfd_send_signal(process, number)


def _gone(process: int, seconds: float) -> bool:
    # A pidfd becomes readable when its process ends (pidfd_open(2)); a pid could be another's by then.
    return bool(select.select([process], [], [], seconds)[0])


def _status(paths: Paths, args: Namespace, out: Output) -> int:
    from agentctl.commands.status import show

    with Client.connect(paths, start=False) as client:
        show(client.call("daemon/status", {}), out, as_json=args.json)
    return 0


def _logs(paths: Paths, args: Namespace, out: Output) -> int:
    from agentctl.start import output_file

    log = _configured_log(paths)
    path = log if os.path.exists(log) else output_file(paths)
    if not os.path.exists(path):
        raise AgentError(f"there is no log at {log} yet (under systemd see `journalctl --user -u agentd`)")
    with open(path, "rb") as file:
        out.stream(out.safe(_tail(file, args.lines).decode("utf-8", "replace")))
        if args.follow:
            _follow(file, path, out)
    return 0


def _configured_log(paths: Paths) -> str:
    """Where the daemon logs by this environment's configuration; a wrong one must not hide the log that says so."""
    from agentwire import config

    try:
        return config.load(os.environ).log.file or paths.log_file
    except AgentError:
        return paths.log_file


def _tail(file: BinaryIO, lines: int) -> bytes:
    """The last `lines` lines; the file is then at its end."""
    position = file.seek(0, os.SEEK_END)
    data = b""
    while position > 0 and data.count(b"\n") <= lines:
        step = min(_BLOCK, position)
        position -= step
        file.seek(position)
        data = file.read(step) + data
    file.seek(0, os.SEEK_END)
    kept = data.splitlines(keepends=True)
    return b"".join(kept[-lines:] if lines else [])


def _follow(file: BinaryIO, path: str, out: Output) -> None:
    """Prints what is added; when the file is rotated or truncated, goes on with the new one. Ends by Ctrl-C."""
    while True:
        data = file.read()
        if data:
            out.stream(out.safe(data.decode("utf-8", "replace")))
            continue
        select.select([], [], [], _FOLLOW_SECONDS)
        try:
            there = os.stat(path)
        except FileNotFoundError:
            continue  # between the two steps of a rotation
        here = os.fstat(file.fileno())
        if (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino):
            rest = file.read()
            out.stream(out.safe(rest.decode("utf-8", "replace")))
            with open(path, "rb") as renewed:
                os.dup2(renewed.fileno(), file.fileno())
            file.seek(0)
        elif there.st_size < file.tell():
            file.seek(0)
