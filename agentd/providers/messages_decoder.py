"""Anthropic's Messages dialect, sans-IO: the reply's bytes in any split -> deltas (the request: messages_request.py).

Theory of operation: a reply is a sequence of blocks, each begun, added to and ended by events that name its index; blocks of text,
thinking and tool use become parts, those of the vendor's own server tools are passed over. A text's citations may come before
their text: they are given when its block ends, as parts of their own. So is a thought's signature, without which it cannot go back.
Usage is cumulative, and comes twice: what the request took at the beginning, the rest at the end
(https://platform.claude.com/docs/en/build-with-claude/streaming).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from agentd.providers.decoding import Decoding
from agentd.providers.messages_errors import classify
from agentwire.errors import ProviderDown
from agentwire.types import Citation, PartKind, StopReason, Usage


class _Cited(Struct, gc=False):
    cited_text: str | None = None
    url: str | None = None  # web search
    source: str | None = None  # search results
    title: str | None = None
    document_title: str | None = None


class _Delta(Struct, gc=False):
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    signature: str | None = None
    citation: _Cited | None = None
    stop_reason: str | None = None  # of the whole message


class _Begun(Struct, gc=False):
    type: str = ""
    name: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    input: Any = None


class _OutputDetails(Struct, gc=False):
    thinking_tokens: int | None = None


class _Usage(Struct, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None


class _Message(Struct, gc=False):
    usage: _Usage | None = None


class _Event(Struct, gc=False):
    """Any event: a union with a struct for each would refuse those that are new."""

    type: str = ""
    index: int = 0
    delta: _Delta | None = None
    content_block: _Begun | None = None
    message: _Message | None = None
    usage: _Usage | None = None
    error: Any = None


_events = msgspec.json.Decoder(_Event)
_decode = _events.decode

_REASONS: Mapping[str, StopReason] = {
    "end_turn": "end",
    "stop_sequence": "end",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",  # of the vendor's own tools: there would be more, but it is not asked for
    "refusal": "refused",
}
_KINDS: Mapping[str, PartKind] = {
    "text": "text",
    "thinking": "reasoning",
    "redacted_thinking": "reasoning",
    "tool_use": "tool_call",
}
"""Of blocks. All others are the vendor's server tools at work."""


class _Block:
    """A block under way. `part` None: nothing was said yet. `bare`: its start is all that came."""

    __slots__ = ("bare", "begun", "citations", "part", "signature")

    def __init__(self, begun: _Begun, part: int | None) -> None:
        self.begun = begun
        self.part = part
        self.bare = True
        self.signature = begun.signature or ""
        self.citations: list[_Cited] = []


class MessagesDecoder(Decoding):
    """A `Decoder` for one reply. `seal` goes with every signature, to know whose it is. `seam`: white space at the end of the text
    that the reply goes on from; the model may or may not repeat it."""

    def __init__(self, who: str = "The model server", *, seal: Mapping[str, str] | None = None, seam: str = "") -> None:
        super().__init__(who)
        self._seal = seal or {}
        self._seam = seam
        self._blocks: dict[int, _Block | None] = {}  # None: of no concern to us
        self._spent = _Usage()

    def _event(self, event: bytes) -> bool:
        try:
            said = _decode(event)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            if event == b"[DONE]":  # from hosts that are made for another dialect
                return self.complete
            said = self._decoded(_events, event, "event of a message")
        kind = said.type
        if kind == "ping":
            return False
        self.events += 1
        if kind == "content_block_delta":
            if said.delta is not None:
                self._delta(said.index, said.delta)
        elif kind == "content_block_start":
            self._begin(said.index, said.content_block or _Begun())
        elif kind == "content_block_stop":
            self._end(said.index)
        else:
            return self._whole(said, event)
        return False

    def _whole(self, said: _Event, event: bytes) -> bool:
        """What concerns the message as a whole."""
        if said.type == "error" or said.error is not None:
            raise classify(self._who, None, {"error": said.error})
        if not said.type:
            raise ProviderDown(
                f"{self._who} sent an event that is no event of a message: {event[:80].decode('utf-8', 'replace')!r}"
            )
        if said.type == "message_start" and said.message is not None:
            self._spend(said.message.usage)
        elif said.type == "message_delta":
            self._spend(said.usage)
            if said.delta is not None and said.delta.stop_reason:
                self._reason = _REASONS.get(said.delta.stop_reason, "end")
        if self.complete or said.type == "message_stop":
            for index in list(self._blocks):
                self._end(index)
        return said.type == "message_stop"

    def _begin(self, index: int, begun: _Begun) -> None:
        self._end(index)
        kind = _KINDS.get(begun.type)
        if kind is None:
            self._blocks[index] = None
            return
        block = self._blocks[index] = _Block(begun, None if kind == "text" else self._start(kind, begun.name or ""))
        if text := begun.text or begun.thinking:
            self._say(block, text)

    def _delta(self, index: int, delta: _Delta) -> None:
        try:
            block = self._blocks[index]
        except KeyError:
            raise ProviderDown(f"{self._who} sent more of a block that it never began") from None
        if block is None:
            return
        text = delta.text or delta.thinking or delta.partial_json
        if text:
            self._say(block, text)
        elif delta.signature:
            block.signature += delta.signature
        elif delta.citation is not None:
            block.citations.append(delta.citation)

    def _say(self, block: _Block, text: str) -> None:
        block.bare = False
        part = block.part
        if part is None:
            if self._seam and not (text := self._fitting(text)):
                return
            part = block.part = self._start("text")
        self._add(part, text)

    def _fitting(self, text: str) -> str:
        """The reply's first text, without what it repeats of the seam."""
        while text and self._seam and text[0] == self._seam[0]:
            text, self._seam = text[1:], self._seam[1:]
        if text:
            self._seam = ""
        return text

    def _end(self, index: int) -> None:
        block = self._blocks.pop(index, None)
        if block is None:
            return
        begun, part = block.begun, block.part
        if part is not None and begun.type == "tool_use" and block.bare:  # without arguments, or with all of them at its start
            self._add(part, msgspec.json.encode(begun.input or {}).decode())
        elif part is not None and begun.type == "redacted_thinking":
            self._reply.seal(part, {**self._seal, "data": begun.data or ""})
        elif part is not None and begun.type == "thinking" and block.signature:
            self._reply.seal(part, {**self._seal, "signature": block.signature})
        for cited in block.citations:
            title, url = cited.title or cited.document_title or "", cited.url or cited.source or ""
            self._reply.cite(Citation(url=url, title=title, quote=cited.cited_text or ""))

    def _spend(self, usage: _Usage | None) -> None:
        """The later report holds, but hosts leave out of it, or send as 0, what they said before."""
        if usage is None:
            return
        before = self._spent
        for name in _Usage.__struct_fields__:
            if not getattr(usage, name):
                setattr(usage, name, getattr(before, name))
        self._spent = usage
        cached, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
        details = usage.output_tokens_details
        self._usage = Usage(
            input=(usage.input_tokens or 0) + written + cached,
            output=usage.output_tokens or 0,
            cached=cached,
            written=written,
            reasoning=(details and details.thinking_tokens) or 0,
        )
