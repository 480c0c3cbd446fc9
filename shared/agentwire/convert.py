"""The only converter: JSON values <-> attrs classes. Strict: nothing is coerced, unknown keys are errors.

msgspec encodes attrs classes but cannot decode unions of them, so cattrs structures (parts are told apart by their `kind`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Literal, TypeVar, get_args, get_origin

import attrs
import msgspec
from cattrs import ClassValidationError, Converter, ForbiddenExtraKeysError, IterableValidationError
from cattrs.cols import homogenous_tuple_structure_factory
from cattrs.gen import make_dict_structure_fn, mapping_structure_factory

from agentwire.errors import InvalidParams
from agentwire.events import CLASS_OF, VERSION_OF
from agentwire.stored import read

T = TypeVar("T")

MAX_ITEMS = 10_000
"""Items of one list or object: explaining what is wrong with a million of them would hold up everybody for 20 s."""
_MAX_REASONS = 5


def _strict(expected: type[Any]) -> Any:
    def check(value: Any, _: Any) -> Any:
        if type(value) is int and expected is int and value.bit_length() > 63:
            raise ValueError(f"expected a whole number of at most 63 bits, got {_describe(value)}")
        if type(value) is expected or (expected is float and type(value) is int):
            return value
        raise ValueError(f"expected {_NAMES[expected]}, got {_describe(value)}")

    return check


_NAMES = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


def _describe(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _one_of(value: Any, literal: Any) -> Any:
    words = get_args(literal)
    # type() as well: True == 1, and a list is not hashable but comparable.
    if any(type(value) is type(word) and value == word for word in words):
        return value
    expected = repr(words[0]) if len(words) == 1 else "one of " + ", ".join(map(repr, words))
    raise ValueError(f"expected {expected}, got {_describe(value)}")


def _only(kinds: type[Any] | tuple[type[Any], ...], expected: str, inner: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """`inner`, but for values of these types only: cattrs would iterate over a string or ask a list for its keys."""

    def check(value: Any, target: Any) -> Any:
        if not isinstance(value, kinds):
            raise ValueError(f"expected {expected}, got {_describe(value)}")
        if len(value) > MAX_ITEMS:
            raise ValueError(f"expected {expected} of at most {MAX_ITEMS} items, got {len(value)}")
        return inner(value, target)

    return check


def _origin(target: Any) -> Any:
    return get_origin(target)


def _make(*, detailed: bool) -> Converter:
    converter = Converter(forbid_extra_keys=True, detailed_validation=detailed)
    for primitive in _NAMES:
        converter.register_structure_hook(primitive, _strict(primitive))
    return converter


def _make_explaining() -> Converter:
    converter = _make(detailed=True)
    converter.register_structure_hook_func(lambda target: _origin(target) is Literal, _one_of)
    converter.register_structure_hook_factory(
        lambda target: _origin(target) is tuple,
        lambda target: _only((list, tuple), "a list", homogenous_tuple_structure_factory(target, converter)),
    )
    converter.register_structure_hook_factory(
        lambda target: _origin(target) is dict,
        lambda target: _only(dict, "an object", mapping_structure_factory(target, converter)),
    )
    converter.register_structure_hook_factory(
        attrs.has, lambda target: _only(dict, "an object", make_dict_structure_fn(target, converter))
    )
    return converter


_wire = _make_explaining()
_stored = _make(detailed=False)  # what we wrote ourselves: faster
_decoder = msgspec.json.Decoder()


def structure(value: Any, cls: type[T], path: str = "params") -> T:
    """A wire value as `cls`. Raises InvalidParams that names the first five wrong fields by their paths from `path`."""
    try:
        return _wire.structure(value, cls)
    except (ClassValidationError, ValueError) as error:
        reasons = list(islice(_reasons(error, path), _MAX_REASONS + 1))
        raise InvalidParams("; ".join([*reasons[:_MAX_REASONS], *(["and more"] if len(reasons) > _MAX_REASONS else [])])) from None


def _reasons(error: Exception, path: str) -> Iterator[str]:
    if isinstance(error, ClassValidationError):
        fields, others = error.group_exceptions()
        yield from (reason for inner, note in fields for reason in _reasons(inner, f"{path}.{note.name}"))
        yield from (reason for inner in others for reason in _reasons(inner, path))
    elif isinstance(error, IterableValidationError):
        items, others = error.group_exceptions()
        yield from (reason for inner, item in items for reason in _reasons(inner, f"{path}[{item.index!r}]"))
        yield from (reason for inner in others for reason in _reasons(inner, path))
    elif isinstance(error, ForbiddenExtraKeysError):
        yield from (f"{path}.{key}: there is no such field" for key in sorted(map(str, error.extra_fields)))
    elif isinstance(error, KeyError):
        # A field that is missing, or the word by which cattrs tells the classes of a union apart.
        yield f"{path}: is required" if path.endswith(f".{error.args[0]}") else f"{path}: is of no known kind"
    elif isinstance(error, ValueError):
        said = str(error.args[0])
        yield f"{path}: expected an object" if said == _NO_MAPPING else _from_validator(said, path)
    else:
        yield f"{path}: is not valid"


_NO_MAPPING = "Only input mappings are supported."
"""What cattrs says of a value that is to be of one of several classes."""

# attrs' validators name the field in their text, and cattrs meets them only when the whole object is built.
_VALIDATORS = (
    (re.compile(r"Length of '(\w+)' must be >= 1: 0"), "must not be empty"),
    (re.compile(r"Length of '(\w+)' must be <= (\d+): (\d+)"), "expected at most {1} characters, got {2}"),
    (re.compile(r"'(\w+)' must be >= (\S+): (.+)"), "expected at least {1}, got {2}"),
    (re.compile(r"'(\w+)' must be <= (\S+): (.+)"), "expected at most {1}, got {2}"),
    (re.compile(r"'(\w+)' must match regex '(.+)' \((.*) doesn't\)", re.DOTALL), "expected text that matches {1}, got {2}"),
)


def _from_validator(text: str, path: str) -> str:
    for pattern, words in _VALIDATORS:
        if match := pattern.fullmatch(text):
            field, *rest = match.groups()
            return f"{path}.{field}: " + words.format("", *(part[:40] for part in rest))
    return f"{path}: {text}"


def upcast(kind: str, version: int, data: dict[str, Any]) -> dict[str, Any]:
    """Stored data of any released version as the current version's data. Rows are never rewritten. No kind has two versions yet."""
    if version != VERSION_OF[kind]:
        raise ValueError(f"event {kind} has version {version}, which this release does not know")
    return data


def structure_body(kind: str, version: int, data: bytes | Mapping[str, Any]) -> Any:
    """A stored event body as its class."""
    if isinstance(data, bytes):
        body = read(data, CLASS_OF[kind]) if version == VERSION_OF[kind] else None
        return _structure_body(kind, version, _decoder.decode(data)) if body is None else body
    return _structure_body(kind, version, dict(data))


def _structure_body(kind: str, version: int, data: dict[str, Any]) -> Any:
    return _stored.structure(upcast(kind, version, data), CLASS_OF[kind])


def structure_stored(data: bytes | Mapping[str, Any], cls: type[T]) -> T:
    """Any other value of our own (snapshots). Raises ValueError if it is not one."""
    try:
        value: T | None = read(data, cls) if isinstance(data, bytes) else None
        if value is None:
            value = _stored.structure(_decoder.decode(data) if isinstance(data, bytes) else data, cls)
        return value
    except (TypeError, KeyError, AttributeError, ForbiddenExtraKeysError) as error:
        raise ValueError(f"not a {cls.__name__}: {error!r}") from error


def plain(value: object) -> Any:
    """An attrs instance as values that JSON has; lists stay tuples."""
    return msgspec.to_builtins(value)
