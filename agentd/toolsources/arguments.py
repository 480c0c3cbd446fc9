"""A call's arguments as a class. Models are taken as they mean it: null is left out, "5" is a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from attrs import AttrsInstance, fields

from agentwire.errors import ToolError

T = TypeVar("T", bound=AttrsInstance)


def structured(arguments: Mapping[str, Any], kind: type[T]) -> T:
    """The arguments as `kind`, an attrs class. Raises ToolError in words that a model can act on."""
    given = {name: value for name, value in arguments.items() if value is not None}
    known = [field.name for field in fields(kind)]
    if unknown := [name for name in given if name not in known]:
        raise ToolError(f"there is no argument {', '.join(unknown)}; the arguments are: {', '.join(known)}")
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ToolError(f"the arguments do not fit: {error}") from None
