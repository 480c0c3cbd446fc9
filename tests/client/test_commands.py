"""The commands of people and scripts against a scripted daemon."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentctl.main import COMMANDS, choose
from tests.client.cli import agentctl, end, start
from tests.fakes.daemon_server import FakeDaemon

STATUS: dict[str, Any] = {
    "pid": 4711,
    "boot": "b1",
    "version": "0.1.0",
    "protocol": 1,
    "started_at": 0.0,
    "uptime": 7500.0,
    "socket": "/run/agentd.sock",
    "model": "fake/one",
    "sessions": 3,
    "running": 1,
    "clients": 1,
    "rss": 41_300_000,
    "storage": {"path": "/data/agentd.db", "bytes": 1_230_000, "full": True},
    "resumes_suspended": True,
    "providers": [{"name": "openai", "state": "down", "detail": "refused"}],
    "circuits": [
        {"target": "openai#2", "state": "open", "seconds": 42.3, "failures": 1, "code": "rate_limited", "reason": "busy"},
        {"target": "qwen", "state": "half-open", "seconds": 0, "failures": 3, "code": "provider_down", "reason": "cut"},
    ],
    "warnings": ["something is odd"],
}
MODEL = {"id": "fake/one", "context": 4096, "default": True, "available": True, "note": "small"}
VALUES = [
    {"key": "log.level", "value": "info", "source": "built-in"},
    {"key": "turn.max_steps", "value": 7, "source": "environment"},
]
ANSWERS: dict[str, Any] = {
    "daemon/status": STATUS,
    "model/list": {"models": [MODEL]},
    "config/get": {"values": VALUES, "warnings": ["unknown key log.levle; did you mean log.level?"]},
}


# --- argv ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "chosen"),
    [
        ([], ("chat", [])),
        (["-q"], ("chat", ["-q"])),
        (["-c"], ("chat", ["-c"])),
        (["--", "hello"], ("chat", ["--", "hello"])),
        (["-v", "status", "--json"], ("status", ["-v", "--json"])),
        (["--version"], ("version", [])),
        (["help"], ("help", [])),
        (["help", "session"], ("session", ["--help"])),
        (["frobnicate"], ("", ["frobnicate"])),
    ],
)
def test_choice_of_the_command(argv: list[str], chosen: tuple[str, list[str]]) -> None:
    """Global flags may come first; no command is the chat; a name nobody has is no prompt."""
    assert choose(argv) == chosen


def test_unknown_command(tmp_path: Path) -> None:
    """Exit 2 and the nearest name."""
    answer = agentctl(tmp_path, "stauts")
    assert answer.code == 2
    assert "did you mean `agentctl status`" in answer.err


@pytest.mark.parametrize(
    "arguments", [(), *((name,) for name in COMMANDS), ("session", "list"), ("daemon", "logs"), ("model", "pull")]
)
def test_help_everywhere_with_examples(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Every command explains itself on stdout, by example, without a daemon."""
    answer = agentctl(tmp_path, *arguments, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert "examples:" in answer.out
    assert f"agentctl {' '.join(arguments)}".strip() in answer.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("session",),
        ("session", "list", "--limit", "0"),
        ("run", "--max-turns", "x", "hi"),
        ("run", "--max-budget", "0", "hi"),
        ("run", "-c", "-s", "1"),
    ],
)
def test_wrong_arguments(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Exit 2 with the usage."""
    answer = agentctl(tmp_path, *arguments)
    assert answer.code == 2
    assert answer.err.startswith("usage: ")


def test_version_and_paths_need_no_daemon(home: Path) -> None:
    """Both answer without starting anything."""
    assert agentctl(home, "--version").out == agentctl(home, "version").out
    assert agentctl(home, "paths", "--json").document["socket"] == f"{home}/run/agentd.sock"
    assert f"socket\t{home}/run/agentd.sock\n" in agentctl(home, "paths").out
    assert not list(home.iterdir())


# --- reading ---------------------------------------------------------------------------------------------------------------------


def test_status(home: Path) -> None:
    """A few lines for people, the whole document for scripts."""
    with FakeDaemon(home, answers=ANSWERS):
        text, document = agentctl(home, "status").out, agentctl(home, "status", "--json").document
        assert agentctl(home, "daemon", "status", "--json").document == document
    assert document == STATUS
    for said in (
        "pid 4711, up 2 h 5 min",
        "3, 1 running; 1 client",
        "1.2 MB",
        "41.3 MB",
        "openai: down, refused",
        "openai#2: open for 42 s (rate limited: busy)",
        "qwen: half-open (provider down: cut)",
        "disk is full",
        "odd",
    ):
        assert said in text


@pytest.mark.parametrize(("count", "said"), [(0, "nothing new counts\n"), (2, "new values count: a.0, a.1\n")])
def test_reload_of_little(home: Path, count: int, said: str) -> None:
    answer = {"changed": [f"a.{number}" for number in range(count)], "needs_restart": []}
    with FakeDaemon(home, answers={**ANSWERS, "daemon/reload": answer}):
        assert agentctl(home, "daemon", "reload").out == said


def test_reload_of_much(home: Path) -> None:
    """Each key has its line; what waits for a restart is not among them."""
    answer = {"changed": ["a.0", "a.1", "a.2", "a.3"], "needs_restart": ["a.1"]}
    with FakeDaemon(home, answers={**ANSWERS, "daemon/reload": answer}):
        assert agentctl(home, "daemon", "reload").out == "new values count:\n  a.0\n  a.2\n  a.3\n"


def test_what_is_left_alone_is_not_ready(home: Path) -> None:
    """An open circuit is seen at its provider, too: of all of it, or of a key or a model."""
    names = ("openai", "qwen", "deepseek", "ollama", "open")
    providers = [{"name": name, "state": "ready", "detail": ""} for name in names]
    circuit = STATUS["circuits"][0]
    circuits = [{**circuit, "target": "deepseek"}, {**circuit, "target": "ollama/x"}, *STATUS["circuits"]]
    with FakeDaemon(home, answers={"daemon/status": {**STATUS, "providers": providers, "circuits": circuits}}):
        lines = agentctl(home, "status").out.splitlines()
    assert [line.removeprefix("provider  ") for line in lines if line.startswith("provider")] == [
        "openai: ready in part",
        "qwen: ready",
        "deepseek: left alone",
        "ollama: ready in part",
        "open: ready",
    ]


def test_daemon_status_starts_nothing(home: Path) -> None:
    """Exit 3 where no daemon runs."""
    answer = agentctl(home, "daemon", "status")
    assert answer.code == 3
    assert "agentctl daemon start" in answer.err
    assert not list(home.iterdir())


def test_models_and_settings(home: Path) -> None:
    """Tab-separated in a pipe, lists as JSON; warnings of the configuration on stderr."""
    with FakeDaemon(home, answers=ANSWERS):
        assert agentctl(home, "model", "list").out == "fake/one\t4k\t\t?\t\tdefault\tsmall\n"
        assert agentctl(home, "model", "list", "--json").document == [MODEL]
        shown = agentctl(home, "config", "show")
        assert agentctl(home, "config", "show", "--json").document == VALUES
    assert shown.out == "log.level\tinfo\tbuilt-in\nturn.max_steps\t7\tenvironment\n"
    assert "log.levle" in shown.err


# --- terminals -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "colour"), [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_terminal(home: Path, environment: dict[str, str], *, colour: bool) -> None:
    """At a terminal there is a header and colour, unless it is not wanted, and hostile text is shown, not obeyed."""
    evil = {"models": [MODEL | {"note": "\x1b]0;owned\x07"}]}
    ours, theirs = pty.openpty()
    with FakeDaemon(home, answers={"model/list": evil}):
        command = [sys.executable, "-m", "agentctl", "model", "list"]
        subprocess.run(command, env={**os.environ, "AGENTD_HOME": str(home), **environment}, stdout=theirs, check=True)
        said = os.read(ours, 65536).decode()
    os.close(ours)
    os.close(theirs)
    assert "MODEL" in said
    assert "␛]0;owned␇" in said
    assert ("\x1b[1m" in said) is colour


# --- the daemon's log ------------------------------------------------------------------------------------------------------------


def test_logs(home: Path) -> None:
    """The last lines; what is added with -f, also when the file is replaced; exit 130 by Ctrl-C."""
    assert agentctl(home, "daemon", "logs").code == 1
    log = home / "state/log/agentd.log"
    log.parent.mkdir(parents=True)
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    assert agentctl(home, "daemon", "logs", "-n", "2").out == "line 98\nline 99\n"
    process = start(home, "daemon", "logs", "-n", "1", "-f")
    assert process.stdout is not None
    assert process.stdout.readline() == b"line 99\n"
    with log.open("a") as file:
        file.write("added\n")
    assert process.stdout.readline() == b"added\n"
    log.rename(log.with_suffix(".1"))
    log.write_text("new file\n")
    assert process.stdout.readline() == b"new file\n"
    process.send_signal(signal.SIGINT)
    assert end(process) == (130, "", "")


@pytest.mark.parametrize(("lines", "size"), [(0, 10), (3, 10), (3, 200_000), (99, 3)])
def test_tail_of_any_size(tmp_path: Path, lines: int, size: int) -> None:
    """So many lines, however long they are, and the file is left at its end."""
    from agentctl.commands.daemon import _tail

    written = [b"x" * size + b"%d\n" % number for number in range(10)]
    path = tmp_path / "log"
    path.write_bytes(b"".join(written))
    with path.open("rb") as file:
        assert _tail(file, lines) == b"".join(written[-lines:] if lines else [])
        assert file.read() == b""
