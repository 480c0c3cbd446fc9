"""Conversations that come from elsewhere: a fork's and an import's messages, as events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import evolve

from agentd.ports import Message
from agentwire.errors import InvalidParams
from agentwire.events import MAX_EVENT, MessageAdded, encode_body
from agentwire.types import BlobRef, HistoryMessage, Part, Reasoning, Text, ToolCall, ToolResult

_LIMIT = MAX_EVENT // 2
"""Bytes of one event: a message may be longer, for an interrupted reply and what continues it are one message."""
_SLICE = MAX_EVENT // 8
"""Characters of a text that is cut: in JSON one may take six bytes, and two of them surrogates."""

_MAY_HOLD = {"user": (Text,), "assistant": (Text, Reasoning, ToolCall), "tool": (ToolResult,)}


def added(messages: Sequence[Message | HistoryMessage]) -> list[MessageAdded]:
    """The events that bring `messages` into a session: one each, or more for one that is long."""
    return [MessageAdded(role=message.role, parts=parts) for message in messages for parts in _pieces(message.parts)]


def _pieces(parts: Sequence[Part]) -> Iterator[tuple[Part, ...]]:
    piece: list[Part] = []
    size = 0
    for part in _short(parts):
        length = len(encode_body(part))
        if piece and size + length > _LIMIT:
            yield tuple(piece)
            piece, size = [], 0
        piece.append(part)
        size += length
    yield tuple(piece)


def _short(parts: Sequence[Part]) -> Iterator[Part]:
    for part in parts:
        if isinstance(part, Text) and len(part.text) > _SLICE:
            yield from (evolve(part, text=part.text[at : at + _SLICE]) for at in range(0, len(part.text), _SLICE))
        else:
            yield part


def blobs_of(messages: Sequence[Message | HistoryMessage]) -> frozenset[str]:
    """The blobs that tool results refer to."""
    results = (part for message in messages for part in message.parts if isinstance(part, ToolResult))
    return frozenset(inner.blob for result in results for inner in result.parts if isinstance(inner, BlobRef))


def refuse_misplaced(messages: Sequence[HistoryMessage]) -> None:
    """Error handling: InvalidParams naming the first part that a message of its role cannot have."""
    for index, message in enumerate(messages):
        for place, part in enumerate(message.parts):
            if not isinstance(part, _MAY_HOLD[message.role]):
                raise InvalidParams(f"params.messages[{index}].parts[{place}]: a {message.role} message has no {part.kind}")
