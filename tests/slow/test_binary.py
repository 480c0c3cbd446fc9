"""The single binary, really built and really run: lazy imports, children and the daemon must all be inside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parent.parent.parent

RULES = [
    {
        "match": "colour",
        "after_tools": 0,
        "reply": {"steps": [{"verb": "call", "name": "hue", "arguments": {"red": 1.0, "green": 0.0, "blue": 0.0}}]},
    },
    {"match": "colour", "reply": {"steps": [{"verb": "say", "text": "It is red."}]}},
    {"reply": {"steps": [{"verb": "say", "text": "Hello from the script."}]}},
]

TOOL = """
import colorsys  # nothing of agentd needs it: the binary must carry the whole standard library

from agentd.tool import tool

@tool(effect="read", policy="allow")
def hue(red: float, green: float, blue: float) -> str:
    "The hue of a colour."
    return str(colorsys.rgb_to_hsv(red, green, blue)[0])
"""


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built from the work tree into a folder of its own."""
    out = tmp_path_factory.mktemp("binary")
    folders = ["--distpath", str(out / "dist"), "--workpath", str(out / "build")]
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN", *folders, "pyinstaller.spec"]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return out / "dist/agentctl/agentctl"


@pytest.fixture
def model_server(tmp_path: Path) -> Iterator[str]:
    """A scripted model server's base URL."""
    script = tmp_path / "rules.json"
    script.write_text(json.dumps(RULES))
    command = [sys.executable, "-m", "tests.fakes.model_server", "--script", str(script)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        finally:
            server.terminate()


class Installed:
    """The binary on a machine of its own: no Python on the PATH, nothing of ours in the environment."""

    def __init__(self, binary: Path, home: Path, **environ: str) -> None:
        self.binary = binary
        self.environ = {"PATH": "/nowhere", "HOME": str(home), "AGENTD_HOME": str(home), "LANG": "C.UTF-8", **environ}

    def __call__(self, *arguments: str, stdin: str = "", code: int = 0) -> str:
        """What the command says on stdout."""
        command = [str(self.binary), *arguments]
        done = subprocess.run(command, input=stdin, env=self.environ, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def processes(self) -> list[int]:
        """The pids that run from the binary's folder."""
        return [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if self._runs(pid)]

    def _runs(self, pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/exe").readlink().is_relative_to(self.binary.parent)
        except OSError:  # it is gone, or not ours to look at
            return False


@contextmanager
def installed(binary: Path, home: Path, **environ: str) -> Iterator[Installed]:
    """The binary; its daemon is stopped afterwards and must leave no process behind."""
    program = Installed(binary, home, **environ)
    try:
        yield program
    finally:
        program("daemon", "stop")
    assert program.processes() == []


@pytest.fixture
def agentctl(binary: Path, home: Path, model_server: str) -> Iterator[Installed]:
    """The binary with the scripted model."""
    model = {"OPENAI_API_KEY": "made-up", "OPENAI_BASE_URL": model_server, "AGENTD_MODEL": "openai/scripted-1"}
    with installed(binary, home, **model) as program:
        yield program


def test_starts_the_daemon_from_itself(agentctl: Installed) -> None:
    """`run` answers on a machine without Python: the daemon that it starts is the same binary, and the model library is in it."""
    assert agentctl("run", "hello") == "Hello from the script.\n"
    pid = json.loads(agentctl("status", "--json"))["pid"]
    assert agentctl.processes() == [pid]


def test_tools_may_use_the_standard_library(agentctl: Installed, home: Path) -> None:
    """A function of the tools folder runs in a child of the binary and imports what agentd itself does not."""
    tools = home / "config/tools"
    tools.mkdir(parents=True)
    (tools / "colours.py").write_text(TOOL)
    events = agentctl("run", "--output-format", "stream-json", "which colour?")
    assert "It is red." in events
    outcomes = [
        event["outcome"]
        for event in walk(json.loads(line) for line in events.splitlines())
        if "outcome" in event and "call" in event
    ]
    assert outcomes == ["ok"]


@pytest.mark.model
def test_embedded_model_answers(binary: Path, home: Path, weights: Path) -> None:
    """The llama.cpp child is in the binary too: without a key the embedded model answers."""
    (home / "data").mkdir()
    (home / "data/models").symlink_to(weights)
    with installed(binary, home) as agentctl:
        assert agentctl("run", "Say hello.").strip()


def test_start_time(binary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Reported, not judged: what the binary's start costs beside a bare Python's."""
    floor, start = best([sys.executable, "-c", "pass"]), best([str(binary), "--version"])
    with capsys.disabled():
        print(f"\nbinary: --version {start * 1000:.0f} ms, {start / floor:.1f}x `python -c pass` ({floor * 1000:.0f} ms)")


def best(command: Sequence[str]) -> float:
    """Seconds of the fastest of ten runs."""

    def once() -> float:
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - begun

    return min(once() for _ in range(10))


def walk(values: Iterator[object]) -> Iterator[dict[str, object]]:
    """Every JSON object in `values`, however deep."""
    for value in values:
        if isinstance(value, dict):
            yield value
            yield from walk(iter(value.values()))
        elif isinstance(value, list):
            yield from walk(iter(value))
