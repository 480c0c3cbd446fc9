"""Questions: what is shown before anybody answers, and what counts as an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentctl.chat.questions import LINES, Answer, Approval, answer, hint, prompt, question

HOSTILE = "\x1b]0;owned\x07"


def asked(name: str = "shell", arguments: str = '{"command": "ls"}', **more: Any) -> Approval:
    return Approval.of({"call": "c", "name": name, "arguments_json": arguments, "arguments_hash": "h", "expires_at": 1.0, **more})


def shown(approval: Approval) -> list[str]:
    return [row.text for row in question(approval)]


def test_what_a_call_would_do_is_told() -> None:
    """Its arguments whole, each command of several, what it reaches and writes, why it is asked, which rules would come of it."""
    accesses = [
        {"kind": "command", "words": ["npm", "ci"], "target": ""},
        {"kind": "command", "words": ["make"], "target": ""},
        {"kind": "write", "words": [], "target": "/etc/x"},
        {"kind": "network", "words": [], "target": "*"},
        {"kind": "network", "words": [], "target": "example.org"},
        {"kind": "unclear", "words": [], "target": "a substitution"},
    ]
    approval = asked(
        arguments='{"command": "npm ci &&\\nmake", "network": true}', accesses=accesses, why="no rule", proposes=["shell(make)"]
    )
    assert shown(approval) == [
        "? The model wants to use shell:",
        "    command: npm ci &&",
        "             make",
        "    network: true",
        "    · runs npm ci",
        "    · runs make",
        "    · writes /etc/x",
        "    · uses the network",
        "    · reaches example.org",
        "    · cannot be told: a substitution",
        "    asked because no rule",
        "    s or a would allow from then on: shell(make)",
    ]


@pytest.mark.parametrize(
    ("old", "new", "rows"),
    [
        ("a\nb\nc", "a\nB\nc", ["  a", "- b", "+ B", "  c"]),
        ("a", "a\nb", ["  a", "+ b"]),
        ("a\na", "a", ["  a", "- a"]),
        ("a", "", ["- a", "+ "]),
        ("a", "a", ["  a"]),
        (HOSTILE, "", ["- ␛]0;owned␇", "+ "]),
    ],
)
def test_a_change_is_shown_as_one(old: str, new: str, rows: list[str]) -> None:
    """The text that goes, the text that comes, and what stays; the other arguments as ever."""
    approval = asked("edit", json.dumps({"path": "/x", "old": old, "new": new, "all": True}))
    assert shown(approval)[1:] == ["    path: /x", "    all: true", *(f"    {row}" for row in rows)]


@pytest.mark.parametrize("arguments", ["{broken", "[1, 2]", '{"edits": [{"old": "a"}]}', "{}"])
def test_other_arguments_are_shown_as_they_are(arguments: str) -> None:
    """JSON that is more than texts, and what is no JSON."""
    assert "".join("".join(shown(asked(arguments=arguments))[1:]).split()) == "".join(arguments.split())


def test_nothing_in_it_harms_a_terminal_and_a_long_one_says_so() -> None:
    """Whatever a model wrote."""
    approval = asked(HOSTILE, json.dumps({"a": HOSTILE}), why=HOSTILE, proposes=[HOSTILE])
    assert not any("\x1b" in row or "\x07" in row for row in shown(approval))
    long = asked(arguments='{"command": "%s"}' % ("x\\n" * (LINES + 10)))
    assert shown(long)[-1] == "    … and 11 more lines, not shown"


def test_a_question_of_the_models() -> None:
    """Its options are numbered; a number or any words answer it."""
    approval = asked("ask_user", '{"question": "Which one?\\nThink.", "options": ["red", "blue"]}')
    assert shown(approval) == ["? Which one?", "  Think.", "    1 red", "    2 blue"]
    assert "a number" in prompt(approval)
    assert answer("2", approval) == Answer("allow", "blue")
    assert answer("3", approval) == Answer("allow", "3")
    assert answer(" green, please ", approval) == Answer("allow", "green, please")
    assert answer("  ", approval) is None
    assert prompt(asked("ask_user", '{"question": "Why?"}')) == "your answer, then Enter"


@pytest.mark.parametrize(
    ("text", "proposes", "expected"),
    [
        ("y", (), Answer("allow")),
        ("Yes.", (), Answer("allow")),
        ("y but slowly", (), None),
        ("n", (), Answer("deny")),
        ("no, never", (), Answer("deny", "never")),
        ("s", ("r",), Answer("allow", "", "session")),
        ("always", ("r",), Answer("allow", "", "always")),
        ("s", (), None),
        ("a", (), None),
        ("", (), None),
        ("maybe", ("r",), None),
    ],
)
def test_answers(text: str, proposes: tuple[str, ...], expected: Answer | None) -> None:
    """Nothing that is no clear answer is taken for one; for longer only where a rule was shown."""
    approval = asked(proposes=proposes)
    assert answer(text, approval) == expected
    assert ("always" in prompt(approval)) == ("always" in hint(approval)) == bool(proposes)
