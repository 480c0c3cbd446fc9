"""The registry, and how each planned call begins."""

from __future__ import annotations

from typing import Any

import pytest

from agentd.core.permit import Policy
from agentd.core.tools import Planner, Tools, arguments_hash, parse_arguments
from agentd.ports import Place, ToolContext
from agentwire import events as ev
from agentwire.errors import ToolError
from agentwire.types import Text, ToolCall
from tests.fakes.tools import FakeTools, said, spec

TOOLS = Tools(
    [FakeTools([spec("free"), spec("asks", policy="ask"), spec("never", policy="deny")]), FakeTools([spec("free", effect="read")])]
)


def beginning(name: str, arguments: str = "{}", *, interactive: bool = True) -> Any:
    call = ToolCall(id="c", name=name, arguments_json=arguments)
    planner = Planner(
        tools=TOOLS, policy=Policy(), place=Place(session="s", cwd="/"), turn=1, interactive=interactive, approve_until=9.0
    )
    first, second = planner.plan([call])
    assert isinstance(first, ev.ToolPlanned) and first.arguments_hash == arguments_hash(name, arguments)
    return second


@pytest.mark.parametrize(
    ("name", "arguments", "interactive", "expected"),
    [
        ("free", "{}", True, "started"),
        ("free", "", True, "started"),
        ("asks", "{}", True, "asked"),
        ("asks", "{}", False, "denied"),
        ("never", "{}", True, "denied"),
        ("free", "{broken", True, "invalid_arguments"),
        ("free", "[1]", True, "invalid_arguments"),
        ("nothing", "{}", True, "error"),
    ],
)
def test_how_a_call_begins(name: str, arguments: str, interactive: bool, expected: str) -> None:
    """Allowed calls start, doubtful ones ask if somebody is there, everything else is over before it started."""
    body = beginning(name, arguments, interactive=interactive)
    match body:
        case ev.ToolStarted():
            assert expected == "started"
        case ev.ApprovalRequested(expires_at=until):
            assert (expected, until) == ("asked", 9.0)
        case ev.ToolFinished(outcome=outcome):
            assert outcome == expected


def test_a_wrong_name_is_answered_with_the_right_ones() -> None:
    """The model can correct itself from the result alone."""
    text = beginning("fre").parts[0].text
    assert "asks, free, never" in text


def test_the_first_source_keeps_a_name() -> None:
    """A later source cannot take over a tool."""
    assert {spec.name: spec.effect for spec in TOOLS.specs()}["free"] == "once"
    found = TOOLS.find("free")
    assert found is not None and found.spec.effect == "once"


async def test_a_tool_error_is_a_result() -> None:
    """What a source raises for the model becomes the outcome; a tool that vanished says so."""
    source = FakeTools([spec("free")], results={"free": [ToolError("no such city"), said("rain")]})
    tools, context = Tools([source]), ToolContext(call="c", session="s", cwd="/")
    failed = await tools.call("free", "{}", context)
    assert failed.outcome == "error" and failed.parts == (Text(text="no such city"),)
    assert (await tools.call("free", "{}", context)).outcome == "ok"
    assert (await tools.call("gone", "{}", context)).outcome == "error"


def test_arguments_must_be_an_object() -> None:
    """The error tells the model what to send."""
    assert parse_arguments('{"a": 1}') == {"a": 1}
    with pytest.raises(ToolError, match="valid JSON"):
        parse_arguments("nonsense")
