"""Conversations that come from elsewhere: a fork's and an import's messages, as events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import evolve

from agentd.ports import Message
from agentwire.errors import InvalidParams
from agentwire.events import MAX_EVENT, MessageAdded, encode_body
from agentwire.types import BlobRef, Citation, Cut, File, HistoryMessage, Image, Part, Reasoning, Text, ToolCall, ToolResult

_LIMIT = MAX_EVENT // 2
"""Bytes of one event: a message may be longer, for an interrupted reply and what continues it are one message."""
_SLICE = MAX_EVENT // 8
"""Characters of a text that is cut: in JSON one takes six bytes at most."""

_MAY_HOLD = {"user": (Text, Image, File), "assistant": (Text, Reasoning, ToolCall, Citation), "tool": (ToolResult,)}


def added(messages: Sequence[Message | HistoryMessage]) -> list[MessageAdded]:
    """The events that bring `messages` into a session: one each, or more for one that is long."""
    return [
        MessageAdded(role=message.role, parts=parts, more=more) for message in messages for parts, more in _pieces(message.parts)
    ]


def _pieces(parts: Sequence[Part]) -> Iterator[tuple[tuple[Part, ...], Cut]]:
    piece: list[Part] = []
    size = 0
    for part in parts:
        for number, short in enumerate(_slices(part)):
            length = len(encode_body(short))
            if piece and (number or size + length > _LIMIT):
                yield tuple(piece), "text" if number else "parts"
                piece, size = [], 0
            piece.append(short)
            size += length
    yield tuple(piece), ""


def _slices(part: Part) -> Sequence[Part]:
    if not isinstance(part, Text) or len(part.text) <= _SLICE or len(encode_body(part)) <= _LIMIT:
        return (part,)
    return [evolve(part, text=part.text[at : at + _SLICE]) for at in range(0, len(part.text), _SLICE)]


def blobs_of(messages: Sequence[Message | HistoryMessage]) -> frozenset[str]:
    """The blobs that tool results, images and files refer to."""
    parts = [part for message in messages for part in message.parts]
    inside = (inner for part in parts if isinstance(part, ToolResult) for inner in part.parts)
    return frozenset(part.blob for part in (*parts, *inside) if isinstance(part, BlobRef | Image | File))


def refuse_misplaced(messages: Sequence[HistoryMessage]) -> None:
    """Error handling: InvalidParams naming the first message without parts, or part that a message of its role cannot have."""
    for index, message in enumerate(messages):
        if not message.parts:
            raise InvalidParams(f"params.messages[{index}].parts: a message says something")
        for place, part in enumerate(message.parts):
            if not isinstance(part, _MAY_HOLD[message.role]):
                raise InvalidParams(f"params.messages[{index}].parts[{place}]: a {message.role} message has no {part.kind}")
