"""The arguments of file tools."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from attrs import frozen

Count = Annotated[int, msgspec.Meta(ge=0)]
GrepMode = Literal["content", "files", "count"]


@frozen
class Read:
    path: str
    offset: Count = 1
    limit: Annotated[int, msgspec.Meta(ge=1)] = 2000


@frozen
class Write:
    path: str
    content: str


@frozen
class Edit:
    path: str
    old: str
    new: str
    all: bool = False


@frozen
class Glob:
    pattern: str
    path: str = "."


@frozen
class Grep:
    pattern: str
    path: str = "."
    glob: str = ""
    ignore_case: bool = False
    context: Annotated[int, msgspec.Meta(ge=0, le=50)] = 0
    mode: GrepMode = "content"
    limit: Annotated[int, msgspec.Meta(ge=1, le=5000)] = 200
