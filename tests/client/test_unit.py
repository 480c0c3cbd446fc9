"""The systemd unit that agentctl starts where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "systemd/agentd.service"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
def test_systemd_finds_nothing_to_say(tmp_path: Path) -> None:
    """`systemd-analyze verify` exits 0 on a misspelt key, but prints it: it must print nothing."""
    unit = tmp_path / "agentd.service"
    unit.write_text(UNIT.read_text().replace("%h/.local/bin/agentd", sys.executable))
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    verified = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(unit)], env=environ, capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


def test_what_the_daemon_relies_on() -> None:
    """Ready means ready, tools die with the daemon, a wrong configuration is not tried again, sudo is no way out."""
    unit = RawConfigParser()
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNIT.read_text())
    expected = {"Type": "notify", "KillMode": "mixed", "Restart": "on-failure", "RestartPreventExitStatus": "78"}
    assert {key: unit["Service"][key] for key in expected} == expected
    assert unit["Service"]["NoNewPrivileges"] == "yes"
