"""The whole of these suites again as somebody who is not root, where we are: users mostly are not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NOBODY = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "env"]  # setpriv itself still finds what root may
SUITES = ["escapes", "developers", "endings", "functions", "bubblewrap"]


def interpreter() -> tuple[str, dict[str, str]]:
    """A Python that others may use, with what it needs to find our libraries: ours, or the system's of the same version."""
    for python, variables in (
        (sys.executable, {}),
        (f"/usr/bin/python3.{sys.version_info.minor}", {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}),
    ):
        environment = {"PATH": os.environ["PATH"], "HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8", **variables}
        try:
            subprocess.run(
                [*NOBODY, python, "-c", "import trio, pytest, agentd, tests.fakes"], cwd=ROOT, env=environment, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        return python, environment
    pytest.skip("no other user may use this Python")


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="the suites have run as a user already")
@pytest.mark.parametrize("suite", SUITES)
def test_as_a_user(suite: str) -> None:
    """Every attempt fails, and every job succeeds, for a user, too."""
    python, environment = interpreter()
    if suite == "functions" and "PYTHONPATH" in environment:
        pytest.skip("the children of this Python would not find our libraries")
    options = ["-q", "-n", "0", "-p", "no:cacheprovider", "-m", "not slow", "--basetemp", f"/tmp/agentd-{os.getpid()}-{suite}"]
    command = [*NOBODY, python, "-m", "pytest", *options, f"tests/toolsources/sandbox/test_{suite}.py"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
