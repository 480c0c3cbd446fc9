"""JSON as the bytes of a request; that of the tools, which is most of what a request has beside its messages, only once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from agentd.ports import ToolSpec

_encoder = msgspec.json.Encoder()


def as_json(value: Any) -> bytes:
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:  # a lone surrogate: replaced, as on our own wire
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=lambda raw: json.loads(bytes(raw)))
        return text.encode("utf-8", "replace")


class EncodedTools:
    """The tools as a host takes them, each in the form that `described` gives it. Encoded once for as long as they are the same."""

    def __init__(self, described: Callable[[Sequence[ToolSpec]], list[dict[str, Any]]]) -> None:
        self._described = described
        self._tools: tuple[ToolSpec, ...] | None = None
        self._json = msgspec.Raw()

    def json(self, tools: Sequence[ToolSpec]) -> msgspec.Raw:
        """All requests of a turn have the very same tuple; a list, which may have changed, is looked at anew each time."""
        tools = tuple(tools)  # a tuple stays itself
        if tools is not self._tools:
            self._json = msgspec.Raw(as_json(self._described(tools)))
            self._tools = tools
        return self._json
