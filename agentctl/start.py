"""Starts a daemon where none answers: one starter wins, the others wait for it and find the daemon there.

Under systemd the user unit is started, so that the daemon is supervised and its log is in the journal. Elsewhere it is a detached
process: forked twice with a session of its own, so that neither closing the terminal nor the end of this command reaches it, and
without our descriptors. Its environment is ours as it stands: a key exported here is a key there.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from agentctl.client import open_socket
from agentwire.errors import AgentError, Unreachable, from_wire
from agentwire.paths import Paths

READY_SECONDS = 60.0
"""A start takes about a second; a migration with its backup may take longer."""
UNIT = "agentd.service"
_READY_FD = 3


def ensure_running(paths: Paths, program: Sequence[str] = ()) -> None:
    """Returns when a daemon accepts connections, started by us or by whoever was first. `program`: another than agentd.

    Raises what kept the daemon from starting (`ConfigError` and the like, with their exit codes), or `Unreachable` naming its log.
    """
    os.makedirs(paths.data, mode=0o700, exist_ok=True)
    with _single_flight(paths.start_lock):
        if answers(paths):
            return
        if unit_installed(os.environ):
            _start_unit()
        else:
            _start_detached(paths, program or command())


def answers(paths: Paths) -> bool:
    """Whether something that is ours accepts connections. Raises if it is there and cannot be trusted."""
    try:
        open_socket(paths).close()
    except Unreachable as error:
        if error.details.get("untrusted"):
            raise
        return False
    return True


def unit_installed(environ: Mapping[str, str]) -> bool:
    """Whether systemd runs for this user and knows our unit. A daemon moved by AGENTD_* is not the unit's daemon."""
    runtime = environ.get("XDG_RUNTIME_DIR")
    moved = any(name in environ for name in ("AGENTD_HOME", "AGENTD_CONFIG", "AGENTD_SOCKET"))
    if moved or not runtime or not os.path.isdir(f"{runtime}/systemd"):
        return False
    config = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME', '')}/.config"
    folders = (f"{config}/systemd/user", "/etc/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user")
    return any(os.path.exists(f"{folder}/{UNIT}") for folder in folders)


@contextmanager
def _single_flight(path: str) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _start_unit() -> None:
    import subprocess

    done = subprocess.run(["systemctl", "--user", "start", UNIT], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        why = done.stderr.strip().splitlines() or [f"systemctl exited with {done.returncode}"]
        raise Unreachable(f"systemd could not start the daemon: {why[0]} See `journalctl --user -u {UNIT}`")


def _start_detached(paths: Paths, program: Sequence[str]) -> None:
    os.makedirs(paths.logs, mode=0o700, exist_ok=True)
    log = paths.output  # next to nothing, unless the daemon dies before its log is open
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _detach(program, log, write)
    os.close(write)
    os.waitpid(child, 0)  # the first fork ends at once: the daemon is nobody's child here, and cannot become our zombie
    try:
        _await_ready(read, log)
    finally:
        os.close(read)


def _detach(argv: Sequence[str], log: str, ready: int) -> None:
    """The forked child: becomes the daemon, or ends. Never returns, never raises into the caller's copy of this program."""
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        ready = os.dup(ready) if ready != _READY_FD else ready
        null, out = os.open("/dev/null", os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        for source, target in ((ready, _READY_FD), (null, 0), (out, 1), (out, 2)):
            os.dup2(source, target)
            os.set_inheritable(target, True)  # dup2 onto itself leaves close-on-exec as it was
        os.closerange(_READY_FD + 1, os.sysconf("SC_OPEN_MAX"))
        os.chdir("/")
        os.execve(argv[0], list(argv), _environment(os.environ))
    finally:
        os._exit(127)


def command() -> list[str]:
    """The program and arguments of the daemon that belongs to this client."""
    if getattr(sys, "frozen", False):
        return [sys.executable, "daemon", "run"]
    return [sys.executable, "-m", "agentd.main"]


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    # A PyInstaller onefile child must unpack itself anew instead of using its parent's folder, which goes when the parent ends.
    frozen = {"PYINSTALLER_RESET_ENVIRONMENT": "1"} if getattr(sys, "frozen", False) else {}
    return {**environ, **frozen, "AGENTD_READY_FD": str(_READY_FD)}


def _await_ready(read: int, log: str) -> None:
    line = _read_line(read)
    if line is None:
        raise Unreachable(f"the daemon is not ready after {READY_SECONDS:g} s; see {log}")
    if line.startswith(b"ready"):
        for notice in json.loads(line[len(b"ready") :].strip() or b"[]"):
            sys.stderr.write(f"warning: {notice}\n")
        return
    failure: AgentError | None = None
    with suppress(ValueError, KeyError, TypeError):
        failure = from_wire(json.loads(line)["error"])
    raise failure or Unreachable(f"the daemon ended before it was ready{_last_words(log)}; see {log}")


def _read_line(read: int) -> bytes | None:
    """What comes before a newline or the end; None if neither comes in time."""
    line, deadline = b"", time.monotonic() + READY_SECONDS
    while not line.endswith(b"\n"):
        if not select.select([read], [], [], max(deadline - time.monotonic(), 0))[0]:
            return None
        piece = os.read(read, 65536)
        if not piece:
            break
        line += piece
    return line


def _last_words(log: str) -> str:
    with open(log, "rb") as file:
        file.seek(max(os.path.getsize(log) - 4096, 0))
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return f": {lines[-1].strip()}" if lines else ""
