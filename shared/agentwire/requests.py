"""What requests of several nouns have in common."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen
from attrs import validators as v

PAGE: Any = v.and_(v.ge(1), v.le(1000))
"""Of the number of items on a page."""
SOME_TEXT: Any = v.min_len(1)


@frozen(kw_only=True)
class Empty:
    """No parameters, or nothing to say but that it was done."""


@frozen(kw_only=True)
class SessionRef:
    """`session` is an id or a unique beginning of one."""

    session: str = field(validator=SOME_TEXT)
