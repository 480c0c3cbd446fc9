"""A model that the daemon lets its host fetch, as whoever waits for it sees it."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.client.cli import agentctl, end, start
from tests.fakes.daemon_server import FakeDaemon

MODEL = "ollama/llama3.2"


def told(state: str = "running", completed: int = 0, total: int = 0, detail: str = "", **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "pull": 7, "state": state, "completed": completed, "total": total, "detail": detail, **more}


PULL = [
    told(detail="pulling manifest"),
    told(completed=100, total=1000, detail="pulling 8eeb"),
    told(completed=120, total=2000, detail="pulling 8eeb"),
    told(completed=1500, total=2000, detail="pulling 8eeb"),
    told(completed=2000, total=2000, detail="verifying \x1b]0;owned\x07"),
    told("done", 2000, 2000, "success"),
]


def test_in_a_pipe(home: Path) -> None:
    """A line for every further tenth, never one that takes something back; it asks for the one pull that it was told of."""
    with FakeDaemon(home, answers={"model/pull": list(PULL)}) as daemon:
        answer = agentctl(home, "model", "pull", MODEL)
        assert [params["pull"] for params in daemon.asked("model/pull")] == [0, 7, 7, 7, 7, 7]
    lines = [f"fetching {MODEL}", "10 %", "70 %", "100 %", f"{MODEL} is ready"]
    assert answer == (0, "", "".join(f"{line}\n" for line in lines))


def test_quietly(home: Path) -> None:
    with FakeDaemon(home, answers={"model/pull": list(PULL)}):
        assert agentctl(home, "model", "pull", MODEL, "-q") == (0, "", "")


def test_at_a_terminal(home: Path) -> None:
    """One line that changes: how much of how much, then what the host does, shown and not obeyed; nothing of it stays."""
    ours, theirs = pty.openpty()
    with FakeDaemon(home, answers={"model/pull": list(PULL)}):
        command = [sys.executable, "-m", "agentctl", "--no-color", "model", "pull", MODEL]
        subprocess.run(command, env={**os.environ, "AGENTD_HOME": str(home), "COLUMNS": "100"}, stderr=theirs, check=True)
        said = os.read(ours, 65536).decode()
    os.close(ours)
    os.close(theirs)
    *lines, last = said.split("\r\x1b[K")
    assert lines[1] == f"{MODEL}: pulling manifest"
    assert lines[2].startswith(f"{MODEL}: 10 %, 100 B of 1.0 kB")
    assert lines[4].startswith(f"{MODEL}: 75 %, 1.5 kB of 2.0 kB, ")
    assert lines[5] == f"{MODEL}: verifying ␛]0;owned␇"
    assert last.strip() == f"{MODEL} is ready"


def test_a_failure(home: Path) -> None:
    """With the daemon's sentence and the code of its error."""
    error = {"code": "bad_request", "message": "localhost finds no model nope", "retryable": False}
    with FakeDaemon(home, answers={"model/pull": [PULL[0], told("failed", error=error)]}):
        answer = agentctl(home, "model", "pull", MODEL)
    assert (answer.code, answer.out) == (1, "")
    assert "error: localhost finds no model nope" in answer.err


def test_a_name_without_provider(home: Path) -> None:
    answer = agentctl(home, "model", "pull", "llama3.2")
    assert (answer.code, answer.out) == (2, "")
    assert "is it ollama/llama3.2?" in answer.err


def test_the_daemon_is_killed(home: Path) -> None:
    """Said with what to do about it: the pull went with the daemon, what was fetched did not."""
    with FakeDaemon(home, answers={"model/pull": PULL[:1]}):
        process = start(home, "model", "pull", MODEL)
        assert process.stderr is not None
        assert process.stderr.readline() == f"fetching {MODEL}\n".encode()
    answer = end(process)
    assert answer.code == 3
    assert f"the daemon ended while {MODEL} was fetched" in answer.err
    assert f"`agentctl model pull {MODEL}` goes on" in answer.err


@pytest.mark.slow
def test_interrupted(home: Path) -> None:
    """Ctrl-C leaves the pull to the daemon, and says so; exit 130."""
    with FakeDaemon(home, answers={"model/pull": PULL[:1]}):
        process = start(home, "model", "pull", MODEL)
        assert process.stderr is not None
        assert process.stderr.readline() == f"fetching {MODEL}\n".encode()
        process.send_signal(signal.SIGINT)
        answer = end(process)
    assert answer.code == 130
    assert answer.err == f"{MODEL} is still being fetched; `agentctl model pull {MODEL}` shows how far it is\n"
