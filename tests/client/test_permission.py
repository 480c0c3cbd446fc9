"""`agentctl permission`: the rules for people and scripts, and what becomes of a call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.client.cli import agentctl
from tests.fakes.daemon_server import FakeDaemon


def rule(text: str, verdict: str, scope: str) -> dict[str, Any]:
    return {"rule": text, "verdict": verdict, "scope": scope, "source": scope}


RULES = [rule("read(./secrets/**)", "deny", "user"), rule("shell(ls *)", "allow", "built-in")]
LIST = {"rules": RULES, "mode": "plan", "untrusted": "/w/.agentd/config.toml"}
TOLD = {
    "verdict": "ask",
    "why": "no rule knows the command git push",
    "rule": "",
    "source": "",
    "accesses": [{"kind": "command", "target": "", "words": ["git", "push", "a b"]}],
    "proposes": ["shell(git push)"],
    "sandbox": "writes /w; without network",
}
TOOLS = {"tools": [{"name": "own", "parameters": {"required": ["text"]}}, {"name": "todo", "parameters": {}}]}


def test_the_rules(home: Path) -> None:
    """Values in a pipe; the built-in ones only if they are wanted; what does not count, and the mode, in remarks."""
    with FakeDaemon(home, answers={"permission/list": LIST}) as daemon:
        shown, every = agentctl(home, "permission", "list"), agentctl(home, "permission", "list", "--all", "--json")
        agentctl(home, "permission", "list", "-s", "3f2a")
        assert daemon.asked("permission/list") == [{"cwd": str(home)}, {"cwd": str(home)}, {"session": "3f2a"}]
    assert shown.out == "deny\tread(./secrets/**)\tuser\n"
    assert "plan" in shown.err and "permission trust" in shown.err
    assert every.document == RULES


def test_rules_come_and_go(home: Path) -> None:
    """Of the user, or of one session; the daemon says what is wrong with one."""
    with FakeDaemon(home, answers={"permission/add": {}, "permission/remove": {}}) as daemon:
        assert agentctl(home, "permission", "add", "shell(npm ci)", "--json").document["verdict"] == "allow"
        agentctl(home, "permission", "add", "deny", "read(~/.ssh/**)", "-s", "3f")
        agentctl(home, "permission", "remove", "ask", "shell")
        added, removed = daemon.asked("permission/add"), daemon.asked("permission/remove")
    assert added == [
        {"rule": "shell(npm ci)", "verdict": "allow", "session": ""},
        {"rule": "read(~/.ssh/**)", "verdict": "deny", "session": "3f"},
    ]
    assert removed == [{"rule": "shell", "verdict": "ask", "session": ""}]


def test_what_becomes_of_a_call(home: Path) -> None:
    """The verdict and why, each thing that it would do, and the rule that would allow it, to be copied."""
    with FakeDaemon(home, answers={"permission/explain": TOLD, "tool/list": TOOLS}) as daemon:
        shown = agentctl(home, "permission", "explain", "shell", "git push")
        asked = agentctl(home, "permission", "explain", "shell", '{"command": "git push"}', "--json")
        agentctl(home, "permission", "explain", "own", "some text")
        asked_for = [one["arguments"] for one in daemon.asked("permission/explain")]
        assert asked_for == [{"command": "git push"}, {"command": "git push"}, {"text": "some text"}]
    assert (shown.code, asked.code) == (0, 0)
    assert shown.out.splitlines() == [
        "ask: no rule knows the command git push",
        "command   git push 'a b'",
        "to allow  agentctl permission add allow 'shell(git push)'",
        "sandbox   writes /w; without network",
    ]
    assert asked.document == TOLD


def test_arguments_that_are_none(home: Path) -> None:
    """Broken JSON is not taken for text, and text needs an argument that takes it."""
    with FakeDaemon(home, answers={"permission/explain": TOLD, "tool/list": TOOLS}):
        assert "single quotes" in agentctl(home, "permission", "explain", "shell", "{command: x}").err
        assert "JSON object" in agentctl(home, "permission", "explain", "todo", "x").err


def test_trust(home: Path) -> None:
    """What counts from now on is shown."""
    rules = [rule("shell(make *)", "allow", "project")]
    with FakeDaemon(
        home, answers={"permission/trust": {"path": "/w/.agentd/config.toml", "sha256": "1", "rules": rules}}
    ) as daemon:
        shown = agentctl(home, "permission", "trust")
        agentctl(home, "permission", "trust", "--no", "--json")
        assert [one["trusted"] for one in daemon.asked("permission/trust")] == [True, False]
    assert shown.out == "allow  shell(make *)\n" and "until it changes" in shown.err
