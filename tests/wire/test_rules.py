"""How permission rules are written, and what is said of what is none."""

from __future__ import annotations

import pytest

from agentwire.rules import mistake


@pytest.mark.parametrize(
    "rule",
    [
        "read",
        "mcp__server__tool",
        "mcp__*",
        "*",
        "shell(*)",
        "shell(git status *)",
        "shell(git commit -m 'it is (done)' *)",
        'shell(say "it\'s")',
        "shell(network:npm ci)",
        "read(./src/**)",
        "write(~/x)",
        "edit(/a b)",
        "fetch(domain:example.org)",
        "fetch(domain:*.example.org)",
        " read ",
    ],
)
def test_rules(rule: str) -> None:
    """Nothing is wrong with them."""
    assert mistake(rule) == ""


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("", "is no rule"),
        ("git status", "is no rule"),
        ("shell(git status", "is no rule"),
        ("shell()", "empty pattern"),
        ("shell( )", "empty pattern"),
        ("shell(echo 'x)", "not closed"),
        ("shell(network: )", "names no command"),
        ("read(~somebody/x)", "expected an absolute path"),
        ("read(a\0b)", "NUL"),
        ("fetch(example.org)", "domain:HOST"),
        ("fetch(domain:https://x.org/)", "a host's name"),
    ],
)
def test_mistakes(rule: str, said: str) -> None:
    """The text names the rule and what was expected."""
    text = mistake(rule)
    assert said in text
    assert text.startswith(repr(rule))
