"""What a service manager and its processes say to each other: listening sockets, readiness, the watchdog. By hand: it is little.

sd_listen_fds(3): descriptors from 3 on, LISTEN_FDS of them, named by LISTEN_FDNAMES, meant for the process LISTEN_PID.
sd_notify(3): datagrams to NOTIFY_SOCKET. sd_watchdog_enabled(3): WATCHDOG_USEC, meant for the process WATCHDOG_PID.

The first of them is also how a daemon that executes itself anew hands its socket and its lock to what it becomes.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Mapping, MutableMapping

from attrs import frozen

from agentwire.errors import ConfigError

FIRST = 3
"""SD_LISTEN_FDS_START."""
ACTIVATED = ("agentd", "agentd.socket")
"""What the manager calls our socket: the unit's FileDescriptorName, and its default."""
OWN, LOCK = "agentd-own", "agentd-lock"
"""What the daemon before us calls its own socket, whose name is ours to remove, and the lock of our data."""
_UNNAMED = "unknown"  # systemd's own word for a descriptor without a name
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
KEPT = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "MANAGERPID")
"""What ties this process to its manager, and no other process."""


@frozen
class Inherited:
    """What came with the process. `owned`: the socket's name is ours to remove, not the manager's. `lock`: a held lock."""

    socket: socket.socket | None = None
    owned: bool = False
    lock: int | None = None


def take(environ: MutableMapping[str, str]) -> Inherited:
    """The descriptors that are meant for this process, closed to its children, and their variables removed.

    Error handling: ConfigError if what is called our socket is none that we could use, or nothing is called so.
    """
    pid, count, names = (environ.pop(name, "") for name in _VARIABLES)
    if pid != str(os.getpid()) or not count.isdecimal() or not int(count):
        return Inherited()
    descriptors = list(range(FIRST, FIRST + int(count)))
    for descriptor in descriptors:
        _check_open(descriptor)
        os.set_inheritable(descriptor, False)
    called = names.split(":") if names else [_UNNAMED] * len(descriptors)
    found = dict(zip(called, descriptors, strict=False))
    name = next((name for name in (*ACTIVATED, OWN) if name in found), None)
    if name is None and len(descriptors) == 1:
        name = called[0] if called[0] == _UNNAMED else None
    if name is None:
        raise ConfigError(f"none of the sockets passed to this process is called {ACTIVATED[0]} (FileDescriptorName=): {names}")
    return Inherited(_listening(found[name]), name == OWN, found.get(LOCK))


def _check_open(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        raise ConfigError(f"LISTEN_FDS promises descriptor {descriptor}, which is not open") from None


def _listening(descriptor: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError:
        raise ConfigError("what was passed as our socket is no socket") from None
    stream = sock.family == socket.AF_UNIX and sock.type == socket.SOCK_STREAM
    if not (stream and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)):
        raise ConfigError("what was passed as our socket is no listening Unix stream socket (ListenStream= with a path)")
    return sock


def pass_on(descriptors: Mapping[str, int], environ: Mapping[str, str]) -> dict[str, str]:
    """Put the descriptors where the program that this process executes next looks for them; its environment.

    Whatever is at their places is replaced: the next thing that happens must be `execve`.
    """
    # First out of each other's way: one may be where another belongs.
    safe = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, FIRST + len(descriptors)) for number in descriptors.values()]
    for place, number in enumerate(safe, FIRST):
        os.dup2(number, place, inheritable=True)
    listen = (str(os.getpid()), str(len(descriptors)), ":".join(descriptors))
    return {**environ, **dict(zip(_VARIABLES, listen, strict=True))}


def kept(environ: Mapping[str, str]) -> dict[str, str]:
    """Those of KEPT that are set."""
    return {name: environ[name] for name in KEPT if name in environ}


def notify(*state: str) -> None:
    """Tell the manager; does nothing where nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)  # a manager that does not read must not stop the loop
        try:
            sock.sendto("\n".join(state).encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError as error:
            import structlog  # after agentd.logs, which sees to it that this costs 4 MB less

            structlog.get_logger().warning("notify_failed", error=str(error))


def watchdog(environ: Mapping[str, str]) -> float | None:
    """Seconds after which the manager kills us if it hears nothing; None if it does not watch this process."""
    interval, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID")
    if not interval.isdecimal() or not int(interval) or pid not in (None, "", str(os.getpid())):
        return None
    return int(interval) / 1_000_000
