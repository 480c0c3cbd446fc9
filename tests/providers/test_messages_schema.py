from __future__ import annotations

import jsonschema
import pytest

from agentd.providers.messages_schema import strict


def test_objects_have_no_further_properties() -> None:
    """At any depth: the vendor demands it."""
    inner = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": True}
    schema = {
        "type": "object",
        "properties": {
            "list": {"type": "array", "items": inner},
            "either": {"anyOf": [inner, {"type": "null"}]},
            "all": {"allOf": [inner]},
        },
        "$defs": {"x": inner},
        "required": ["list"],
    }
    closed = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
    assert strict(schema) == {
        "type": "object",
        "properties": {
            "list": {"type": "array", "items": closed},
            "either": {"anyOf": [closed, {"type": "null"}]},
            "all": {"allOf": [closed]},
        },
        "$defs": {"x": closed},
        "required": ["list"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "integer", "minimum": 1}, {"type": "integer", "description": "{minimum: 1}"}),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"type": "string", "format": "color", "description": "A."}, {"type": "string", "description": "A.\n\n{format: color}"}),
        ({"type": "array", "minItems": 1}, {"type": "array", "minItems": 1}),
        ({"type": "array", "minItems": 2}, {"type": "array", "description": "{minItems: 2}"}),
        ({"type": ["object", "null"]}, {"type": ["object", "null"], "additionalProperties": False}),
        ({"enum": ["a", None]}, {"enum": ["a", None]}),
        ({"oneOf": [{"type": "null"}]}, {"anyOf": [{"type": "null"}]}),
        ({"$ref": "#/$defs/x"}, {"$ref": "#/$defs/x"}),
        ({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "null"}, {"type": "null"}),
        ({"type": "array", "items": True}, {"type": "array", "items": True}),
    ],
)
def test_keywords(schema: dict[str, object], expected: dict[str, object]) -> None:
    """What the vendor does not take is told in words."""
    assert strict(schema) == expected
    jsonschema.Draft202012Validator.check_schema(strict(schema))


def test_properties_may_be_called_anything() -> None:
    """A property that is named like a keyword is none."""
    schema = {"type": "object", "properties": {"minimum": {"type": "integer"}, "properties": {"type": "null"}}}
    assert strict(schema)["properties"] == schema["properties"]
