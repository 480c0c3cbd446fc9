"""What holds for every test: nobody's settings, keys or daemon are seen or touched, and random examples repeat."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from agentwire.environment import ACCEPTED, ENVIRONMENT, OWN
from agentwire.paths import locate
from agentwire.weights import EMBEDDED

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


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder for AGENTD_HOME with a path short enough for a socket (108 bytes); gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="agentd-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def weights() -> Path:
    """The user's folder with the embedded model's weights. Their absence is a failure: a test that is left out rots."""
    if not (_users_models / EMBEDDED.file).exists():
        pytest.fail(f"no weights in {_users_models}: run `agentctl model pull` (`make test` does it)")
    return _users_models
