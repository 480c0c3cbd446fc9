"""What a service manager passes and hears: descriptors by name, datagrams, its patience."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentd import systemd
from agentwire.errors import ConfigError

SCRIPT = """
import os, sys
from agentd import systemd
from agentwire.errors import ConfigError
try:
    found = systemd.take(os.environ)
except ConfigError as error:
    print("refused:", error)
else:
    name = found.socket.getsockname() if found.socket else None
    left = [name for name in os.environ if name.startswith("LISTEN_")]
    closed = all(not os.get_inheritable(n) for n in (3, 4, 5) if os.path.exists(f"/proc/self/fd/{n}"))
    print(name, found.owned, found.lock, left, closed)
"""


@pytest.fixture
def listening(home: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(home / "s"))
        sock.listen()
        yield sock


def start(*descriptors: int, names: str | None = "agentd", pid: str = "", count: str = "") -> str:
    """What a process says that was started with these descriptors from 3 on."""
    # As a manager does it: the pid is known only after the fork.
    starter = (
        "import os, sys\n"
        f"names, pid, count, descriptors = {names!r}, {pid!r}, {count!r}, {list(descriptors)!r}\n"
        "import fcntl\n"
        "safe = [fcntl.fcntl(one, fcntl.F_DUPFD, 50) for one in descriptors]\n"
        "os.closerange(3, 50)\n"
        "for place, one in enumerate(safe, 3): os.dup2(one, place)\n"
        "os.closerange(50, 100)\n"
        "os.environ |= {'LISTEN_PID': pid or str(os.getpid()), 'LISTEN_FDS': count or str(len(descriptors))}\n"
        "if names is not None: os.environ['LISTEN_FDNAMES'] = names\n"
        f"os.execv(sys.executable, [sys.executable, '-c', {SCRIPT!r}])\n"
    )
    done = subprocess.run([sys.executable, "-c", starter], pass_fds=descriptors, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("names", ["agentd", "agentd.socket", "unknown", None])
def test_socket_is_taken_by_its_name(names: str | None, home: Path, listening: socket.socket) -> None:
    """The unit's name for it, systemd's default, or the only one there is; no child sees the variables or the descriptor."""
    assert start(listening.fileno(), names=names) == f"{home}/s False None [] True"


def test_order_is_nothing_to_rely_on(home: Path, listening: socket.socket) -> None:
    """Several descriptors come in any order; what a daemon before us owned is owned."""
    with open(home / "lock", "w") as lock:
        assert start(lock.fileno(), listening.fileno(), names="other:agentd") == f"{home}/s False None [] True"
        assert start(lock.fileno(), listening.fileno(), names="agentd-lock:agentd-own") == f"{home}/s True 3 [] True"


@pytest.mark.parametrize(("pid", "count"), [("1", ""), ("", "0"), ("", "many"), ("none", "1")])
def test_what_is_meant_for_others_is_left_alone(pid: str, count: str, listening: socket.socket) -> None:
    """Another process's, or nothing at all; the variables go all the same."""
    assert start(listening.fileno(), pid=pid, count=count) == "None False None [] False"


def test_what_cannot_be_ours_is_refused(home: Path, listening: socket.socket) -> None:
    """A socket that does not listen, one of the network, a file, nothing, another name: each is said."""
    with socket.socket(socket.AF_UNIX) as quiet, socket.socket() as network, open(home / "file", "w") as file:
        network.listen()
        for other in (quiet, network):
            assert "no listening Unix stream socket" in start(other.fileno())
        assert "no socket" in start(file.fileno())
        assert "descriptor 4, which is not open" in start(listening.fileno(), count="2")
        assert "none of the sockets" in start(listening.fileno(), names="web")


def test_descriptors_are_put_where_the_next_program_looks(home: Path, listening: socket.socket) -> None:
    """Whatever numbers they have, crosswise too; the variables name this process, which stays the same."""
    source = (
        "import os, socket, sys; from agentd import systemd\n"
        "a = os.open(sys.argv[1], os.O_RDONLY); sock = socket.socket(fileno=int(sys.argv[2]))\n"
        "os.dup2(a, 3) if a != 3 else None; os.dup2(sock.fileno(), 4)\n"
        "env = systemd.pass_on({'agentd-own': 4, 'agentd-lock': 3}, {'KEY': 'value'})\n"
        f"os.execve(sys.executable, [sys.executable, '-c', 'import os; print(os.environ[\"KEY\"])' + {SCRIPT!r}], env)\n"
    )
    (home / "lock").touch()
    done = subprocess.run(
        [sys.executable, "-c", source, str(home / "lock"), str(listening.fileno())],
        pass_fds=[listening.fileno()],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["value", f"{home}/s True 4 [] True"]


# --- what the manager hears -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("abstract", [False, True])
def test_manager_is_told(abstract: bool, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a path or in the abstract namespace; several assignments are one message."""
    name = f"{home}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}" if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}" if abstract else name)
        systemd.notify("RELOADING=1", "MONOTONIC_USEC=5")
        assert manager.recv(100) == b"RELOADING=1\nMONOTONIC_USEC=5"


def test_nobody_to_notify_is_no_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not under systemd, or its socket is gone, or full."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(home / "gone"))
    systemd.notify("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(home / "full"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(home / "full"))
        for _ in range(1000):
            systemd.notify("WATCHDOG=1")


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        ("60000000", None, 60.0),
        ("500000", "mine", 0.5),
        ("60000000", "1", None),
        ("0", None, None),
        ("often", None, None),
        ("", "", None),
    ],
)
def test_patience_of_the_manager(usec: str, pid: str | None, seconds: float | None) -> None:
    """Only if this process is the one that is watched."""
    environ = {"WATCHDOG_USEC": usec} | ({} if pid is None else {"WATCHDOG_PID": str(os.getpid()) if pid == "mine" else pid})
    assert systemd.watchdog(environ) == seconds


def test_bond_with_the_manager_outlives_an_environment() -> None:
    """What a restart keeps, whatever environment the client gives."""
    assert systemd.kept({"NOTIFY_SOCKET": "/n", "PATH": "/bin", "WATCHDOG_USEC": "1"}) == {
        "NOTIFY_SOCKET": "/n",
        "WATCHDOG_USEC": "1",
    }


def test_no_descriptors_no_error() -> None:
    """The usual case."""
    assert systemd.take({}) == systemd.Inherited()
    with pytest.raises(ConfigError):
        systemd.take({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1000000", "LISTEN_FDNAMES": "agentd"})
