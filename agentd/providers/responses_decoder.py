"""OpenAI's Responses dialect, sans-IO: the reply's bytes in any split -> deltas (the request: responses_request.py).

Theory of operation: a reply is a list of items (reasoning, message, function_call), each announced, streamed and closed by events
of its own, which name it by its place in the list. An item becomes a part when it has something to show, and a message one more
after each citation, so that a citation stands behind the words it is for. Items and events that we do not know are passed over:
new ones come all the time. Only the response's own last event ends a reply; a body that ends without it was cut off
(https://platform.openai.com/docs/api-reference/responses-streaming).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from agentd.providers.chat_errors import classify
from agentd.providers.decoding import Decoding
from agentwire.errors import ProviderDown
from agentwire.types import Citation, Usage


class _Event(Struct, gc=False):
    """Every event has some of these. What is large or rarely wanted stays raw."""

    type: str = ""
    delta: Any = None
    output_index: int | None = None
    item_id: str | None = None
    summary_index: int | None = None
    content_index: int | None = None
    item: Raw = Raw()
    annotation: Raw = Raw(b"null")
    response: Raw = Raw(b"{}")
    error: Any = None
    code: Any = None
    message: Any = None


class _Text(Struct, gc=False):
    text: str | None = None
    refusal: str | None = None


class _Kind(Struct, gc=False):
    """What any item has. The other fields of one that we do not know may be anything."""

    type: str = ""
    id: str | None = None


class _Item(_Kind, gc=False):
    name: str | None = None
    arguments: str | None = None
    content: list[_Text] | None = None
    summary: list[_Text] | None = None
    encrypted_content: str | None = None


class _Annotation(Struct, gc=False):
    type: str = ""
    url: str | None = None
    title: str | None = None
    filename: str | None = None


class _InputDetails(Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(Struct, gc=False):
    reasoning_tokens: int | None = None


class _Usage(Struct, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class _Incomplete(Struct, gc=False):
    reason: str | None = None


class _Response(Struct, gc=False):
    status: str | None = None
    error: Any = None
    incomplete_details: _Incomplete | None = None
    usage: _Usage | None = None


_events = msgspec.json.Decoder(_Event)
_kinds = msgspec.json.Decoder(_Kind)
_items = msgspec.json.Decoder(_Item)
_annotations = msgspec.json.Decoder(_Annotation | None)
_responses = msgspec.json.Decoder(_Response)
_decode = _events.decode

_WHAT = "event of a response"
_ITEMS = frozenset(("message", "reasoning", "function_call"))
_CITATIONS = frozenset(("url_citation", "file_citation", "container_file_citation"))
_BREAK = "\n\n"
"""Between the paragraphs of a thought."""


class _Open:
    """An item on its way. `part`: where its text goes now; `said`: it had text; `paragraph`: the index of the one it is in."""

    __slots__ = ("paragraph", "part", "said")

    def __init__(self) -> None:
        self.part: int | None = None
        self.said = False
        self.paragraph: int | None = None


class ResponsesDecoder(Decoding):
    """A `Decoder` for one reply. `seal` goes with the encrypted body of every thought, to know whose it is."""

    def __init__(self, who: str = "The model server", *, seal: Mapping[str, str] | None = None) -> None:
        super().__init__(who)
        self._seal = seal or {}
        self._open: dict[int | str | None, _Open] = {}
        self._refused = False

    def _event(self, event: bytes) -> bool:
        if event == b"[DONE]":  # from hosts that are made for another dialect
            return self.complete
        try:
            said = _decode(event)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            said = self._decoded(_events, event, _WHAT)
        self.events += said.type != "keepalive"
        if handle := _HANDLERS.get(said.type):
            handle(self, said)
        elif said.error is not None:
            raise classify(self._who, None, {"error": said.error})
        elif not said.type:
            raise ProviderDown(f"{self._who} sent an event that is no {_WHAT}: {event[:80].decode('utf-8', 'replace')!r}")
        return self.complete

    # --- items -----------------------------------------------------------------------------------------------------------------

    def _about(self, event: _Event) -> _Open:
        """The item that an event is about. Some hosts give no `output_index`, others another `item_id` in each event."""
        key = event.item_id if event.output_index is None else event.output_index
        item = self._open.get(key)
        if item is None:
            item = self._open[key] = _Open()
        return item

    def _announced(self, event: _Event) -> None:
        item = self._item(event)
        self._call(self._about(event), item)

    def _closed(self, event: _Event) -> None:
        """What was not streamed of an item is taken from the whole of it."""
        item = self._item(event)
        about = self._about(event)
        self._call(about, item)
        if not about.said:
            self._whole(about, item)
        if item.type == "reasoning" and item.encrypted_content:
            if about.part is None:
                about.part = self._start("reasoning")
            self._reply.seal(about.part, {**self._seal, "id": item.id, "encrypted_content": item.encrypted_content})

    def _item(self, event: _Event) -> _Item:
        """The item that an event brings, and is about."""
        said = bytes(event.item)
        kind = self._decoded(_kinds, said, _WHAT)
        event.item_id = kind.id
        return self._decoded(_items, said, _WHAT) if kind.type in _ITEMS else _Item(type=kind.type, id=kind.id)

    def _call(self, about: _Open, item: _Item) -> None:
        if item.type == "function_call" and about.part is None:
            about.part = self._start("tool_call", item.name or "")

    def _whole(self, about: _Open, item: _Item) -> None:
        match item.type:
            case "function_call":
                self._argue(about, item.arguments)
            case "message":
                for text in item.content or ():
                    self._refused = self._refused or bool(text.refusal)
                    self._say(about, text.text or text.refusal)
            case "reasoning":
                for index, text in enumerate(item.summary or item.content or ()):
                    self._think(about, text.text, index)

    # --- what they say ---------------------------------------------------------------------------------------------------------

    def _text(self, event: _Event) -> None:
        self._say(self._about(event), event.delta)

    def _refusal(self, event: _Event) -> None:
        self._refused = True
        self._say(self._about(event), event.delta)

    def _say(self, about: _Open, text: object) -> None:
        if text and isinstance(text, str):
            if about.part is None:
                about.part = self._start("text")
                about.said = True
            self._add(about.part, text)

    def _summary(self, event: _Event) -> None:
        self._think(self._about(event), event.delta, event.summary_index)

    def _thought(self, event: _Event) -> None:
        self._think(self._about(event), event.delta, event.content_index)

    def _think(self, about: _Open, text: object, paragraph: int | None) -> None:
        if text and isinstance(text, str):
            if about.part is None:
                about.part = self._start("reasoning")
            if about.said and paragraph != about.paragraph:
                self._add(about.part, _BREAK)
            about.said, about.paragraph = True, paragraph
            self._add(about.part, text)

    def _arguments(self, event: _Event) -> None:
        self._argue(self._about(event), event.delta)

    def _argue(self, about: _Open, text: object) -> None:
        if text and isinstance(text, str) and about.part is not None:
            about.said = True
            self._add(about.part, text)

    def _cite(self, event: _Event) -> None:
        source = self._decoded(_annotations, bytes(event.annotation), _WHAT)
        if source is not None and source.type in _CITATIONS:
            citation = Citation(url=source.url or "", title=source.title or source.filename or "")
            self._reply.cite(citation)
            self._about(event).part = None

    # --- the end ---------------------------------------------------------------------------------------------------------------

    def _completed(self, event: _Event) -> None:
        """Some hosts end so every reply, also one that is too long: what it says of itself counts."""
        response = self._ended(event)
        self._reason = "refused" if self._refused else "length" if response.status == "incomplete" else "end"

    def _incomplete(self, event: _Event) -> None:
        details = self._ended(event).incomplete_details
        self._reason = "refused" if details is not None and details.reason == "content_filter" else "length"

    def _failed(self, event: _Event) -> None:
        raise classify(self._who, None, {"error": self._ended(event).error or {}})

    def _error(self, event: _Event) -> None:
        raise classify(self._who, None, {"error": event.error or {"code": event.code, "message": event.message}})

    def _ended(self, event: _Event) -> _Response:
        response = self._decoded(_responses, bytes(event.response), _WHAT)
        if usage := response.usage:
            inputs, outputs = usage.input_tokens_details, usage.output_tokens_details
            self._usage = Usage(
                input=usage.input_tokens or 0,
                output=usage.output_tokens or 0,
                cached=(inputs and inputs.cached_tokens) or 0,
                written=(inputs and inputs.cache_write_tokens) or 0,
                reasoning=(outputs and outputs.reasoning_tokens) or 0,
            )
        return response


_HANDLERS: Mapping[str, Callable[[ResponsesDecoder, _Event], None]] = {
    "response.output_text.delta": ResponsesDecoder._text,
    "response.function_call_arguments.delta": ResponsesDecoder._arguments,
    "response.reasoning_summary_text.delta": ResponsesDecoder._summary,
    "response.reasoning_text.delta": ResponsesDecoder._thought,
    "response.refusal.delta": ResponsesDecoder._refusal,
    "response.output_item.added": ResponsesDecoder._announced,
    "response.output_item.done": ResponsesDecoder._closed,
    "response.output_text.annotation.added": ResponsesDecoder._cite,
    "response.completed": ResponsesDecoder._completed,
    "response.incomplete": ResponsesDecoder._incomplete,
    "response.failed": ResponsesDecoder._failed,
    "error": ResponsesDecoder._error,
}
"""Events that say something new: others repeat it, or are about tools of the vendor's own."""
