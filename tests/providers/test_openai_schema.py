"""Which schemas OpenAI's strict mode takes: a request with another one would be refused."""

from __future__ import annotations

from typing import Any

import pytest

from agentd.providers.openai_schema import strict


def thing(**fields: Any) -> dict[str, Any]:
    """An object that names all that it has."""
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = thing(x=schema)
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        thing(),
        thing(a={"type": "string", "description": "what", "pattern": "^a"}, b={"type": ["integer", "null"], "minimum": 0}),
        thing(a={"type": "array", "items": thing(b={"enum": ["x", "y"]}), "minItems": 1}),
        thing(a={"anyOf": [{"type": "null"}, thing(b={"const": 1})]}),
        {**thing(a={"$ref": "#/$defs/b"}), "$defs": {"b": thing(c={"type": "boolean"})}, "title": "T"},
        thing(a={"type": "string", "format": "date-time"}),
        nested(10),
    ],
)
def test_schemas_that_it_takes(schema: dict[str, Any]) -> None:
    assert strict(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "string"},
        {"type": ["object", "null"]},
        {"type": "object", "properties": {"a": {"type": "string"}}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        {**thing(a={"type": "string"}), "required": []},
        {**thing(), "anyOf": [thing()]},
        thing(a={"type": "object"}),
        thing(a={"type": "array", "items": {"type": "object"}}),
        thing(a={"anyOf": [{"type": "object", "additionalProperties": True}]}),
        thing(a={"type": "string", "maxLength": 3}),
        thing(a={"type": "string", "format": "iri"}),
        thing(a={"allOf": [{"type": "string"}]}),
        thing(a=True),
        thing(a={}),
        thing(a={"description": "anything"}),
        {**thing(), "$defs": {"b": {"type": "object"}}},
        nested(11),
    ],
)
def test_schemas_that_it_refuses(schema: dict[str, Any]) -> None:
    assert not strict(schema)
