"""`agentctl model list` and `agentctl test-model`: what there is, whether it works, what to do if not."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from agentwire.errors import InvalidParams
from tests.client.cli import agentctl
from tests.fakes.daemon_server import FakeDaemon

# --- model list -------------------------------------------------------------------------------------------------------------------


def model(name: str, **fields: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "context": 0,
        "max_output": 0,
        "price": None,
        "capabilities": [],
        "candidates": [],
        "source": "configured",
    }
    return {**known, "id": name, "known": True, "default": False, "available": True, "health": "", "note": "", **fields}


FAST = model("fast", context=128_000, max_output=16_384, candidates=["openai/gpt-6.1-terra", "qwen/max"], note="failover")
TERRA = model(
    "openai/gpt-6.1-terra",
    context=1_050_000,
    max_output=128_000,
    price={"input": 1.25, "output": 10.0, "cached": 0.1},
    capabilities=["tools", "images", "files", "schema", "reasoning"],
    default=True,
    health="open: rate_limited",
)
OWN = model(
    "local/smollm2-135m",
    context=4096,
    max_output=512,
    price={"input": 0.0, "output": 0.0, "cached": 0.0},
    capabilities=["emulated-tools", "schema"],
    source="discovered",
    available=False,
    note="not fetched: `agentctl model pull`",
)
GUESSED = model("lab/llama", context=128_000, max_output=8192, capabilities=["tools", "emulated-schema"], known=False)
SILENT = model("ollama/", source="discovered", available=False, note="cannot reach 127.0.0.1:11434")
MODELS = [FAST, TERRA, GUESSED, OWN, SILENT]


def on_a_terminal(home: Path, *arguments: str, columns: int = 100) -> list[str]:
    """The lines that a person sees."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    command = [sys.executable, "-m", "agentctl", *arguments, "--no-color"]
    said = b""
    with subprocess.Popen(command, env={**os.environ, "AGENTD_HOME": str(home), "TERM": "xterm"}, stdout=theirs, stderr=theirs):
        os.close(theirs)
        with suppress(OSError):  # EIO: nobody writes there any more
            while data := os.read(ours, 65536):
                said += data
    os.close(ours)
    return said.decode().splitlines()


def test_rows(home: Path) -> None:
    """Limits in thousands, the price, what it can, how it is; nothing that is not known is made up."""
    with FakeDaemon(home, answers={"model/list": {"models": MODELS}}):
        rows = [line.split("\t") for line in agentctl(home, "model", "list").out.splitlines()]
    assert rows == [
        ["fast", "128k", "16k", "", "", "", "openai/gpt-6.1-terra, qwen/max (failover)"],
        ["openai/gpt-6.1-terra", "1.05M", "128k", "1.25/10", "TIFSR", "default, rate limited", ""],
        ["lab/llama", "128k", "8k", "?", "Ts", "", "limits are a guess"],
        ["local/smollm2-135m", "4k", "512", "free", "tS", "not available", "not fetched: `agentctl model pull`"],
        ["ollama/", "", "", "", "", "not available", "cannot reach 127.0.0.1:11434"],
    ]


def test_a_terminal_of_100_columns(home: Path) -> None:
    """Every row fits on its line, and the letters are explained."""
    with FakeDaemon(home, answers={"model/list": {"models": MODELS}}):
        lines = on_a_terminal(home, "model", "list")
    assert lines[0].split() == ["MODEL", "CONTEXT", "OUTPUT", "PRICE", "CAN", "STATE", "NOTE"]
    assert max(map(len, lines)) <= 100
    assert "T tools" in lines[-1]


@pytest.mark.parametrize("columns", [60, 70, 80])
def test_a_narrow_terminal(home: Path, columns: int) -> None:
    """No row wraps: notes have their own lines, states are cut before names are."""
    long = model(f"lab/{'x' * 60}", health="open: provider_overloaded", note="slow")
    with FakeDaemon(home, answers={"model/list": {"models": [*MODELS, long]}}):
        lines = on_a_terminal(home, "model", "list", columns=columns)
    assert lines[0].split() == ["MODEL", "CONTEXT", "OUTPUT", "PRICE", "CAN", "STATE"]
    assert max(map(len, lines[:-1])) <= columns
    assert lines[1].startswith("fast ") and lines[2] == "    openai/gpt-6.1-terra, qwen/max (failover)"
    assert any("xxx…" in line and "provide…" in line for line in lines)
    assert "    cannot reach 127.0.0.1:11434" in lines


def test_filter_and_refresh(home: Path) -> None:
    """By a part of the name, or of what an alias stands for; hosts are asked anew only if somebody wants it."""
    with FakeDaemon(home, answers={"model/list": {"models": MODELS}}) as daemon:
        found = agentctl(home, "model", "list", "--json", "TERRA").document
        agentctl(home, "model", "list", "--refresh")
        asked = daemon.asked("model/list")
    assert [info["id"] for info in found] == ["fast", "openai/gpt-6.1-terra"]
    assert asked == [{"refresh": False}, {"refresh": True}]


def test_long_lists(home: Path) -> None:
    """On a terminal a few of each provider, and how many more there are; who failed is never left out. In a pipe all."""
    listed = [model(f"openai/m{number}", source="discovered") for number in range(200)]
    with FakeDaemon(home, answers={"model/list": {"models": [FAST, *listed, SILENT]}}):
        few = on_a_terminal(home, "model", "list")
        everything = on_a_terminal(home, "model", "list", "--all")
        assert len(agentctl(home, "model", "list").out.splitlines()) == 202
    assert len(few) == 1 + 14 + 3
    assert any(line.startswith("ollama/") for line in few)
    assert "188 more" in few[-3]
    assert len(everything) == 1 + 202 + 2


# --- test-model -------------------------------------------------------------------------------------------------------------------


def check(name: str, outcome: str = "ok", detail: str = "", remedy: str = "", code: str = "") -> dict[str, Any]:
    seconds = 0.0 if outcome == "skipped" else 0.25
    return {"name": name, "outcome": outcome, "seconds": seconds, "detail": detail, "remedy": remedy, "code": code}


def report(name: str, *checks: dict[str, Any], candidates: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"model": name, "candidates": [name, *candidates], "checks": list(checks)}


WELL = report("a/one", check("connect", detail="https://a.test"), check("usage", detail="1 in"))
POOR = report("b/two", check("connect"), check("tool call", "failed", "it called no tool", "Take another model."))
LOCKED = report(
    "c/three", check("connect", "failed", "no key", "Set AGENTD_PROVIDERS_C_API_KEY.", "auth_failed"), check("usage", "skipped")
)


@pytest.mark.parametrize(("answer", "code"), [(WELL, 0), (POOR, 1), (LOCKED, 41)])
def test_what_scripts_see(home: Path, answer: dict[str, Any], code: int) -> None:
    with FakeDaemon(home, answers={"model/test": answer}):
        said = agentctl(home, "test-model", "--json")
    assert said.code == code
    assert said.document == [{"model": answer["model"], "checks": answer["checks"], "ok": code == 0}]


def test_what_people_see(home: Path) -> None:
    """What was tried, how it went, and below what failed what to do."""
    with FakeDaemon(home, answers={"model/test": POOR}) as daemon:
        said = agentctl(home, "test-model", "--provider", "b")
        assert daemon.asked("model/test") == [{"model": "b/"}]
    assert said.out.splitlines() == [
        "b/two",
        "  ok       connect              0.25 s",
        "  failed   tool call            0.25 s  it called no tool",
        "           -> Take another model.",
    ]


def test_all_providers(home: Path) -> None:
    """One after the other, but for those that are not set up."""
    providers = [
        {"name": "a", "state": "ready", "detail": ""},
        {"name": "b", "state": "idle", "detail": ""},
        {"name": "local", "state": "unavailable", "detail": "the weights are not there"},
    ]
    with FakeDaemon(home, answers={"daemon/status": {"providers": providers}, "model/test": [WELL, POOR]}) as daemon:
        said = agentctl(home, "test-model", "--all", "--json")
        assert [params["model"] for params in daemon.asked("model/test")] == ["a/", "b/"]
    assert [(one["model"], one["ok"]) for one in said.document] == [("a/one", True), ("b/two", False)]
    assert (said.code, "local is left out: the weights are not there" in said.err) == (1, True)


def test_all_providers_though_one_has_no_model(home: Path) -> None:
    """The next one is tried; what happened is said, and the exit code tells it."""
    providers = [{"name": name, "state": "ready", "detail": ""} for name in ("d", "a")]
    answers = [InvalidParams("d lists no models; name one: d/MODEL"), WELL]
    with FakeDaemon(home, answers={"daemon/status": {"providers": providers}, "model/test": answers}):
        said = agentctl(home, "test-model", "--all")
    assert said.code == 1
    assert said.out.splitlines()[:3] == [
        "d/",
        "  failed   connect                      d lists no models; name one: d/MODEL",
        "a/one",
    ]


def test_an_alias(home: Path) -> None:
    """All that it stands for is tried."""
    answers = [report("a/one", check("connect"), candidates=("b/two",)), POOR]
    with FakeDaemon(home, answers={"model/test": answers}) as daemon:
        said = agentctl(home, "test-model", "--model", "fast", "--json")
        assert [params["model"] for params in daemon.asked("model/test")] == ["fast", "b/two"]
    assert [one["model"] for one in said.document] == ["a/one", "b/two"]


def test_no_such_model(home: Path) -> None:
    with FakeDaemon(home, answers={"model/test": InvalidParams("there is no model alias 'x'")}):
        said = agentctl(home, "test-model", "--model", "x")
    assert (said.code, "no model alias" in said.err) == (2, True)


@pytest.mark.parametrize("command", [("model", "list"), ("test-model",), ("model", "pull", "ollama/x")])
def test_variables_that_the_daemon_does_not_have(home: Path, command: tuple[str, ...]) -> None:
    """A key that was exported after its start is not used: said here, too. No prompt will follow, so nothing is loaded for one."""
    answers: dict[str, Any] = {
        "model/list": {"models": MODELS},
        "model/test": WELL,
        "model/pull": {"pull": 1, "state": "done"},
    }
    with FakeDaemon(home, answers=answers, initialized={"environment_differs": ["OPENAI_API_KEY"]}) as daemon:
        said = agentctl(home, *command, OPENAI_API_KEY="new")
        assert [bool(asked["environment"]) and not asked["prompting"] for asked in daemon.asked("initialize")] == [True]
    warning = "warning: the daemon was started with another value of OPENAI_API_KEY; `agentctl daemon restart` makes it use yours"
    assert (said.code, said.err.splitlines()[0]) == (0, warning)


# --- over a real daemon ----------------------------------------------------------------------------------------------------------

RULES = [
    {"match": "Count", "reply": {"steps": [{"verb": "tokens", "count": 20, "delay": 0.01}]}},
    {"match": "weather", "reply": {"steps": [{"verb": "call", "name": "look_up_weather", "arguments": {"city": "Paris"}}]}},
    {"match": "capital", "reply": {"steps": [{"verb": "say", "text": '{"city": "Paris"}'}]}},
]


@pytest.fixture
def real(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """AGENTD_HOME of a daemon whose OpenAI is a scripted server."""
    script = tmp_path / "rules.json"
    script.write_text(json.dumps(RULES))
    command = [sys.executable, "-m", "tests.fakes.model_server", "--script", str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.stdout.readline().strip()}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test-4f9a2b7c")
        monkeypatch.setenv("AGENTD_MODEL", "openai/scripted-1")
        yield home
        agentctl(home, "daemon", "stop")
        server.kill()


@pytest.mark.slow
def test_a_real_daemon(real: Path) -> None:
    """The default model is listed and works; one that nobody has fails with a remedy; the key is nowhere."""
    listed = {info["id"]: info for info in agentctl(real, "model", "list", "--json", "--refresh").document}
    assert listed["openai/scripted-1"]["default"]
    assert listed["openai/scripted-1"]["source"] == "configured"
    tried = agentctl(real, "test-model", "--json")
    (report,) = tried.document
    assert {one["name"]: one["outcome"] for one in report["checks"]} == dict.fromkeys(
        ("connect", "first token", "streaming", "tool call", "structured output", "usage"), "ok"
    )
    locked = agentctl(real, "test-model", "--provider", "anthropic")
    assert (locked.code, "Set ANTHROPIC_API_KEY" in locked.out) == (41, True)
    assert "sk-test" not in tried.out + locked.out + tried.err + locked.err
