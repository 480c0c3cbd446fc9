"""A JSON schema as Anthropic's structured output takes it: objects without further properties, and few of the keywords.

What is not taken is told in the description, where the model reads it; whether an answer follows it all, core looks itself
(https://platform.claude.com/docs/en/build-with-claude/structured-outputs, as the vendor's own SDK translates schemas).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KEPT = frozenset(
    ("$ref", "allOf", "anyOf", "const", "enum", "items", "properties", "required", "title", "type", "$defs", "definitions")
)
_SAID_OTHERWISE = frozenset(("$schema", "$id", "additionalProperties", "description", "oneOf"))
_FORMATS = frozenset(("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"))


def strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The nearest that the vendor takes. A schema that refers to itself stays so."""
    taken = {key: _inside(key, value) for key, value in schema.items() if _is_taken(key, value)}
    if "oneOf" in schema:
        taken["anyOf"] = _inside("anyOf", schema["oneOf"])
    kinds = schema.get("type")
    if kinds == "object" or (isinstance(kinds, list) and "object" in kinds):
        taken["additionalProperties"] = False
    rest = {key: value for key, value in schema.items() if key not in taken and key not in _SAID_OTHERWISE}
    said = [schema.get("description", ""), "{" + ", ".join(f"{key}: {value}" for key, value in rest.items()) + "}" if rest else ""]
    if any(said):
        taken["description"] = "\n\n".join(filter(None, said))
    return taken


def _is_taken(key: str, value: Any) -> bool:
    return key in _KEPT or (key == "format" and value in _FORMATS) or (key == "minItems" and value in {0, 1})


def _inside(key: str, value: Any) -> Any:
    """The schemas in the value of a keyword, made strict, too."""
    if key in {"properties", "$defs", "definitions"} and isinstance(value, Mapping):
        return {name: _one(inner) for name, inner in value.items()}
    if key in {"anyOf", "allOf"} and isinstance(value, list):
        return [_one(inner) for inner in value]
    return _one(value) if key == "items" else value


def _one(value: Any) -> Any:
    return strict(value) if isinstance(value, Mapping) else value
