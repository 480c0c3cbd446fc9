"""Conversations for exports and imports: any text, any shape that a session can have."""

from __future__ import annotations

import hashlib
from typing import Any

from hypothesis import strategies as st

from agentwire.types import BlobRef, Citation, HistoryMessage, Image, Reasoning, Text, ToolCall, ToolResult

HOSTILE = (
    "<!-- agentd:end -->",
    "\\<!-- agentd:text -->",
    "<!-- agentd:user -->\r",
    "## User",
    "```",
    "````json",
    "~~~",
    "\n",
    "\r\n",
    "\u2028",
    "\x1b[2J",
    "\x00",
    "-->",
    "# not a title",
    " trailing ",
    "日本語🙂",
)
texts = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=20), max_size=6).flatmap(
    lambda pieces: st.sampled_from(["".join(pieces), "\n".join(pieces)])
)
names = st.text(min_size=1, max_size=8)
contents = st.binary(max_size=200)


def blob(content: bytes) -> BlobRef:
    """The reference to it."""
    head = content[:20].decode("utf-8", "replace")
    return BlobRef(blob=hashlib.sha256(content).hexdigest(), bytes=len(content), media="text/plain", head=head)


users = st.lists(texts.map(lambda text: Text(text=text)), min_size=1, max_size=2).map(
    lambda parts: HistoryMessage(role="user", parts=tuple(parts))
)
vendors = st.none() | st.dictionaries(names, st.text(max_size=5) | st.integers(-9, 9), max_size=2)
replies = st.lists(
    texts.map(lambda text: Text(text=text))
    | st.builds(Reasoning, text=texts, vendor=vendors)
    | st.builds(ToolCall, id=names, name=names, arguments_json=texts)
    | st.builds(Citation, url=texts, title=texts, quote=texts),
    min_size=1,
    max_size=3,
).map(lambda parts: HistoryMessage(role="assistant", parts=tuple(parts)))
results = st.lists(
    st.builds(
        ToolResult,
        call=names,
        parts=st.lists(texts.map(lambda text: Text(text=text)), max_size=2).map(tuple),
        is_error=st.booleans(),
    ),
    min_size=1,
    max_size=2,
).map(lambda parts: HistoryMessage(role="tool", parts=tuple(parts)))
histories = st.lists(users | replies | results, max_size=6)


def with_blob(content: bytes) -> HistoryMessage:
    """A result whose text went to a blob."""
    return HistoryMessage(role="tool", parts=(ToolResult(call="c", parts=(blob(content), Text(text="and more"))),))


def with_image(content: bytes) -> HistoryMessage:
    """A picture that the user shows."""
    shown = Image(blob=hashlib.sha256(content).hexdigest(), bytes=len(content), media="image/png")
    return HistoryMessage(role="user", parts=(Text(text="look"), shown))


def said(messages: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Who said what in words."""
    texts = [(message["role"], [part["text"] for part in message["parts"] if part["kind"] == "text"]) for message in messages]
    return [(role, parts) for role, parts in texts if parts]
