"""Arguments are held to a tool's schema before anything happens, and taken as they are meant."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.core.schemas import Schemas, certainly_fits
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


_LEAVES = st.sampled_from(
    (
        {"type": "string"},
        {"type": "string", "minLength": 2, "maxLength": 3},
        {"type": "string", "enum": ["a", "b"]},
        {"type": "string", "pattern": "^a"},
        {"type": "integer", "minimum": 1, "maximum": 3},
        {"type": "number"},
        {"type": "boolean"},
        {"type": ["string", "null"]},
        {"enum": [1, True]},
        {},
    )
)
_SHAPES = st.recursive(
    _LEAVES,
    lambda inner: (
        st.fixed_dictionaries({"type": st.just("array"), "items": inner, "maxItems": st.integers(0, 2)})
        | st.builds(
            lambda properties, required, open_: {
                "type": "object",
                "properties": properties,
                "required": [name for name in required if name in properties],
                **({} if open_ else {"additionalProperties": False}),
            },
            st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
            st.lists(st.sampled_from("xyz"), unique=True, max_size=2),
            st.booleans(),
        )
    ),
    max_leaves=6,
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 4) | st.sampled_from((1.0, 0.5)) | st.sampled_from(("", "a", "ab", "abcd")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=500)
@given(_SHAPES, _VALUES)
def test_what_certainly_fits_fits(schema: dict[str, Any], value: Any) -> None:
    """The short way never lets through what the library would not."""
    if certainly_fits(schema, value):
        assert jsonschema.Draft202012Validator(schema).is_valid(value)


def test_what_most_tools_take_goes_the_short_way() -> None:
    """Objects of texts, numbers, flags and lists of such."""
    item = {"type": "object", "properties": {"text": {"type": "string"}, "n": {"type": "integer"}}, "required": ["text"]}
    schema = {"type": "object", "properties": {"items": {"type": "array", "items": item}, "all": {"type": "boolean"}}}
    assert certainly_fits(schema, {"items": [{"text": "a", "n": 1}, {"text": "b"}], "all": True})
    assert not certainly_fits(schema, {"items": [{"n": 1}]})
    assert not certainly_fits(schema, {"more": 1})
