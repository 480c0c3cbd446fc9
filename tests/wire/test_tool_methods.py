"""The methods about tools, permissions and jobs: what a client may leave out, and what is refused before it reaches anybody."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from agentwire import tool_methods as m
from agentwire.convert import structure
from agentwire.errors import InvalidParams

CLASSES = [cls for cls in vars(m).values() if isinstance(cls, type) and attrs.has(cls) and cls.__module__ == m.__name__]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_they_are_frozen_and_by_name(cls: type[Any]) -> None:
    """Nobody changes a request that somebody else holds, and fields can be added without breaking a call."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(object.__new__(cls), attrs.fields(cls)[0].name, None)
    assert all(field.kw_only for field in attrs.fields(cls))


def test_what_is_left_out() -> None:
    """Has the value that a person would mean."""
    assert structure({"session": "3f", "number": 1}, m.ReadJob).offset == -65536
    assert structure({"name": "read"}, m.CallTool) == m.CallTool(name="read", arguments={}, session="", cwd="/")
    assert structure({}, m.ToolHistory).limit == 50
    assert structure({"cwd": "/w"}, m.TrustProject).trusted


@pytest.mark.parametrize(
    ("cls", "params", "reason"),
    [
        (m.JobRef, {"session": "3f", "number": 0}, "number"),
        (m.JobRef, {"session": "", "number": 1}, "session"),
        (m.CallTool, {"name": ""}, "name"),
        (m.CallTool, {"name": "read", "cwd": "relative"}, "cwd"),
        (m.ChangeRule, {"rule": "", "verdict": "allow"}, "rule"),
        (m.ChangeRule, {"rule": "shell", "verdict": "perhaps"}, "verdict"),
        (m.ToolHistory, {"outcome": "fine"}, "outcome"),
        (m.TrustProject, {"cwd": "."}, "cwd"),
    ],
)
def test_what_cannot_be_meant_is_refused(cls: type[Any], params: dict[str, Any], reason: str) -> None:
    """By the name of what is wrong."""
    with pytest.raises(InvalidParams, match=reason):
        structure(params, cls)
