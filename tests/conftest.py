"""What holds for every test: nobody's settings, keys or daemon are seen or touched, and random examples repeat."""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings

from agentwire.environment import ACCEPTED, ENVIRONMENT, OWN
from agentwire.paths import locate
from agentwire.weights import EMBEDDED

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # run in the background of a script: programs under test must hear Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run: a failure seen once is seen again. Timing is no business of a property test.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")

PERSONAL = {*ENVIRONMENT, *ACCEPTED, *OWN} - {"TERM"}
"""What would make a test depend on who runs it; XDG_* too. The suites' own variables (AGENTD_CRASH_ROUNDS) are not among them."""

_users_models = Path(locate(os.environ, os.getuid()).models)


@pytest.fixture(autouse=True)
def _nobodys_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No personal setting reaches the code under test, and what it writes to HOME goes to a folder of its own."""
    for name in list(os.environ):
        if name in PERSONAL or name.startswith("XDG_"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)  # every start of a child would compile everything again
    monkeypatch.setenv("HOME", str(tmp_path_factory.getbasetemp()))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.getbasetemp()))  # never the socket of somebody's shell


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder for AGENTD_HOME with a path short enough for a socket (108 bytes); gone afterwards, with its daemon."""
    folder = Path(tempfile.mkdtemp(prefix="agentd-"))
    yield folder
    _end_daemon(folder / "data")
    shutil.rmtree(folder, ignore_errors=True)


def _end_daemon(data: Path) -> None:
    """A client that finds no daemon starts one; it must not outlive the test."""
    try:
        with (data / "agentd.lock").open("rb+") as lock, suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return  # nobody holds it
        process = os.pidfd_open(int((data / "agentd.lock").read_text()))
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, signal.SIGTERM)
        if not select.select([process], [], [], 20)[0]:
            signal.pidfd_send_signal(process, signal.SIGKILL)
    os.close(process)


@pytest.fixture(scope="session")
def weights() -> Path:
    """The user's folder with the embedded model's weights. Their absence is a failure: a test that is left out rots."""
    if not (_users_models / EMBEDDED.file).exists():
        pytest.fail(f"no weights in {_users_models}: run `agentctl model pull` (`make test` does it)")
    return _users_models
