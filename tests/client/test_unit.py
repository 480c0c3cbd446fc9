"""The systemd units: the daemon, which agentctl starts where it is installed, and its socket."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest

from agentd.heartbeat import BEAT, STUCK_TICKS
from agentd.systemd import ACTIVATED
from agentwire.paths import locate

FOLDER = Path(__file__).parents[2] / "systemd"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
def test_systemd_finds_nothing_to_say(tmp_path: Path) -> None:
    """`systemd-analyze verify` exits 0 on a misspelt key, but prints it: it must print nothing."""
    paths = [tmp_path / "agentd.service", tmp_path / "agentd.socket"]
    for path in paths:
        path.write_text((FOLDER / path.name).read_text().replace("%h/.local/bin/agentd", sys.executable))
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    verified = subprocess.run(
        ["systemd-analyze", "--user", "verify", *map(str, paths)], env=environ, capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


def read(name: str) -> RawConfigParser:
    unit = RawConfigParser()
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string((FOLDER / name).read_text())
    return unit


def test_what_the_daemon_relies_on() -> None:
    """Ready means ready, tools die with the daemon, a wrong configuration is not tried again, sudo is no way out; a reload is a
    SIGHUP, and the loop beats more often than the watchdog looks."""
    service = read("agentd.service")["Service"]
    expected = {"Type": "notify", "KillMode": "mixed", "Restart": "on-failure", "RestartPreventExitStatus": "78"}
    assert {key: service[key] for key in expected} == expected
    assert service["NoNewPrivileges"] == "yes" and service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert float(service["WatchdogSec"]) > (STUCK_TICKS + 1) * BEAT  # the stack is in the log before the end comes


def test_socket_is_where_clients_look() -> None:
    """By its name for the daemon, in a directory and with a mode that they trust."""
    socket = read("agentd.socket")["Socket"]
    runtime = locate({"XDG_RUNTIME_DIR": "/run/user/1000", "HOME": "/home/u"}, 1000)
    assert socket["ListenStream"].replace("%t", "/run/user/1000") == runtime.socket
    assert (socket["SocketMode"], socket["DirectoryMode"], socket["FileDescriptorName"]) == ("0600", "0700", ACTIVATED[0])
