"""Ends the daemon that runs, or lets it begin anew.

Which process it is says the lock of its data, or the daemon itself; not the socket, which may be the service manager's.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
from contextlib import suppress

from agentctl.client import Client, open_socket, peer
from agentctl.start import command, unit_installed
from agentwire.errors import AgentError, Conflict, DeadlineExceeded, UnknownMethod, Unreachable, VersionMismatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from agentwire.paths import Paths

STOP_SECONDS = 20.0
"""A daemon that is asked to stop ends its turns within 15 s."""
_PATIENCE, _HURRY_SECONDS = 1.0, 5.0


def running(paths: Paths) -> int | None:
    """The pid of the daemon that holds the lock of our data, wherever it listens; None if none does. Starts nothing."""
    try:
        with open(paths.lock, "rb+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read() or 0) or None
    except (FileNotFoundError, ValueError):
        pass
    return None


def stop(paths: Paths, tell: Callable[[str], None]) -> int | None:
    """Stops the daemon and waits until its process is gone; its pid, or None if there was none. `tell` hears of a longer wait.

    A daemon that does not understand us (another version) or does not answer gets SIGTERM; one that takes too long gets a second
    one, which means at once. Raises DeadlineExceeded if it outlives that.
    """
    pid = running(paths) or _stranger(paths)
    if pid is None:
        return None
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        _ask_to_stop(paths, pid, process)
        if not _gone(process, _PATIENCE):
            tell("what runs gets a few seconds to end its step ...")
        if not _gone(process, STOP_SECONDS):
            _signal(process, signal.SIGTERM)
            if not _gone(process, _HURRY_SECONDS):
                raise DeadlineExceeded(f"the daemon (pid {pid}) does not stop; `kill -9 {pid}` loses nothing that was acknowledged")
    finally:
        os.close(process)
    return pid


def begin_anew(paths: Paths) -> bool:
    """Lets the daemon execute itself anew with this environment, and waits until the old one is gone.

    Clients that come meanwhile are not refused. False where that cannot be: no daemon, another release, another program than ours,
    or one that would move with this environment. Raises what the daemon finds wrong with the configuration; then it runs on.
    """
    # What is no Unicode cannot be told. The daemon needs none of it.
    environment = {name: value for name, value in os.environ.items() if _is_text(name + value)}
    try:
        with Client.connect(paths, start=False) as client:
            if _program(client.initialized["pid"]) != command()[0]:
                return False
            client.call("daemon/restart", {"environment": environment})
            with suppress(Unreachable):  # the connection's end is the daemon's
                for _ in client.events(timeout=STOP_SECONDS):
                    pass
    except (Unreachable, VersionMismatch, UnknownMethod, Conflict, DeadlineExceeded):
        return False
    return True


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _program(pid: int) -> str:
    """What the process was started as: in a virtual environment that is its interpreter."""
    with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return os.fsdecode(file.read().split(b"\0")[0])
    return ""


def _stranger(paths: Paths) -> int | None:
    """The pid of a daemon that listens at our place and keeps its data elsewhere."""
    if unit_installed(os.environ):
        return None  # to connect could start the unit
    try:
        with open_socket(paths) as sock:
            return peer(sock)[0]
    except Unreachable as error:
        if error.details.get("untrusted"):
            raise
        return None


def _ask_to_stop(paths: Paths, pid: int, process: int) -> None:
    try:
        with Client.connect(paths, start=False) as client:
            if client.initialized["pid"] == pid:
                client.call("daemon/stop", {}, timeout=_HURRY_SECONDS)
                return
    except AgentError:
        pass
    _signal(process, signal.SIGTERM)


def _signal(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # gone already: that is what was wanted
        signal.pidfd_send_signal(process, number)


def _gone(process: int, seconds: float) -> bool:
    # A pidfd becomes readable when its process ends (pidfd_open(2)); a pid could be another's by then.
    return bool(select.select([process], [], [], seconds)[0])
