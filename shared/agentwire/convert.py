"""The only converter: JSON values <-> attrs classes. Strict: nothing is coerced, unknown keys are errors.

msgspec encodes attrs classes but cannot decode unions of them, so cattrs structures (parts are told apart by their `kind`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from cattrs import ClassValidationError, Converter, IterableValidationError
from cattrs.v import format_exception, transform_error

from agentwire.errors import InvalidParams
from agentwire.events import CLASS_OF, VERSION_OF

T = TypeVar("T")


def _strict(expected: type[Any]) -> Any:
    def check(value: Any, _: Any) -> Any:
        if type(value) is expected or (expected is float and type(value) is int):
            return value
        raise ValueError(f"expected {_NAMES[expected]}, got {_describe(value)}")

    return check


_NAMES = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


def _describe(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _make(*, detailed: bool) -> Converter:
    converter = Converter(forbid_extra_keys=True, detailed_validation=detailed)
    for primitive in _NAMES:
        converter.register_structure_hook(primitive, _strict(primitive))
    return converter


_wire = _make(detailed=True)  # says where a value is wrong
_stored = _make(detailed=False)  # what we wrote ourselves: faster
_decoder = msgspec.json.Decoder()


def structure(value: Any, cls: type[T]) -> T:
    """A wire value as `cls`. Raises InvalidParams that names every wrong field."""
    try:
        return _wire.structure(value, cls)
    except (ClassValidationError, IterableValidationError) as error:
        raise InvalidParams("; ".join(transform_error(error, path="params", format_exception=_explain))) from None
    except (ValueError, TypeError) as error:
        raise InvalidParams(f"params: {error}") from None


def _explain(error: BaseException, kind: type[Any] | None) -> str:
    return str(error) if isinstance(error, ValueError) and error.args else format_exception(error, kind)


def upcast(kind: str, version: int, data: dict[str, Any]) -> dict[str, Any]:
    """Stored data of any released version as the current version's data. Rows are never rewritten. No kind has two versions yet."""
    if version != VERSION_OF[kind]:
        raise ValueError(f"event {kind} has version {version}, which this release does not know")
    return data


def structure_body(kind: str, version: int, data: bytes | Mapping[str, Any]) -> Any:
    """A stored event body as its class."""
    plain = _decoder.decode(data) if isinstance(data, bytes) else dict(data)
    return _stored.structure(upcast(kind, version, plain), CLASS_OF[kind])


def structure_stored(value: Any, cls: type[T]) -> T:
    """Any other value of our own (snapshots)."""
    return _stored.structure(value, cls)


def plain(value: object) -> Any:
    """An attrs instance as JSON values."""
    return msgspec.to_builtins(value)
