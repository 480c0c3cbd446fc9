"""The built-in rules: one for each program, and found by it."""

from __future__ import annotations

import pytest

from agentd.core.defaults import BUILT_IN, FILE_COMMANDS, READING_COMMANDS, SYSTEM, about
from agentd.core.permit import Policy, decide
from agentwire.rules import mistake
from agentwire.types import Access, Mode
from tests.fakes.tools import spec

EVERY = (*READING_COMMANDS, *BUILT_IN, *FILE_COMMANDS)


def test_each_is_a_rule() -> None:
    """Of the shell, built in, and none allows every command."""
    for rule in EVERY:
        assert mistake(rule.rule) == ""
        assert (rule.verdict, rule.scope) == ("allow", "built-in")
        assert rule.rule.startswith("shell(") and rule.rule.endswith(" *)") and not rule.rule.startswith("shell(*")


def test_none_is_there_twice() -> None:
    """A program reads, or builds, or handles files."""
    assert len({rule.rule for rule in EVERY}) == len(EVERY)


@pytest.mark.parametrize("mode", ["default", "accept-edits", "plan"])
def test_each_is_found_by_its_program(mode: Mode) -> None:
    """In the modes in which it holds."""
    holding = {
        "default": (*READING_COMMANDS, *BUILT_IN),
        "accept-edits": EVERY,
        "plan": READING_COMMANDS,
    }[mode]
    policy = Policy(mode=mode, roots=("/work",))
    for rule in EVERY:
        words = tuple(rule.rule.removeprefix("shell(").removesuffix(" *)").split())
        assert (rule in about(words[0], mode)) == (rule in holding)
        if rule in holding:
            assert decide(policy, spec("shell", policy="ask"), [Access(kind="command", words=words)]).rule == rule


@pytest.mark.parametrize(
    "program", ["rm", "sh", "sudo", "curl", "ssh", "docker", "kill", "git push", "npm ci", "pip install", "eval"]
)
def test_what_is_not_among_them(program: str) -> None:
    """What leaves the machine, loses files, or runs whatever it is told."""
    assert not any(f"shell({program} *)" == rule.rule for rule in (*READING_COMMANDS, *BUILT_IN))


def test_secrets_of_the_system_are_not_common_knowledge() -> None:
    """Of /etc only what is named."""
    assert "/etc" not in SYSTEM and "/usr" in SYSTEM and "/etc/passwd" in SYSTEM and "/etc/shadow" not in SYSTEM
