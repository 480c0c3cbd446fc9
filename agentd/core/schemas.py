"""Do a call's arguments fit its tool's schema: looked at before anything is planned, whatever the source of the tool.

Models are taken as they mean it: null stands for "not given", "5" for a number where one is wanted. A validator is made once for
each tool.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec
import trio

from agentd.core.answers import checker, mismatch, short
from agentd.ports import ToolSpec
from agentwire.errors import ToolError

_LIBRARY: Final = "jsonschema"
_TYPES: Final[Mapping[str, Any]] = {"integer": int, "number": (int, float), "boolean": bool}
"""Of JSON Schema, that models write as texts."""


class Schemas:
    """The validators of tools."""

    def __init__(self) -> None:
        self._kind: Any = None
        self._known: dict[str, tuple[Mapping[str, Any], Any]] = {}

    async def prepare(self) -> None:
        """Before the first `fit`: import the library beside the loop. It takes 70 ms and 5 MB, once somebody needs it.

        Where it cannot be read at the moment (no descriptor is left), it is tried again by whoever cannot do without it.
        """
        if self._kind is None:
            with suppress(OSError, ImportError):
                self._kind = checker() if _LIBRARY in sys.modules else await trio.to_thread.run_sync(checker)

    def fit(self, spec: ToolSpec, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments as they are meant. Raises ToolError, in words that a model can act on, if they do not follow the schema."""
        meant = meant_by(spec.parameters, arguments)
        if certainly_fits(spec.parameters, meant):
            return meant
        try:
            wrong = mismatch(self._validator(spec), meant)
        except (ValueError, OSError, ImportError) as error:
            raise ToolError(f"the tool {spec.name} cannot be called: {short(str(error))}") from None
        if wrong is None:
            return meant
        known = spec.parameters.get("properties", {})
        required = [name for name in known if name in spec.parameters.get("required", ())]
        others = [name for name in known if name not in required]
        takes = f"required: {', '.join(required) or 'nothing'}; may be given: {', '.join(others) or 'nothing else'}"
        where = "" if wrong.json_path == "$" else f"{wrong.json_path.removeprefix('$.')}: "
        raise ToolError(f"the arguments do not fit: {short(where + wrong.message)}. Arguments of {spec.name}: {takes}.")

    def _validator(self, spec: ToolSpec) -> Any:
        known = self._known.get(spec.name)
        if known is None or known[0] is not spec.parameters:
            self._kind = self._kind or checker()
            known = self._known[spec.name] = (spec.parameters, self._kind(spec.parameters))
        return known[1]


_UNDERSTOOD: Final = frozenset(
    [
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "enum",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "minItems",
        "maxItems",
        "description",
        "title",
        "default",
    ]
)


def certainly_fits(schema: Mapping[str, Any], value: Any) -> bool:
    """Whether the value follows a schema that says only what most do. If not, or if it says more, the library has to look: it takes
    thirty times as long, and knows the words for what is wrong."""
    if not schema.keys() <= _UNDERSTOOD:
        return False
    kind = schema.get("type")
    check = _CHECKS.get(kind) if isinstance(kind, str) else None
    return check is not None and check(schema, value)


def _object(schema: Mapping[str, Any], value: Any) -> bool:
    properties = schema.get("properties", {})
    return (
        isinstance(value, dict)
        and "enum" not in schema
        and all(name in value for name in schema.get("required", ()))
        and all(name in properties and certainly_fits(properties[name], one) for name, one in value.items())
    )


def _array(schema: Mapping[str, Any], value: Any) -> bool:
    items = schema.get("items")
    return (
        isinstance(value, list)
        and "enum" not in schema
        and isinstance(items, Mapping)
        and schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        and all(certainly_fits(items, one) for one in value)
    )


def _string(schema: Mapping[str, Any], value: Any) -> bool:
    return (
        isinstance(value, str)
        and schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
        and value in schema.get("enum", (value,))
    )


def _number(schema: Mapping[str, Any], value: Any) -> bool:
    return (
        "enum" not in schema
        and type(value) in (int, float)
        and schema.get("minimum", value) <= value <= schema.get("maximum", value)
    )


def _integer(schema: Mapping[str, Any], value: Any) -> bool:
    return type(value) is int and _number(schema, value)


def _boolean(schema: Mapping[str, Any], value: Any) -> bool:
    return "enum" not in schema and isinstance(value, bool)


_CHECKS: Final = {
    "object": _object,
    "array": _array,
    "string": _string,
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
}


def meant_by(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same arguments as they are meant, whether or not they fit."""
    properties, required = schema.get("properties", {}), schema.get("required", ())
    if not any(value is None or isinstance(value, str) for value in arguments.values()):
        return arguments
    meant = dict(arguments)
    for name, value in arguments.items():
        about = properties.get(name)
        if value is None and name in properties and name not in required:
            del meant[name]
        elif isinstance(value, str) and isinstance(about, Mapping) and isinstance(kind := about.get("type"), str):
            meant[name] = _read(value, _TYPES[kind]) if kind in _TYPES else value
    return meant


def _read(text: str, kind: Any) -> Any:
    try:
        value = msgspec.json.decode(text.strip().lower())
    except msgspec.DecodeError:
        return text
    return value if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)) else text
