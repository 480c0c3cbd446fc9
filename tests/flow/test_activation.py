"""A daemon to which a service manager passes the socket: it starts with its first client, and the socket is never its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest

from agentctl.client import Client
from agentwire.errors import ConfigError, Conflict, Unreachable
from agentwire.paths import Paths, locate
from tests.fakes.real import Daemon, Home, eventually

STARTER = """
import os, sys
source, name = int(sys.argv[1]), sys.argv[2]
os.dup2(source, 3) if source != 3 else os.set_inheritable(3, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": name}
os.execvp(sys.argv[3], sys.argv[3:])
"""
"""Becomes the rest of its command line, as a service manager starts it: the socket at 3, and the variables."""


@pytest.fixture
def home() -> Iterator[Home]:
    with Home() as home:
        yield home


@pytest.fixture
def manager(home: Home) -> Iterator[socket.socket]:
    """What the service manager holds, whoever serves it."""
    os.makedirs(os.path.dirname(home.socket), mode=0o700)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(home.socket)
        os.chmod(home.socket, 0o600)
        listening.listen()
        yield listening


def wrapper(manager: socket.socket) -> Sequence[str]:
    os.set_inheritable(manager.fileno(), True)
    return [sys.executable, "-c", STARTER, str(manager.fileno()), "agentd"]


def start(home: Home, manager: socket.socket) -> Daemon:
    return home.start(wrapper=wrapper(manager), pass_fds=[manager.fileno()])


def launch(home: Home, manager: socket.socket) -> subprocess.Popen[str]:
    """One that is not expected to become ready."""
    command = [*wrapper(manager), *home.command()]
    return subprocess.Popen(command, env=home.environ, pass_fds=[manager.fileno()], stderr=subprocess.PIPE, text=True)


def paths(home: Home) -> Paths:
    return locate(home.environ, os.getuid())


async def test_client_that_came_before_the_daemon_is_served(home: Home, manager: socket.socket) -> None:
    """The manager starts us because of it; the socket outlives us and is nobody's to remove but the manager's."""
    with socket.socket(socket.AF_UNIX) as first:
        first.connect(home.socket)
        first.sendall(b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocol":1}}\n')
        daemon = start(home, manager)
        first.settimeout(30)
        assert f'"pid":{daemon.pid}'.encode() in first.recv(65536)
    async with daemon.connect() as peer:
        assert (await peer.call("daemon/status"))["socket"] == home.socket
    assert await daemon.stop() == 0 and home.listens
    with socket.socket(socket.AF_UNIX) as waiting:
        waiting.connect(home.socket)
        again = start(home, manager)
        assert again.pid != daemon.pid


async def test_it_stays_the_managers_over_a_restart(home: Home, manager: socket.socket) -> None:
    """The daemon executes itself anew and still does not take the socket for its own."""
    daemon = start(home, manager)
    with Client.connect(paths(home), start=False) as client:
        boot = client.initialized["boot"]
        client.call("daemon/restart", {})
        with pytest.raises(Unreachable):  # the connection's end is that of this run
            next(client.events(timeout=30))
    with Client.connect(paths(home), start=False) as client:
        assert client.initialized["boot"] != boot
        assert client.daemon_pid == daemon.pid  # whoever listened last: not the manager
    assert await daemon.stop() == 0 and home.listens


def test_wrong_configuration_is_told_to_those_who_wait(home: Home, manager: socket.socket) -> None:
    """For a second; then exit 78, which tells the manager not to try again. The socket stays."""
    home.write("config/config.toml", "model = 3\n")
    process = launch(home, manager)
    with pytest.raises(ConfigError, match=r"config\.toml:1: model") as caught:
        Client.connect(paths(home), start=False)
    assert caught.value.exit_code == 78
    _, said = process.communicate(timeout=30)
    assert process.returncode == 78 and said.count("\n") == 1 and home.listens


async def test_second_daemon_is_refused_and_says_so_to_those_who_wait(home: Home, manager: socket.socket) -> None:
    """A daemon that runs without the manager holds the data: its pid is named, and it does not notice."""
    os.unlink(home.socket)
    first = home.start()
    os.rename(home.socket, f"{home.socket}.old")  # as if the manager had taken the place over
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(home.socket)
        taken.listen()
        process = launch(home, taken)
        with pytest.raises(Conflict, match=f"pid {first.pid}"):
            Client.connect(paths(home), start=False)
        process.communicate(timeout=30)
        assert process.returncode == 1
        assert await first.stop() == 0
        assert home.listens  # not its name any more


def test_socket_that_is_none_is_refused(home: Home) -> None:
    """A unit with a datagram socket, say: exit 78 and one line."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wrong:
        done = subprocess.run(
            [*wrapper(wrong), *home.command()],
            env=home.environ,
            pass_fds=[wrong.fileno()],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 78 and "no listening Unix stream socket" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="systemd is not installed here")
async def test_systemds_own_starter(home: Home) -> None:
    """`systemd-socket-activate` holds the socket and becomes the daemon when the first client comes."""
    os.makedirs(os.path.dirname(home.socket), mode=0o700)
    daemon = Daemon(home, _activator(home))
    try:
        await eventually(lambda: home.listens, "the socket")
        with Client.connect(paths(home), start=False) as client:
            assert client.call("daemon/status", {})["pid"] == daemon.pid
        assert await daemon.stop() == 0 and home.listens
    finally:
        daemon.kill()


def _activator(home: Home) -> subprocess.Popen[bytes]:
    # It gives its program nothing but PATH and the like.
    passing = [f"--setenv={name}" for name in home.environ]
    command = ["systemd-socket-activate", "-l", home.socket, "--fdname=agentd", *passing, *home.command()]
    return subprocess.Popen(command, env=home.environ, stderr=subprocess.DEVNULL)
