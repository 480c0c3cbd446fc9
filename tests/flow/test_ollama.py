"""The real daemon with an Ollama: turns with tools, also for models that have none, and models that are fetched."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.fakes.real import ROOT, Home, Models, call, rule, say

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
RULES = [
    rule("note", call("note", text="x"), after_tools=0),
    rule("note", say("It is noted."), after_tools=1),
    rule("", say("Well.")),
]
TOOL = """
from agentd.tool import tool

@tool(effect="read", policy="allow")
def note(text: str) -> str:
    return f"noted {text}"
"""


@pytest.fixture
def models() -> Iterator[Models]:
    with Models(RULES) as models:
        yield models


@pytest.fixture
def home(models: Models) -> Iterator[Home]:
    with Home(OLLAMA_HOST=f"127.0.0.1:{models.port}", AGENTD_MODEL="ollama/llama3.2") as home:
        home.write("config/tools/note.py", TOOL)
        yield home
        assert agentctl(home, "daemon", "stop")[0] == 0


def agentctl(home: Home, *arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "agentctl", *arguments]
    done = subprocess.run(command, env=home.environ, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_turn_with_a_tool(home: Home, models: Models) -> None:
    """In Ollama's own words: the context that is needed, arguments as an object, the result under its tool's name."""
    assert agentctl(home, "run", "take a note")[:2] == (0, "It is noted.\n")
    first, second = models.requests("take a note")
    assert first["path"] == "/api/chat"
    assert first["body"]["options"]["num_ctx"] >= 8192
    assert "note" in [tool["function"]["name"] for tool in first["body"]["tools"]]
    asked, told = second["body"]["messages"][-2:]
    assert asked["tool_calls"][0]["function"] == {"name": "note", "arguments": {"text": "x"}}
    assert (told["role"], told["tool_name"], told["content"]) == ("tool", "note", "noted x")


def test_a_pull(home: Home) -> None:
    """Whatever is waiting for it sees it through; what is no Ollama's is refused."""
    code, out, err = agentctl(home, "model", "pull", "ollama/llama3.2")
    assert (code, out) == (0, "")
    assert err.splitlines()[-1] == "ollama/llama3.2 is ready"
    code, _, err = agentctl(home, "model", "pull", "openai/gpt")
    assert code == 2
    assert "those of ollama are" in err
    code, out, _ = agentctl(home, "model", "list")
    assert "ollama/scripted-1" in out
    assert "3.2B Q4_K_M, 2.0 GB" in out
