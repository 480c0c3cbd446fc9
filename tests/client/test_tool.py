"""`agentctl tool`: values and documents for scripts, and exit codes that say what became of a call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentwire.errors import AgentError, Denied, SandboxUnavailable
from tests.client.cli import agentctl
from tests.fakes.daemon_server import FakeDaemon

TOOL: dict[str, Any] = {
    "name": "look",
    "source": "builtin",
    "description": "Look at it.\nClosely.",
    "parameters": {"type": "object"},
    "effect": "read",
    "policy": "allow",
    "calls": 3,
    "errors": 1,
    "denied": 0,
    "seconds": 1.26,
    "last_at": None,
}
CALL: dict[str, Any] = {
    "pos": 7,
    "session": "5e55",
    "turn": 1,
    "call": "c",
    "name": "look",
    "arguments_json": '{"n":1}',
    "state": "over",
    "planned_at": 1000.0,
    "started_at": 1000.0,
    "finished_at": 1002.0,
    "outcome": "ok",
    "seconds": 2.0,
    "rule": "",
}
OPEN = {**CALL, "session": "", "state": "started", "outcome": None}


def called(outcome: str = "ok", *parts: dict[str, Any]) -> dict[str, Any]:
    return {"call": "c1", "outcome": outcome, "parts": list(parts or ({"kind": "text", "text": "seen"},)), "seconds": 0.5}


def test_the_tools(home: Path) -> None:
    """One a line, with its counts; the daemon's own words as a document; what is not offered is said beside it."""
    with FakeDaemon(home, answers={"tool/list": {"tools": [TOOL], "warnings": ["the tool x of y is not offered"]}}):
        answer = agentctl(home, "tool", "list")
        assert answer.out == "look\tbuiltin\tread\tallow\t3\t1\t0\t1.3\tLook at it.\n"
        assert "warning: the tool x of y is not offered" in answer.err
        assert agentctl(home, "tool", "list", "--json").document == [TOOL]


def test_one_tool(home: Path) -> None:
    """All of it; one that is not there says where to look."""
    with FakeDaemon(home, answers={"tool/list": {"tools": [TOOL], "warnings": []}}):
        assert "Closely." in (shown := agentctl(home, "tool", "show", "look").out) and '"type": "object"' in shown
        assert agentctl(home, "tool", "show", "look", "--json").document == TOOL
        answer = agentctl(home, "tool", "show", "nothing")
    assert answer.code == 1 and "agentctl tool list" in answer.err


def test_a_call(home: Path) -> None:
    """Its text is the answer; it runs where the caller is, or in a session."""
    with FakeDaemon(home, answers={"tool/call": called()}) as daemon:
        answer = agentctl(home, "tool", "call", "look", '{"n": 1}', "-s", "5e55", "--key", "k", LANG="C")
        assert (answer.out, answer.code) == ("seen\n", 0)
        (asked,) = daemon.asked("tool/call")
        assert (asked["name"], asked["arguments"], asked["session"], asked["key"]) == ("look", {"n": 1}, "5e55", "k")
        assert asked["cwd"] == str(home.resolve()) and asked["environment"]["LANG"] == "C" and "HOME" not in asked["environment"]
        assert agentctl(home, "tool", "call", "look", "--json").document == called()


def test_what_is_no_text_is_told_of(home: Path) -> None:
    """On the side: stdout has the answer alone."""
    blob = {"kind": "blob", "blob": "0" * 64, "bytes": 2000, "media": "image/png"}
    with FakeDaemon(home, answers={"tool/call": called("ok", blob)}):
        answer = agentctl(home, "tool", "call", "look")
    assert (answer.out, answer.code) == ("", 0) and "[image/png, 2.0 kB]" in answer.err


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (called("error"), 54, "look: error, after 0.5 s; call c1"),
        (called("unknown"), 54, "look: unknown"),
        (Denied("not allowed"), 4, "not allowed"),
        (SandboxUnavailable("no walls"), 44, "no walls"),
    ],
)
def test_how_a_call_ends(home: Path, answer: dict[str, Any] | AgentError, code: int, said: str) -> None:
    """A failed tool is not a denied one, and neither is one that nothing could be built around."""
    with FakeDaemon(home, answers={"tool/call": answer}):
        ended = agentctl(home, "tool", "call", "look")
    assert ended.code == code and said in ended.err


@pytest.mark.parametrize("text", ["{n: 1}", "[1]", '"x"'])
def test_arguments_are_an_object(home: Path, text: str) -> None:
    """Anything else is a mistake of the command line."""
    with FakeDaemon(home) as daemon:
        answer = agentctl(home, "tool", "call", "look", text)
        assert answer.code == 2 and '{"k": 1}' in answer.err and not daemon.asked("tool/call")


def test_the_history(home: Path) -> None:
    """Page by page, as many as asked for; what is open has its state."""
    pages = [{"calls": [OPEN, CALL], "cursor": 7}, {"calls": [CALL], "cursor": None}]
    with FakeDaemon(home, answers={"tool/history": pages}) as daemon:
        answer = agentctl(home, "tool", "history", "--tool", "look", "--outcome", "open", "--since", "1h", "--limit", "300")
        first, second = daemon.asked("tool/history")
    open_line, line, _ = answer.out.splitlines()
    assert line == '1000.000\t5e55\tlook\tok\t2.0\t{"n":1}' and open_line == '1000.000\t-\tlook\tstarted\t\t{"n":1}'
    assert (first["tool"], first["outcome"], first["limit"], "before" in first) == ("look", "open", 200, False)
    assert first["since"] > 0 and second["before"] == 7
    with FakeDaemon(home, answers={"tool/history": {"calls": [], "cursor": None}}):
        assert agentctl(home, "tool", "history", "--json").document == []
