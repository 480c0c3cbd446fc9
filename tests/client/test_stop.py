"""Which daemon is ended or begun anew, and where that cannot be. For real: test_real_daemon.py, tests/flow/test_handover.py."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agentctl.stop import begin_anew, running, stop
from agentwire import errors
from agentwire.paths import Paths, locate
from tests.fakes.daemon_server import FakeDaemon

HOLD = """
import fcntl, os, sys
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
lock.write(f"{os.getpid()}\\n")
lock.flush()
print("held", flush=True)
sys.stdin.read()
"""
"""A process with the daemon's lock, which ends by a signal."""


@pytest.fixture
def paths(home: Path) -> Paths:
    paths = locate({"AGENTD_HOME": str(home)}, os.getuid())
    os.makedirs(paths.data)
    return paths


@contextmanager
def holder(paths: Paths) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, paths.lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_who_holds_the_lock_runs(paths: Paths) -> None:
    """Whatever is written in it by one who has ended counts for nothing; to look changes nothing."""
    assert running(paths) is None
    Path(paths.lock).write_text("1\n")
    assert running(paths) is None
    with holder(paths) as process:
        assert running(paths) == process.pid
    with open(paths.lock) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_holder_of_the_lock_is_stopped_whoever_made_the_socket(paths: Paths) -> None:
    """The socket may be a service manager's, or another daemon's: neither is touched."""
    with FakeDaemon(Path(paths.data).parent, answers={"daemon/stop": {}}) as other, holder(paths) as process:
        assert stop(paths, lambda _: None) == process.pid
        assert process.wait(10) == -signal.SIGTERM and other.asked("daemon/stop") == []


def test_nobody_is_stopped_where_a_unit_waits(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To connect to a socket of systemd's would start what is to be stopped."""
    (tmp_path / "systemd/user").mkdir(parents=True)
    (tmp_path / "systemd/user/agentd.service").touch()
    for name in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    with FakeDaemon(Path(paths.data).parent) as waiting:
        assert stop(paths, lambda _: None) is None and waiting.asked("initialize") == []


# --- anew ------------------------------------------------------------------------------------------------------------------------


def us() -> list[str]:
    """This process as the daemon's program: that is where the scripted daemon runs."""
    return [Path("/proc/self/cmdline").read_text().split("\0")[0]]


Reply = dict[str, Any] | errors.AgentError


def anew(paths: Paths, answer: Reply, monkeypatch: pytest.MonkeyPatch) -> tuple[bool, list[dict[str, str]]]:
    """What comes of it, and the environments that the daemon was told."""
    home = Path(paths.data).parent
    with FakeDaemon(home, answers={"daemon/restart": answer}, initialized={"pid": os.getpid()}) as daemon:
        monkeypatch.setattr("agentctl.stop.STOP_SECONDS", 0.01)
        done = begin_anew(paths)
    return done, [asked["environment"] for asked in daemon.asked("daemon/restart")]


@pytest.mark.parametrize("answer", [errors.Conflict("it would move"), errors.UnknownMethod("an older daemon"), {}])
def test_what_cannot_begin_anew_is_to_be_stopped(answer: Reply, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would move, is of another release, or does not go: the caller stops it and starts another."""
    monkeypatch.setattr("agentctl.stop.command", us)
    assert not anew(paths, answer, monkeypatch)[0]


def test_environment_is_told(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it, but for what is no Unicode."""
    monkeypatch.setattr("agentctl.stop.command", us)
    monkeypatch.setenv("KEY", "välue")
    monkeypatch.setenv("ODD", os.fsdecode(b"\xff"))
    _, (environment,) = anew(paths, errors.Conflict("no"), monkeypatch)
    assert environment["KEY"] == "välue" and "ODD" not in environment


def test_wrong_configuration_is_the_daemons_word(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs on."""
    monkeypatch.setattr("agentctl.stop.command", us)
    with pytest.raises(errors.ConfigError, match="toml:1"):
        anew(paths, errors.ConfigError("config.toml:1"), monkeypatch)


def test_other_program_is_not_restarted(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another installation's daemon would come back as what it was."""
    monkeypatch.setattr("agentctl.stop.command", lambda: ["/elsewhere/python"])
    assert anew(paths, {}, monkeypatch) == (False, [])


def test_without_a_daemon_there_is_nothing_to_do(paths: Paths) -> None:
    """The caller starts one."""
    assert not begin_anew(paths)
