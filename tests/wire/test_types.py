"""Value types: frozen, keyword-only, told apart by their kind."""

from __future__ import annotations

from typing import Any, get_args

import attrs
import pytest
from hypothesis import given

from agentwire import types
from agentwire.convert import plain
from agentwire.types import LongPrice, Part, Price, Usage
from tests.wire.strategies import values

CLASSES = [cls for cls in vars(types).values() if isinstance(cls, type) and attrs.has(cls)]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_types_are_frozen_and_by_name(cls: type[Any]) -> None:
    """Nobody changes a value that somebody else holds, and fields can be added without breaking a call."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(object.__new__(cls), attrs.fields(cls)[0].name, None)
    assert all(field.kw_only for field in attrs.fields(cls))


def test_parts_are_told_apart_by_kind() -> None:
    """Each part class has its own word, which it sends."""
    kinds = [attrs.fields_dict(cls)["kind"].default for cls in (*get_args(Part), types.BlobRef)]
    assert kinds == ["text", "reasoning", "tool_call", "tool_result", "citation", "image", "file", "blob"]
    assert plain(types.Text(text="x")) == {"text": "x", "kind": "text"}


@given(values(Usage), values(Usage))
def test_usage_adds_up(one: Usage, other: Usage) -> None:
    """Field by field."""
    total = one + other
    assert plain(total) == {name: value + plain(other)[name] for name, value in plain(one).items()}
    assert one + Usage() == one


def test_long_requests_have_their_own_price() -> None:
    """Above a number of tokens of input all of a request costs what the longest step below it says."""
    longer = [LongPrice(tokens=tokens, input=price, output=price, cached=0.1) for tokens, price in ((100, 2.0), (200, 3.0))]
    price = Price(input=1.0, output=1.0, cached=0.1, above=tuple(longer))
    assert [price.at(tokens).input for tokens in (0, 100, 101, 200, 201)] == [1.0, 1.0, 2.0, 2.0, 3.0]
    assert price.at(300).above == ()
