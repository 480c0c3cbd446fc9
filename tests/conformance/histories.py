"""Histories as sessions record them, for any model: turns with calls and results, interrupted replies, images, others' thoughts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from hypothesis import strategies as st

from agentd.ports import Message
from agentwire.types import BlobRef, Citation, File, Image, Part, Reasoning, Text, ToolCall, ToolResult

BLOBS: Final[Mapping[str, bytes]] = {letter * 64: letter.encode() * 5 for letter in "abc"}
"""The contents that may be at hand; an image or file may also be of one that is not."""

_CALLS = 4  # ids that are used again and again: vendors' are not unique over a session

texts = st.text(min_size=1, max_size=6) | st.just("a\ud800b")
blobs = st.sampled_from((*BLOBS, "d" * 64))
images = st.builds(Image, blob=blobs, bytes=st.just(5), media=st.sampled_from(("image/png", "image/jpeg")))
files = st.builds(
    File, blob=blobs, bytes=st.just(5), media=st.sampled_from(("application/pdf", "text/plain")), name=st.just("x.pdf")
)
said = st.builds(Text, text=texts)
seals = st.sampled_from(
    (
        None,
        {"provider": "openai"},
        {"provider": "deepseek"},
        {"provider": "anthropic", "model": "m", "signature": "c2ln"},
        {"provider": "anthropic", "model": "m", "redacted": "ZGF0YQ=="},
        {"provider": "openai", "model": "m", "id": "rs_1", "encrypted_content": "ZW5j"},
    )
)
thoughts = st.builds(Reasoning, text=texts | st.just(""), vendor=seals)
citations = st.builds(Citation, url=st.just("https://x.test"), title=texts)
outputs = said | st.builds(BlobRef, blob=blobs, bytes=st.just(99), media=st.just("text/plain"), head=texts) | images


@st.composite
def calls(draw: st.DrawFn) -> list[ToolCall]:
    """No, one or several calls of one reply, with what the model took for arguments."""
    ids = draw(st.lists(st.integers(0, _CALLS), unique=True, max_size=2))
    arguments = st.sampled_from(('{"a": 1}', "{}", "", "{", "[1]", "null", '{"a": "\ud800"}'))
    return [ToolCall(id=f"call_{number}", name="look", arguments_json=draw(arguments)) for number in ids]


@st.composite
def steps(draw: st.DrawFn) -> list[Message]:
    """One reply, whole or cut off anywhere, and the results of its calls."""
    parts: list[Part] = [*draw(st.lists(thoughts, max_size=2)), *draw(st.lists(said | citations, max_size=2)), *draw(calls())]
    asked = [part for part in parts if isinstance(part, ToolCall)]
    results = [
        ToolResult(call=call.id, parts=tuple(draw(st.lists(outputs, max_size=2))), is_error=draw(st.booleans())) for call in asked
    ]
    reply = Message("assistant", tuple(parts))
    return [reply, Message("tool", tuple(results))] if results else [reply]


@st.composite
def histories(draw: st.DrawFn) -> Sequence[Message]:
    """At least one turn; its end is anywhere, as a log's may be."""
    messages: list[Message] = []
    for _ in range(draw(st.integers(1, 3))):
        shown: list[Part] = [draw(said), *draw(st.lists(said | images | files, max_size=2))]
        messages.append(Message("user", tuple(shown)))
        for step in draw(st.lists(steps(), max_size=3)):
            messages += step
    return messages[: draw(st.integers(1, len(messages)))]
