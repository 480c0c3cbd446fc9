"""The decorator marks functions and refuses what it does not know."""

from __future__ import annotations

from typing import Any

import pytest

from agentd.tool import MARK, Declaration, tool


def test_the_function_stays_itself() -> None:
    """With and without arguments the decorated function is the same object, marked; unsaid means the careful choice."""

    def plain() -> int:
        return 1

    assert tool(plain) is plain
    assert getattr(plain, MARK) == Declaration("once", "ask")
    assert tool(effect="read", policy="allow")(plain) is plain
    assert getattr(plain, MARK) == Declaration("read", "allow")


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"effect": "safe"}, "effect must be one of read, idempotent, once, not 'safe'"),
        ({"policy": "yes"}, "policy must be one of allow, ask, deny, not 'yes'"),
    ],
)
def test_unknown_words_are_refused(choice: dict[str, Any], sentence: str) -> None:
    """A misspelt word fails where it stands; it never becomes a default."""
    with pytest.raises(ValueError, match=sentence):
        tool(**choice)


def test_only_functions() -> None:
    """A class is not a tool."""
    with pytest.raises(TypeError, match="@tool declares functions, not <class"):
        tool(type("Thing", (), {}))
