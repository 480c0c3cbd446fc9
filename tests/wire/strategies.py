"""Hypothesis strategies for wire types, read off their annotations."""

from __future__ import annotations

from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import attrs
import msgspec
from hypothesis import strategies as st

from agentwire.types import Preferences, Todo

texts = st.text(max_size=12)
primitives: dict[Any, st.SearchStrategy[Any]] = {
    type(None): st.none(),
    bool: st.booleans(),
    # What JSON readers everywhere hold exactly.
    int: st.integers(-(2**53) + 1, 2**53 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: texts,
    Any: texts | st.integers(0, 9) | st.lists(texts, max_size=2),
    # Its numbers are bounded.
    Preferences: st.builds(
        Preferences,
        model=st.none() | texts,
        max_steps=st.none() | st.integers(0, 10_000),
        instructions=st.none() | texts,
        pinned=st.none() | st.booleans(),
        mode=st.sampled_from([None, "", "default", "plan", "bypass"]),
    ),
    Todo: st.builds(Todo, text=st.text(min_size=1, max_size=12), state=st.sampled_from(["pending", "in_progress", "done"])),
}


def values(target: Any) -> st.SearchStrategy[Any]:
    """Values of a wire type: a primitive, a Literal, `tuple[T, ...]`, `list[T]`, `dict[str, T]`, a union, a class."""
    if target in primitives:
        return primitives[target]
    origin, inner = get_origin(target), get_args(target)
    if origin is Literal:
        return st.sampled_from(inner)
    if origin in (tuple, list):
        return st.lists(values(inner[0]), max_size=3).map(origin)
    if origin is dict:
        return st.dictionaries(texts, values(inner[1]), max_size=2)
    if origin in (Union, UnionType):
        return st.one_of(*map(values, inner))
    hints = get_type_hints(target)
    if issubclass(target, msgspec.Struct):
        return st.builds(target, **{name: values(hints[name]) for name in target.__struct_fields__})
    return st.builds(target, **{field.alias: values(hints[field.name]) for field in attrs.fields(target) if field.init})
