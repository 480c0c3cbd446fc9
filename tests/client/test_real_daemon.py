"""The commands against the real daemon with a scripted model: start, a turn, kill -9 in its middle, stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.client.cli import agentctl, end, start

pytestmark = pytest.mark.slow
RULES = [
    {"match": "count", "reply": {"steps": [{"verb": "tokens", "count": 40, "delay": 0.05}]}},
    {"match": "", "reply": {"steps": [{"verb": "say", "text": "hello"}]}},
]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A model server on loopback, and the environment that makes the daemon use it."""
    script = tmp_path / "rules.json"
    script.write_text(json.dumps(RULES))
    command = [sys.executable, "-m", "tests.fakes.model_server", "--script", str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        monkeypatch.setenv("AGENTD_MODEL", "openai/scripted-1")
        yield
        server.kill()


@pytest.fixture
def house(home: Path) -> Iterator[Path]:
    """AGENTD_HOME; whatever runs there is stopped afterwards."""
    yield home
    agentctl(home, "daemon", "stop")


def runs(pid: int) -> bool:
    """Whether the process lives; one that only waits for init to take note of its end does not."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    return False


@pytest.mark.usefixtures("model")
def test_life_of_a_daemon(house: Path) -> None:
    """A missing daemon is started by a run; a second start changes nothing; a restart is another boot; stop means gone."""
    assert agentctl(house, "run", "hi") == (0, "hello\n", "")
    first = agentctl(house, "status", "--json").document
    assert agentctl(house, "daemon", "start").code == 0
    assert agentctl(house, "status", "--json").document["boot"] == first["boot"]
    assert agentctl(house, "daemon", "restart").code == 0
    second = agentctl(house, "status", "--json").document
    assert (second["boot"] != first["boot"]) and second["pid"] == first["pid"]
    assert agentctl(house, "run", "-c", "hi").out == "hello\n"
    assert agentctl(house, "daemon", "stop").code == 0
    assert not runs(second["pid"])
    assert agentctl(house, "daemon", "status").code == 3
    assert agentctl(house, "daemon", "stop").err == "no daemon was running\n"


def test_a_relative_home(house: Path) -> None:
    """It is seen from the directory of the command, not from that of the daemon it starts."""
    pid = agentctl(house, "status", "--json", AGENTD_HOME=f"../{house.name}").document["pid"]
    assert agentctl(house, "status", "--json").document["pid"] == pid


@pytest.mark.usefixtures("model")
def test_kill_in_the_middle(house: Path) -> None:
    """kill -9 of the daemon: it is started again by the client that follows the turn, and the output is as if nothing had been."""
    pid = agentctl(house, "status", "--json").document["pid"]
    process = start(house, "run", "count")
    assert process.stdout is not None
    seen = process.stdout.read(30)
    os.kill(pid, signal.SIGKILL)
    answer = end(process)
    assert answer.code == 0
    assert (seen.decode() + answer.out).split() == [f"w{number}" for number in range(40)]
    assert "lost and found" in answer.err


@pytest.mark.usefixtures("model")
def test_ctrl_c(house: Path) -> None:
    """The turn is cancelled in the log, and the session is usable."""
    agentctl(house, "status")
    process = start(house, "run", "count")
    assert process.stdout is not None
    process.stdout.read(10)
    process.send_signal(signal.SIGINT)
    assert end(process).code == 130
    (session,) = agentctl(house, "session", "list", "--json").document
    assert session["status"] == "idle"
    last = agentctl(house, "session", "show", session["id"], "--json").document[-1]
    assert (last["kind"], last["data"]["outcome"]) == ("turn_finished", "cancelled")
    assert agentctl(house, "run", "-c", "hi").out == "hello\n"


def test_a_restart_with_a_wrong_configuration_stops_nothing(house: Path) -> None:
    """What is wrong is said first, and the daemon that runs goes on; a mere warning is said and hinders nothing."""
    boot = agentctl(house, "status", "--json").document["boot"]
    (house / "config").mkdir(exist_ok=True)
    (house / "config/config.toml").write_text("model = 3\n")
    answer = agentctl(house, "daemon", "restart")
    assert (answer.code, answer.out) == (78, "")
    assert f"{house}/config/config.toml:1: model" in answer.err
    assert agentctl(house, "status", "--json").document["boot"] == boot
    (house / "config/config.toml").write_text("modle = 'a/b'\n")
    assert "unknown key modle" in agentctl(house, "daemon", "restart").err
    assert agentctl(house, "status", "--json").document["boot"] != boot


def test_wrong_configuration(house: Path) -> None:
    """Exit 78 with file, line and key, from whatever command needed the daemon."""
    (house / "config").mkdir()
    (house / "config/config.toml").write_text('[turn]\nmax_steps = "many"\n')
    answer = agentctl(house, "status")
    assert answer.code == 78
    assert f"{house}/config/config.toml:2: turn.max_steps" in answer.err


@pytest.mark.usefixtures("model")
def test_sessions_as_things(house: Path) -> None:
    """Forked after its first turn, configured, exported and brought back, found by filters, cleaned up but for the pinned one."""
    for prompt in ("one", "two"):
        assert agentctl(house, "run", *(["-c"] if prompt == "two" else []), prompt).code == 0
    (info,) = agentctl(house, "session", "list", "--json").document
    fork = agentctl(house, "session", "fork", info["id"][:8], "--turn", "1").out.strip()
    assert agentctl(house, "session", "set", fork, "var.TICKET=4711", "max_steps=3", "pinned=true").code == 0
    text = agentctl(house, "session", "export", fork).out
    copy = agentctl(house, "session", "import", "--title", "the copy", stdin=text.encode()).out.strip()
    for session, heading in ((fork, f"── earlier, in session {info['id'][:8]} ──"), (copy, "── earlier ──")):
        shown = [line for line in agentctl(house, "session", "show", session).out.splitlines() if not line.startswith("settings")]
        assert [line for line in shown if line] == [heading, "> one", "hello"]
        assert agentctl(house, "session", "get", session, "var.TICKET").out == "4711\n"
    again, first = json.loads(agentctl(house, "session", "export", copy).out), json.loads(text)
    assert [again[name] for name in ("settings", "messages", "blobs")] == [
        first[name] for name in ("settings", "messages", "blobs")
    ]
    assert agentctl(house, "run", "-s", copy, "three").out == "hello\n"
    assert [found["id"] for found in agentctl(house, "session", "list", "--text", "THE COPY", "--json").document] == [copy]
    assert agentctl(house, "session", "unpin", copy).code == 0
    assert agentctl(house, "session", "clean", "--age", "1d").err == "no session was erased\n"
    assert [found["id"] for found in agentctl(house, "session", "list", "--pinned", "--json").document] == [fork]


@pytest.mark.usefixtures("model")
def test_show_while_a_reply_streams(house: Path) -> None:
    """What was said so far is shown, and showing ends nothing."""
    process = start(house, "run", "count")
    assert process.stdout is not None
    process.stdout.read(1)
    (info,) = agentctl(house, "session", "list", "--json").document
    shown = agentctl(house, "session", "show", info["id"]).out
    answer = end(process)
    said = shown.split("\n\n", 1)[1].split()
    assert (info["status"], answer.code) == ("running", 0)
    assert 0 < len(said) < 40 and said == [f"w{number}" for number in range(len(said))]
