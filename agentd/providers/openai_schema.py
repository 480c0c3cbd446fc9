"""Whether OpenAI holds a model to a JSON schema, or only shows it one: strict mode takes a part of JSON Schema and refuses the rest
(https://platform.openai.com/docs/guides/structured-outputs#supported-schemas)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_DEEPEST = 10  # levels of objects and lists
_WORDS = frozenset(("type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf"))
_MORE = frozenset(("title", "description", "$ref", "$defs", "definitions", "minItems", "maxItems", "pattern", "format"))
_NUMBERS = frozenset(("multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"))
_TAKEN = _WORDS | _MORE | _NUMBERS
_FORMATS = frozenset(("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"))
_SAYS_WHAT = ("type", "enum", "const", "anyOf", "$ref")
"""One of them must say what a value is."""
_NAMED = ("properties", "$defs", "definitions")


def strict(schema: Mapping[str, Any]) -> bool:
    """Whether it has nothing that strict mode refuses: its root is an object, every object names all its properties as required and
    allows no others."""
    return schema.get("type") == "object" and "anyOf" not in schema and _fits(schema, 0)


def _fits(schema: Any, depth: int) -> bool:
    if not isinstance(schema, Mapping) or depth > _DEEPEST or not schema.keys() <= _TAKEN:
        return False
    if schema.keys().isdisjoint(_SAYS_WHAT):
        return False
    if "object" in _types(schema) and not _closed(schema):
        return False
    if schema.get("format", "date") not in _FORMATS:
        return False
    return all(_fits(inner, depth + 1) for inner in _inner(schema))


def _types(schema: Mapping[str, Any]) -> Iterable[str]:
    kinds = schema.get("type", ())
    return (kinds,) if isinstance(kinds, str) else kinds


def _closed(schema: Mapping[str, Any]) -> bool:
    properties = schema.get("properties", {})
    return schema.get("additionalProperties") is False and set(schema.get("required", ())) == set(properties)


def _inner(schema: Mapping[str, Any]) -> Iterable[Any]:
    for name in _NAMED:
        yield from schema.get(name, {}).values()
    yield from schema.get("anyOf", ())
    if "items" in schema:
        yield schema["items"]
