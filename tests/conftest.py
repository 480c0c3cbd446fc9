"""What holds for every test: nobody's settings, keys or daemon are seen or touched, and random examples repeat."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from agentwire.paths import locate

# The same examples in every run: a failure seen once is seen again. Timing is no business of a property test.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")

PERSONAL = (
    "AGENTD_",
    "OPENAI_",
    "XDG_",
    "LOG_",
    "DEFAULT_MODEL_PROVIDER",
    "DEBUG",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "http_proxy",
    "https_proxy",
)
"""How the variables begin that would make a test depend on who runs it. AGENTD_CRASH_ROUNDS and the like are for the suites."""
KEPT = ("AGENTD_CRASH_ROUNDS", "AGENTD_TEST_")

_users_models = Path(locate(os.environ, os.getuid()).models)


@pytest.fixture(autouse=True)
def _nobodys_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No personal setting reaches the code under test, and what it writes to HOME goes to a folder of its own."""
    for name in list(os.environ):
        if name.startswith(PERSONAL) and not name.startswith(KEPT):
            monkeypatch.delenv(name)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
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
    if not any(_users_models.glob("*.gguf")):
        pytest.fail(f"no weights in {_users_models}: run `agentctl model pull` (`make test` does it)")
    return _users_models
