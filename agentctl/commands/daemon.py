"""`agentctl daemon`: run, start, stop and restart the daemon, ask how it is, read its log."""

from __future__ import annotations

import os
import select

from agentctl import arguments
from agentctl.client import Client
from agentctl.output import Output
from agentwire.errors import AgentError, Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import BinaryIO

    from agentwire.paths import Paths

EXAMPLES = """\
agentctl daemon status
agentctl daemon reload           after changing its configuration
agentctl daemon restart          new version, new environment; nobody is refused meanwhile
agentctl daemon logs -f
agentctl daemon run              in the foreground; Ctrl-C stops it"""
_FOLLOW_SECONDS = 0.1
_BLOCK = 64 * 1024
_IN_ONE_LINE = 2  # keys; more of them are a list


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
    reload = arguments.verb(
        group, "reload", "make it read its configuration again; says what waits for a restart", "agentctl daemon reload"
    )
    arguments.add_json(reload)
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
    if args.verb == "reload":
        return _reload(paths, args, out)
    if args.verb == "restart":
        return _restart(paths, out)
    if args.verb == "stop":
        return _stop(paths, out)
    return _start(paths, out)


def _start(paths: Paths, out: Output, state: str = "runs") -> int:
    with Client.connect(paths) as client:
        out.note(f"the daemon {state} (pid {client.initialized['pid']})")
    return 0


def _stop(paths: Paths, out: Output) -> int:
    from agentctl.stop import stop

    stopped = stop(paths, out.note)
    out.note(f"the daemon (pid {stopped}) is stopped" if stopped else "no daemon was running")
    return 0


def _restart(paths: Paths, out: Output) -> int:
    from agentctl.start import unit_installed
    from agentctl.stop import begin_anew

    if unit_installed(os.environ):
        _stop(paths, out)
    else:
        _check_configuration(out)
        if begin_anew(paths):
            return _start(paths, out, "began anew")
        _stop(paths, out)
    return _start(paths, out)


def _reload(paths: Paths, args: Namespace, out: Output) -> int:
    _refuse_to_start(paths)
    with Client.connect(paths, start=False) as client:
        answer = client.call("daemon/reload", {})
        warnings = client.call("config/get", {})["warnings"]
    for warning in warnings:  # misspelt keys, and what waits for a restart
        out.warn(warning)
    if args.json:
        out.document(answer)
        return 0
    waiting = answer["needs_restart"]
    counts = [key for key in answer["changed"] if key not in waiting]
    if len(counts) > _IN_ONE_LINE:
        out.say("\n  ".join(("new values count:", *counts)))
    else:
        out.say(f"new values count: {', '.join(counts)}" if counts else "nothing new counts")
    return 0


def _check_configuration(out: Output) -> None:
    """Raises ConfigError for what the new daemon would not start with, while the old one still runs."""
    from agentwire import config

    for warning in config.load(os.environ).warnings:
        out.warn(warning)


def _refuse_to_start(paths: Paths) -> None:
    """To connect to a socket of systemd's would start the daemon: look before."""
    from agentctl.start import unit_installed
    from agentctl.stop import running

    if unit_installed(os.environ) and running(paths) is None:
        raise Unreachable("no daemon runs; start it with `agentctl daemon start`")


def _status(paths: Paths, args: Namespace, out: Output) -> int:
    from agentctl.commands.status import show

    _refuse_to_start(paths)
    with Client.connect(paths, start=False) as client:
        show(client.call("daemon/status", {}), out, as_json=args.json)
    return 0


def _logs(paths: Paths, args: Namespace, out: Output) -> int:
    log = _configured_log(paths)
    path = log if os.path.exists(log) else paths.output
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
