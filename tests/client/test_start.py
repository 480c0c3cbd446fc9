"""A daemon that is missing is started once, detached, and what keeps it from starting is told."""

from __future__ import annotations

import os
import socket
import sys
import threading
from pathlib import Path
from textwrap import dedent

import pytest

from agentctl.start import answers, ensure_running, unit_installed
from agentwire import errors
from agentwire.paths import Paths, locate

SERVE = """
import os, socket, sys
os.makedirs({runtime!r}, mode=0o700, exist_ok=True)
listener = socket.socket(socket.AF_UNIX)
listener.bind({socket!r})
listener.listen()
print(os.getpid(), os.getppid(), os.getsid(0), os.getcwd(), sorted(os.listdir("/proc/self/fd"), key=int), flush=True)
os.write(int(os.environ["AGENTD_READY_FD"]), b"ready\\n")
os.close(int(os.environ["AGENTD_READY_FD"]))
listener.accept()
"""
"""A daemon that says what it is, and ends with its first visitor."""


@pytest.fixture
def paths(home: Path) -> Paths:
    return locate({"AGENTD_HOME": str(home)}, 0)


def program(paths: Paths, source: str) -> list[str]:
    return [sys.executable, "-c", dedent(source).format(runtime=paths.runtime, socket=paths.socket)]


def visit(paths: Paths) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(paths.socket)


def test_detached(paths: Paths) -> None:
    """It has a session of its own and no terminal, `/` as its directory, none of our descriptors, and what it prints is kept."""
    ours = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(ours, True)  # such as a shell's redirection
    ensure_running(paths, program(paths, SERVE))
    os.close(ours)
    pid, parent, session, where, *descriptors = Path(paths.output).read_text().split(maxsplit=4)
    assert int(parent) != os.getpid()
    assert int(session) not in (os.getsid(0), int(pid))  # the leader of the session has ended: no terminal can be got by accident
    assert where == "/"
    # Standard streams, the pipe, the socket, and the listing itself.
    assert descriptors == ["['0', '1', '2', '3', '4', '5']\n"]
    assert Path(paths.output).stat().st_mode & 0o077 == 0
    visit(paths)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # Python 3.12 warns; the child executes at once
def test_one_starter_wins(paths: Paths) -> None:
    """Many clients at once start one daemon."""
    starters = [
        threading.Thread(target=ensure_running, args=(paths, program(paths, SERVE + "\nlistener.accept()\n" * 8))) for _ in range(5)
    ]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    assert len(Path(paths.output).read_text().splitlines()) == 1
    for _ in range(9):
        try:
            visit(paths)
        except ConnectionRefusedError:
            break


def test_error_of_the_daemon_is_ours(paths: Paths) -> None:
    """A daemon that says why it cannot start is quoted, with its exit code."""
    source = """
        import json, os
        from agentwire.errors import ConfigError
        error = {{"error": ConfigError("config.toml:3: log.level: expected a level").to_wire()}}
        os.write(int(os.environ["AGENTD_READY_FD"]), json.dumps(error).encode() + b"\\n")
    """
    with pytest.raises(errors.ConfigError, match=r"config\.toml:3") as caught:
        ensure_running(paths, program(paths, source))
    assert caught.value.exit_code == 78


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise SystemExit('no such library')", "no such library"),
        ("", "ended before it was ready"),
        ("import os; os.write(3, b'{{')", "see"),
    ],
)
def test_daemon_that_ends_silently(paths: Paths, source: str, said: str) -> None:
    """The last line it printed and the log file are named."""
    with pytest.raises(errors.Unreachable, match=said) as caught:
        ensure_running(paths, program(paths, source))
    assert paths.output in str(caught.value)


def test_program_that_is_missing(paths: Paths) -> None:
    """Nothing to execute is an error too, and this process goes on as one process."""
    with pytest.raises(errors.Unreachable, match="ended before it was ready"):
        ensure_running(paths, ["/nonexistent/agentd"])


def test_daemon_that_hangs(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait has an end."""
    monkeypatch.setattr("agentctl.start.READY_SECONDS", 0.05)
    with pytest.raises(errors.Unreachable, match="not ready after"):
        ensure_running(paths, program(paths, "import os, select; select.select([], [], [], 2)"))


def test_running_daemon_is_left_alone(paths: Paths) -> None:
    """Who comes second finds it running."""
    Path(paths.runtime).mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(paths.socket)
        listener.listen()
        ensure_running(paths, ["/nonexistent/agentd"])
        assert answers(paths)


def test_unit_is_used_where_it_is_the_daemon(tmp_path: Path) -> None:
    """systemd starts the daemon if it runs for this user, knows the unit, and nothing moves the daemon elsewhere."""
    unit = tmp_path / "config/systemd/user/agentd.service"
    unit.parent.mkdir(parents=True)
    (tmp_path / "run/systemd").mkdir(parents=True)
    environ = {"XDG_RUNTIME_DIR": f"{tmp_path}/run", "XDG_CONFIG_HOME": f"{tmp_path}/config"}
    assert not unit_installed(environ)
    unit.touch()
    assert unit_installed(environ)
    assert not unit_installed({**environ, "AGENTD_HOME": "/elsewhere"})
    assert not unit_installed({**environ, "XDG_RUNTIME_DIR": f"{tmp_path}"})


def test_unit_that_fails_to_start(tmp_path: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """What systemctl says is quoted, with where to read on."""
    (tmp_path / "systemd/user").mkdir(parents=True)
    (tmp_path / "systemd/user/agentd.service").touch()
    systemctl = tmp_path / "bin/systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text('#!/bin/sh\necho "Job for $3 failed." >&2\nexit 1\n')
    systemctl.chmod(0o755)
    for name, value in {"XDG_RUNTIME_DIR": tmp_path, "XDG_CONFIG_HOME": tmp_path, "PATH": systemctl.parent}.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(errors.Unreachable, match=r"Job for agentd.service failed.*journalctl --user -u agentd"):
        ensure_running(paths)
