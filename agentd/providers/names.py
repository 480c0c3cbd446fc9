"""Names and ids as hosts take them: models make up others, and a history with one of those would be refused for good."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

_ODD: Final = re.compile(r"[^a-zA-Z0-9_-]")


def plain(name: str, length: int) -> str:
    """At most `length` letters, digits, `_` and `-`, and never none."""
    return _ODD.sub("_", name)[:length] or "_"


def short_id(call: str) -> str:
    """Nine letters and digits for the id of a call, always the same: Mistral takes no others, OpenAI none over 40."""
    return sha256(call.encode("utf-8", "replace")).hexdigest()[:9]
