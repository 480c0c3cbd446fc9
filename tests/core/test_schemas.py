"""Arguments are held to a tool's schema before anything happens, and taken as they are meant."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from agentd.core.schemas import Schemas
from agentwire.errors import ToolError
from tests.fakes.tools import spec

TOOL = spec("look", path={"type": "string", "minLength": 1}, n={"type": "integer"}, deep={"type": "boolean"})
TOOL = evolve(TOOL, parameters={**TOOL.parameters, "required": ["path"]})


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"path": "x"}, {"path": "x"}),
        ({"path": "5", "n": "5"}, {"path": "5", "n": 5}),
        ({"path": "x", "n": None, "deep": "True"}, {"path": "x", "deep": True}),
    ],
)
def test_what_is_meant(given: dict[str, Any], meant: dict[str, Any]) -> None:
    """Null is not given, "5" is a number where one is wanted and a text where that is."""
    assert Schemas().fit(TOOL, given) == meant


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "'path' is a required property"),
        ({"path": None}, "path: None is not of type 'string'"),
        ({"path": ""}, "path: '' should be non-empty"),
        ({"path": "x", "n": "many"}, "n: 'many' is not of type 'integer'"),
        ({"path": "x", "n": "true"}, "n: 'true' is not of type 'integer'"),
        ({"path": "x", "pth": 1}, "'pth' was unexpected"),
    ],
)
def test_what_does_not_fit(given: dict[str, Any], said: str) -> None:
    """The reason, and what the tool takes: the model needs no second look at the schema."""
    with pytest.raises(ToolError) as caught:
        Schemas().fit(TOOL, given)
    assert said in str(caught.value)
    assert str(caught.value).endswith("Arguments of look: required: path; may be given: n, deep.")


def test_a_schema_that_nobody_can_follow_is_the_tools_fault() -> None:
    """The call fails, not the turn."""
    broken = evolve(TOOL, parameters={"type": "object", "$ref": "#/nowhere"})
    with pytest.raises(ToolError, match="the tool look cannot be called: the schema cannot be followed"):
        Schemas().fit(broken, {"path": "x"})


async def test_a_validator_is_made_once_and_anew_for_a_changed_tool() -> None:
    """Beside the loop; the same name with another schema is another tool."""
    schemas = Schemas()
    await schemas.prepare()
    made = schemas._validator(TOOL)
    assert schemas._validator(TOOL) is made
    changed = evolve(TOOL, parameters={"type": "object", "properties": {}, "additionalProperties": False})
    with pytest.raises(ToolError):
        schemas.fit(changed, {"path": "x"})
