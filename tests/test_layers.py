"""What the layers cost: programs start without the libraries they do not need yet, and every source file is proven by a test file.

Who may import whom is import-linter's business (pyproject.toml); here stands what is really loaded, in a fresh interpreter.
"""

from __future__ import annotations

import linecache
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

STANDARD_ONLY = {
    "anthropic",
    "apsw",
    "attr",
    "cattrs",
    "httpx2",
    "lz4",
    "msgspec",
    "openai",
    "prompt_toolkit",
    "pydantic",
    "structlog",
    "trio",
    "xllamacpp",
}
"""The libraries that a one-shot command must not load: each costs more than the whole command."""

LOADED_ON_FIRST_USE = {"anthropic", "openai", "httpx2", "pydantic", "prompt_toolkit", "rich", "xllamacpp"}
"""What an idle daemon must not load: the model libraries cost 20-70 MB and a second of start. (structlog loads asyncio.)"""


def loaded_by(code: str, *, whole: bool = False) -> set[str]:
    """The top-level modules (`whole`: all) that a fresh interpreter has after `code`, beyond what it starts with."""
    name = "name" if whole else "name.split('.')[0]"
    report = f"import sys; before = set(sys.modules)\n{code}\nprint(*{{{name} for name in set(sys.modules) - before}})"
    # -S keeps out what site's .pth files import; the path is given instead.
    path = repr([str(ROOT), str(ROOT / "shared"), *(entry for entry in sys.path if entry)])
    answer = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {path}\n{report}"], capture_output=True, text=True, check=True
    )
    return set(answer.stdout.split())


@pytest.mark.parametrize("module", ["codec", "environment", "errors", "paths", "weights"])
def test_base_of_agentwire_is_standard_library(module: str) -> None:
    """What one-shot commands import of agentwire loads nothing but itself and the standard library."""
    loaded = loaded_by(f"import agentwire.{module}")
    assert loaded - {"agentwire"} - sys.stdlib_module_names == set()


def test_status_is_light() -> None:
    """`agentctl status` up to the moment it would connect: the standard library, and neither asyncio nor hashing with it."""
    loaded = loaded_by("import agentctl.main, agentctl.client, agentctl.commands.status")
    assert loaded - {"agentctl", "agentwire"} - sys.stdlib_module_names == set()
    assert loaded & {"asyncio", "dataclasses", "hashlib", "inspect", "ssl", "typing"} == set()


SESSION_VERBS = [f"session.{module}" for module in ("listing", "reading", "changing", "settings", "files")]


@pytest.mark.parametrize("command", ["run", "session", *SESSION_VERBS, "daemon", "config", "model", "test_model", "paths"])
def test_other_commands_load_no_library(command: str) -> None:
    """The commands of a script stay on the standard library too."""
    assert loaded_by(f"import agentctl.commands.{command}") & STANDARD_ONLY == set()


def test_daemon_starts_without_what_few_need() -> None:
    """The code of file and web tools, of the shell's grammar and of repairs is loaded when it is needed: 1.5 MB."""
    loaded = loaded_by("import agentd.main, agentd.systemd, agentd.process, agentd.wiring", whole=True)
    assert "agentd.toolsources.shell.tools" in loaded
    for rare in ("toolsources.files.source", "toolsources.web.source", "toolsources.bash_words", "store.repair.repair"):
        assert f"agentd.{rare}" not in loaded


def test_sources_of_generated_methods_are_not_kept() -> None:
    """attrs leaves the text of each class's methods with `linecache`, for debuggers: a megabyte in the daemon."""
    import agentd.daemon  # noqa: F401 - its classes are attrs'

    assert [name for name in linecache.cache if name.startswith("<attrs generated methods agentd.")] == []


def test_daemon_starts_without_models() -> None:
    """Importing all of the daemon loads no model library and no terminal library."""
    assert loaded_by("import agentd.main, agentd.systemd, agentd.process, agentd.wiring") & LOADED_ON_FIRST_USE == set()


# --- every source file has its test file -----------------------------------------------------------------------------------------

PROVEN_ELSEWHERE: dict[str, str] = {}
"""Source files without a test file of their own, and the one that proves them. This list may only shrink."""

MIRRORS = {"shared/agentwire": "tests/wire", "agentd/core": "tests/core", "agentd/store": "tests/store"}


def test_each_source_file_has_its_test_file() -> None:
    """In agentwire, core and store each source file is proven by the test file of its name; no exemption is stale."""
    untested = {
        str(file.relative_to(ROOT))
        for folder, tests in MIRRORS.items()
        for file in (ROOT / folder).rglob("*.py")
        if file.name != "__init__.py" and not (ROOT / tests / file.relative_to(ROOT / folder).parent / f"test_{file.name}").exists()
    }
    assert untested == set(PROVEN_ELSEWHERE)
    assert all((ROOT / tests).exists() for tests in PROVEN_ELSEWHERE.values())
