"""Reading what we wrote ourselves, fast: event bodies and snapshots as their classes.

Theory of operation: msgspec decodes attrs classes in C, but not unions of them. What has no such union inside is left to it
altogether. A class with one is decoded as its shell, a struct of the same fields in which those with a union inside are left as
they are; they are built here, the members of a union told apart by their `kind`. msgspec passes over keys it does not know and
reads 1 as 1.0, so a value counts only if it is written again as the very same bytes: for everything else there is the strict
converter (convert.py), which knows the words for what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import attrs
import msgspec

Reader = Callable[[Any], Any]

_encode = msgspec.json.Encoder().encode
_WRONG = (ValueError, TypeError, KeyError, RecursionError)
"""What a reader raises for a value that is not its type's; msgspec's errors are ValueErrors."""


def read(data: bytes, cls: Any) -> Any:
    """`data` as a `cls`; None if it is not, or not exactly what is written for that value today."""
    try:
        value = _decoder(cls)(data)
    except _WRONG:
        return None
    return value if _encode(value) == data else None


@cache
def _decoder(cls: Any) -> Callable[[bytes], Any]:
    if not _mixed(cls):
        return msgspec.json.Decoder(cls).decode
    shell, build = _shell(cls), _builder(cls)
    decode = msgspec.json.Decoder(shell).decode
    return lambda data: build(decode(data))


@cache
def _mixed(target: Any) -> bool:
    """Whether a union of several classes is anywhere inside."""
    if attrs.has(target):
        return any(map(_mixed, get_type_hints(target).values()))
    inner = get_args(target)
    return sum(map(attrs.has, inner)) > 1 or any(map(_mixed, inner))


def _shell(cls: type[Any]) -> type[msgspec.Struct]:
    hints = get_type_hints(cls)
    fields = [each for each in attrs.fields(cls) if each.init]
    shell = [(each.name, Any if _mixed(hints[each.name]) else hints[each.name], _default(each)) for each in fields]
    return msgspec.defstruct(cls.__name__, shell, kw_only=True, gc=False)


def _default(field: attrs.Attribute[Any]) -> Any:
    default: Any = field.default
    if default is attrs.NOTHING:
        return msgspec.field()
    return msgspec.field(default_factory=getattr(default, "factory", lambda: default))


def _builder(cls: type[Any]) -> Reader:
    """From a shell to its class."""
    mixed = [(name, _reader(hint)) for name, hint in get_type_hints(cls).items() if _mixed(hint)]

    def build(shell: Any) -> Any:
        values = msgspec.structs.asdict(shell)
        for name, inner in mixed:
            values[name] = inner(values[name])
        return cls(**values)

    return build


def _reader(target: Any) -> Reader:
    """From the values JSON has to those of `target`."""
    if not _mixed(target):
        return partial(msgspec.convert, type=target)
    if attrs.has(target):
        shell, build = _shell(target), _builder(target)
        return lambda value: build(msgspec.convert(value, shell))
    origin, inner = get_origin(target), get_args(target)
    if origin in (tuple, list):
        item = _reader(inner[0])
        return lambda values: origin([item(value) for value in values])
    if origin is dict:
        item = _reader(inner[1])
        return lambda values: {key: item(value) for key, value in values.items()}
    return _union([member for member in inner if member is not NoneType], optional=NoneType in inner)


def _union(members: list[Any], *, optional: bool) -> Reader:
    if len(members) == 1:
        only = _reader(members[0])
        return lambda value: None if value is None and optional else only(value)
    table = {attrs.fields_dict(member)["kind"].default: _reader(member) for member in members}
    return lambda value: None if value is None and optional else table[value["kind"]](value)
