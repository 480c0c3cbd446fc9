"""The blocking client against a real socket: frames in any pieces, every kind of refusal, nobody else's daemon."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from agentctl.client import PROTOCOL, Client
from agentwire import __version__, codec, errors, messages
from agentwire.environment import ENVIRONMENT, differing
from agentwire.paths import locate
from tests.fakes.daemon_server import SESSION, Die, FakeDaemon, Finish, Raw, Say


def prompt(client: Client) -> None:
    client.call("session/watch", {"session": SESSION})
    client.call("session/prompt", {"session": SESSION, "parts": [{"kind": "text", "text": "hi"}]})


def test_the_protocol_is_the_daemons() -> None:
    """The number known here without the heavy modules is the one that the daemon checks."""
    assert PROTOCOL == messages.PROTOCOL_VERSION


def test_handshake(home: Path) -> None:
    """The client says what it speaks and who it is, and keeps the answer."""
    with FakeDaemon(home) as daemon, Client.connect(daemon.paths, start=False) as client:
        assert client.initialized["boot"] == "b1"
    assert daemon.asked("initialize") == [{"protocol": 1, "client": "agentctl", "version": __version__}]


def test_environment_travels_as_hashes(home: Path) -> None:
    """The daemon can see which configuration variable differs, and no value is on the wire."""
    environ = {"OPENAI_API_KEY": "sk-secret", "HOME": "/nowhere", "LOG_LEVEL": "info"}
    with FakeDaemon(home) as daemon:
        Client.connect(daemon.paths, start=False, environ=environ).close()
    (asked,) = daemon.asked("initialize")
    assert set(asked["environment"]) == set(environ) & set(ENVIRONMENT)
    assert differing(asked["environment"], {**environ, "LOG_LEVEL": "debug"}, asked["salt"]) == ("LOG_LEVEL",)
    assert "sk-secret" not in str(asked)


@pytest.mark.parametrize("split", [1, 3, 7])
def test_frames_in_pieces(home: Path, split: int) -> None:
    """However the bytes are cut, answers and events arrive whole and in order; events wait during a call."""
    with (
        FakeDaemon(home, [Say("a"), Say("ö"), Finish()], split=split) as daemon,
        Client.connect(daemon.paths, start=False) as client,
    ):
        prompt(client)
        client.call("session/get", {"session": SESSION})
        events = client.events()
        kinds = [next(events)["kind"] for _ in range(6)]
    assert kinds == ["input_accepted", "turn_started", "delta", "delta", "assistant_message", "turn_finished"]


@pytest.mark.parametrize(
    "error", [errors.NotFound("none"), errors.StorageFull("full"), errors.Overloaded("later", retry_after=2.0)]
)
def test_errors_are_the_daemons(home: Path, error: errors.AgentError) -> None:
    """An error answer is raised as its own class, with its message, and the connection stays usable."""
    with FakeDaemon(home, answers={"daemon/status": error}) as daemon, Client.connect(daemon.paths, start=False) as client:
        with pytest.raises(type(error), match=error.message) as caught:
            client.call("daemon/status", {})
        assert caught.value.retry_after == error.retry_after
        assert client.call("session/list", {})["cursor"] == ""


def test_nobody_there(home: Path) -> None:
    """Without a socket, and with one that nobody serves, the daemon is unreachable, exit code 3; the sentence names the socket."""
    paths = locate({"AGENTD_HOME": str(home)}, 0)
    with pytest.raises(errors.Unreachable, match="agentctl daemon start") as caught:
        Client.connect(paths, start=False)
    assert caught.value.exit_code == 3
    with FakeDaemon(home):
        pass
    Path(paths.socket).touch()
    with pytest.raises(errors.Unreachable, match=paths.socket):
        Client.connect(paths, start=False)


def test_daemon_goes_away(home: Path) -> None:
    """A connection that ends is an Unreachable, in the middle of the events too."""
    with FakeDaemon(home, [Say("a"), Die()]) as daemon, Client.connect(daemon.paths, start=False) as client:
        prompt(client)
        with pytest.raises(errors.Unreachable, match="closed the connection"):
            list(client.events())


def test_daemon_that_does_not_answer(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that accepts and says nothing is unreachable after the handshake's deadline, and is named."""
    monkeypatch.setattr("agentctl.client.HANDSHAKE_SECONDS", 0.05)
    paths = locate({"AGENTD_HOME": str(home)}, 0)
    Path(paths.runtime).mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(paths.socket)
        listener.listen()
        with pytest.raises(errors.Unreachable, match=rf"pid {os.getpid()}.*restart"):
            Client.connect(paths, start=False)


def test_other_protocol(home: Path) -> None:
    """A daemon of another protocol is named, with both versions and the way out, whoever notices."""
    refusal = errors.VersionMismatch("agentctl speaks protocol 1, this daemon 2", client=1, daemon=2)
    with FakeDaemon(home, answers={"initialize": refusal}) as daemon, pytest.raises(errors.VersionMismatch, match="daemon restart"):
        Client.connect(daemon.paths, start=False)
    with FakeDaemon(home, initialized={"protocol": 2}) as daemon, pytest.raises(errors.VersionMismatch, match=r"protocol 1.*2"):
        Client.connect(daemon.paths, start=False)


def test_garbage_is_a_protocol_error(home: Path) -> None:
    """What is not a frame is said to be the daemon's fault, not a crash."""
    with FakeDaemon(home, [Raw(b"not json\n")]) as daemon, Client.connect(daemon.paths, start=False) as client:
        prompt(client)
        with pytest.raises(errors.ProtocolError, match="not a frame"):
            list(client.events())


def test_a_request_over_the_cap_is_not_sent(home: Path) -> None:
    """What the daemon would have to skip is refused here, as the user's mistake."""
    with FakeDaemon(home) as daemon, Client.connect(daemon.paths, start=False) as client:
        with pytest.raises(errors.InvalidParams, match="put long text in a file"):
            client.call("session/prompt", {"text": "x" * codec.MAX_FRAME})
        assert client.call("session/list", {})


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_directory_that_others_can_write_is_not_trusted(home: Path, mode: int) -> None:
    """The socket is not even connected to, and no daemon is started beside it."""
    with FakeDaemon(home) as daemon:
        Path(daemon.paths.runtime).chmod(mode)
        with pytest.raises(errors.Unreachable, match="chmod 700"):
            Client.connect(daemon.paths)
        Path(daemon.paths.runtime).chmod(0o700)
    assert not daemon.requests


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory to somebody else")
def test_a_directory_of_somebody_else_is_not_trusted(home: Path) -> None:
    """A directory prepared by another user is refused, whatever its mode."""
    with FakeDaemon(home) as daemon:
        os.chown(daemon.paths.runtime, 12345, 12345)
        with pytest.raises(errors.Unreachable, match="belongs to uid 12345"):
            Client.connect(daemon.paths)
