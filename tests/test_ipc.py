"""The Unix socket in process: who may use it, and what a connection still says when it ends."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from attrs import define

from agentd import ipc
from agentd.ipc import Listener, check_directory
from agentd.rpc import Outlet
from agentwire.errors import ConfigError

FRAME = b"x" * 65535 + b"\n"


@define
class Echo:
    """agentd.rpc.Session as the transport sees it: answers a frame with `answers` frames, and says goodbye."""

    outlet: Outlet
    answers: int
    closing: bool = False

    async def handle(self, frame: object) -> None:
        for _ in range(self.answers):
            self.outlet.send(FRAME)

    def close(self) -> None:
        self.outlet.send(b"goodbye\n")


@asynccontextmanager
async def serving(home: Path, answers: int) -> AsyncIterator[tuple[Listener, trio.Nursery, trio.SocketStream]]:
    """A listener, the nursery of its connections, and a client that has asked for more than its socket holds."""

    def open_session(caller: object, outlet: Outlet, nursery: trio.Nursery) -> Any:
        return Echo(outlet, answers)

    path = str(home / "run" / "agentd.sock")
    listener = Listener(path, open_session)
    listener.bind()

    async def serve(*, task_status: trio.TaskStatus[trio.Nursery]) -> None:
        async with trio.open_nursery() as connections:
            task_status.started(connections)
            await listener.serve(connections)

    async with trio.open_nursery() as outside:
        connections = await outside.start(serve)
        async with await trio.open_unix_socket(path) as client:
            await client.send_all(b"{}\n")
            await trio.testing.wait_all_tasks_blocked(0.01)
            yield listener, connections, client
        connections.cancel_scope.cancel()
    listener.close()
    assert listener.clients == 0


async def read_all(client: trio.SocketStream) -> bytes:
    with trio.fail_after(10):
        return b"".join([data async for data in client])


async def test_client_hears_the_rest_when_the_daemon_stops(home: Path) -> None:
    """What waits for a slow reader is written while its connection is being cancelled, the last word included."""
    async with serving(home, 30) as (_, connections, client):
        connections.cancel_scope.cancel()
        assert await read_all(client) == FRAME * 30 + b"goodbye\n"


async def test_client_hears_the_rest_when_it_has_said_all(home: Path) -> None:
    """`printf ... | nc -U`: the end of the requests is not the end of the answers."""
    async with serving(home, 30) as (_, _connections, client):
        await client.send_eof()
        assert await read_all(client) == FRAME * 30 + b"goodbye\n"


async def test_reader_that_does_not_read_cannot_keep_the_daemon(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets its second, no more."""
    monkeypatch.setattr(ipc, "_DRAIN", 0.01)
    with trio.fail_after(10):
        async with serving(home, 30) as (listener, connections, _client):
            connections.cancel_scope.cancel()
            while listener.clients:  # noqa: ASYNC110 - the connection's end sets no event of ours
                await trio.sleep(0.001)


async def test_bug_costs_its_connection_and_nobody_else(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is raised while a peer is served or let go: the peer is hung up on, the daemon accepts the next."""

    async def explode(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Echo, "handle", explode)
    monkeypatch.setattr(Echo, "close", lambda self: 1 / 0)
    async with serving(home, 1) as (listener, _connections, client):
        assert await read_all(client) == b"" and listener.clients == 0
        async with await trio.open_unix_socket(str(home / "run" / "agentd.sock")) as other:
            await other.send_all(b"{}\n")
            assert await read_all(other) == b""


async def test_client_that_comes_in_the_moment_of_closing_disturbs_nothing(home: Path) -> None:
    """The daemon stops in good order whatever task runs first."""
    path = str(home / "agentd.sock")
    for _ in range(30):
        listener = Listener(path, lambda caller, outlet, nursery: Echo(outlet, 0))  # type: ignore[arg-type, return-value]
        listener.bind()
        async with trio.open_nursery() as connections, trio.open_nursery() as intake:
            intake.start_soon(listener.serve, connections)
            await trio.testing.wait_all_tasks_blocked()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                await trio.lowlevel.checkpoint()  # now `serve` may be on its way to accept
                listener.close()
                intake.cancel_scope.cancel()
                connections.cancel_scope.cancel()


async def test_socket_is_ours_alone_and_leaves_no_name(home: Path) -> None:
    """0600 in a directory 0700; a name left by a killed daemon is replaced; closing removes it, once."""
    path = home / "run" / "agentd.sock"
    for _ in range(2):
        listener = Listener(str(path), lambda *_: None)  # type: ignore[arg-type]
        listener.bind()
        assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
        stale = socket.socket(socket.AF_UNIX)
        stale.connect(str(path))
        stale.close()
        assert listener._socket is not None
        listener._socket.close()  # the kill
    listener = Listener(str(path), lambda *_: None)  # type: ignore[arg-type]
    listener.bind()
    listener.close()
    assert not path.exists()
    path.touch()  # another daemon's
    listener.close()
    assert path.exists()


def test_directory_in_which_others_can_write_is_refused(home: Path) -> None:
    """They could put a socket in place of ours; the sticky bit (as /tmp has it) keeps them from that."""
    for mode, refused in ((0o700, False), (0o755, False), (0o770, True), (0o777, True), (0o1777, False)):
        home.chmod(mode)
        if refused:
            with pytest.raises(ConfigError, match=f"mode {mode:o}"):
                check_directory(str(home))
        else:
            check_directory(str(home))


def test_link_is_no_directory_of_ours(home: Path) -> None:
    """Whoever made it decides where it leads."""
    os.symlink("/tmp", home / "link")
    with pytest.raises(ConfigError):
        check_directory(str(home / "link"))


def test_place_that_cannot_be_used_says_what_to_set(home: Path) -> None:
    """A file where the directory should be."""
    (home / "file").touch()
    with pytest.raises(ConfigError, match="Set AGENTD_SOCKET"):
        Listener(str(home / "file" / "agentd.sock"), lambda *_: None).bind()  # type: ignore[arg-type]


def made(home: Path) -> Listener:
    return Listener(str(home / "run" / "agentd.sock"), lambda *_: None)  # type: ignore[arg-type]


def test_name_that_became_anothers_is_left_alone(home: Path) -> None:
    """systemd was given the socket while we ran: its name there is not ours to remove."""
    listener = made(home)
    listener.bind()
    os.unlink(listener.path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(listener.path)
        listener.close()
        assert os.path.exists(listener.path)


@pytest.mark.parametrize("owned", [False, True])
def test_socket_that_came_with_the_process(owned: bool, home: Path) -> None:
    """It is used as it is, under its own name; only one that the run before us made is removed in the end."""
    with socket.socket(socket.AF_UNIX) as passed:
        passed.bind(str(home / "passed"))
        passed.listen()
        listener = made(home)
        listener.adopt(passed, owned=owned)
        assert listener.path == str(home / "passed") and not (home / "run").exists()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(listener.path)
        listener.close()
    assert (home / "passed").exists() is not owned


def test_socket_that_is_left_open_waits(home: Path) -> None:
    """Who connects is not refused, and is served by whoever accepts next; closing then touches nothing."""
    listener = made(home)
    listener.bind()
    listening = listener.leave()
    assert listening is not None
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(listener.path)
        client.sendall(b"hello")
        listener.close()
        listening.setblocking(True)
        accepted, _ = listening.accept()
        assert accepted.recv(5) == b"hello"
        accepted.close()
    listening.close()


def test_those_who_come_in_vain_hear_why(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each gets the error as the answer to its first request; one that says nothing, or left, keeps nobody waiting."""
    monkeypatch.setattr(ipc, "_TURNING_AWAY", 0.05)
    monkeypatch.setattr(ipc, "_HEARING", 0.001)
    with socket.socket(socket.AF_UNIX) as listening, ExitStack() as stack:
        listening.bind(str(home / "s"))
        listening.listen()
        gone, silent, asking = (stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(3))
        for client in (gone, silent, asking):
            client.connect(str(home / "s"))
        gone.close()
        asking.sendall(b'{"id":1}\n')
        ipc.turn_away(listening, ConfigError("config.toml:1: wrong"))
        for client in (silent, asking):
            client.settimeout(30)
            answer = json.loads(client.recv(65536))
            assert answer["id"] is None and answer["error"]["message"] == "config.toml:1: wrong"
            assert answer["error"]["data"]["code"] == "config_error"
