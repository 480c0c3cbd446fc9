"""What all decoders of streamed replies share: a body's bytes in any split -> events, and what the events brought -> deltas.

Theory of operation: a dialect says in `_event` what one event means, in parts (reply_parts.py): all that one `feed` brought is at
most one `PartText` per part, for the caller pays per read, not per token. The reply's `Stop` is held back until its last event or
the end of the body: usage comes after the reason, and `Stop` is last.
"""

from __future__ import annotations

import json
from typing import Any, Protocol, TypeVar

import msgspec

from agentd.ports import Delta, Spent, Stop
from agentd.providers.reply_parts import ReplyParts
from agentd.providers.sse import SseError, SseReader
from agentwire.errors import ProviderDown, ProviderError
from agentwire.types import PartKind, StopReason, Usage

_T = TypeVar("_T")


class Reader(Protocol):
    """Takes the events out of a body. `partial`: the bytes so far end inside one. `feed` raises SseError."""

    @property
    def partial(self) -> bool: ...

    def feed(self, data: bytes) -> list[bytes]: ...


class _Garbled(ProviderDown):
    """An event that is not what it should be."""


class Decoding:
    """A `Decoder` (dialect.py) but for `_event`, of bodies that are server-sent events, or what `reader` reads. `_reply`: what the
    events bring, in parts; `_reason`: why the reply ended, once it is complete; `_usage`: the last report, if there is one since
    the last feed."""

    def __init__(self, who: str, reader: Reader | None = None) -> None:
        self.finished = False
        self.events = 0
        self.failed: ProviderError | None = None
        self._who = who
        self._reader = reader or SseReader()
        self._reply = ReplyParts()
        self._add = self._reply.add
        self._called = False
        self._reason: StopReason | None = None
        self._usage: Usage | None = None

    @property
    def complete(self) -> bool:
        return self._reason is not None

    def feed(self, data: bytes) -> list[Delta]:
        """The deltas in `data`: those of `ReplyParts.take`, then Spent, then Stop.

        Error handling: an error in `data` is in `failed` afterwards, and is raised by the next `feed` or `finish`: a ProviderError
        reported in the stream, or ProviderDown for bytes that are no such stream.
        """
        if self.failed is not None:
            raise self.failed
        try:
            return self._take(self._reader.feed(data))
        except SseError as error:
            return self._take(error.events, ProviderDown(f"{self._who} sent {error}"))

    def finish(self) -> list[Delta]:
        """The deltas that the end of the body brings. Raises ProviderDown if the reply was cut off before its end."""
        if self.finished:
            return []
        partial = self._reader.partial
        deltas = self.feed(b"\n\n")  # some servers leave out the last blank line, or even the end of the line before
        if self.failed is not None and not partial:
            raise self.failed
        if not self.finished:
            if not self.complete:
                raise ProviderDown(f"{self._who} cut the reply off before its end")
            deltas.append(self._stop())
        return deltas

    # --- what a dialect writes, and what it is written with -----------------------------------------------------------------------

    def _event(self, event: bytes) -> bool:
        """Take in one event's data, counted in `events` unless it is a ping; true if it is the reply's last.

        Error handling: raises a ProviderError for what ends the stream.
        """
        raise NotImplementedError

    def _decoded(self, decoder: msgspec.json.Decoder[_T], event: bytes, what: str) -> _T:
        """Invalid UTF-8 and lone surrogates are replaced; what is still not `what` then is garbage."""
        try:
            return decoder.decode(event)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
        try:
            value = self._tolerated(json.loads(event.decode("utf-8", "replace"), parse_constant=lambda _: None))
            return decoder.decode(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
        except (ValueError, msgspec.MsgspecError, RecursionError):
            shown = event[:80].decode("utf-8", "replace")
            raise _Garbled(f"{self._who} sent an event that is no {what}: {shown!r}") from None

    def _tolerated(self, value: Any) -> Any:
        """An event that could not be read as it should be, in the shape that it should have."""
        return value

    def _start(self, kind: PartKind, name: str = "") -> int:
        """Begin a part; its number."""
        self._called = self._called or kind == "tool_call"
        return self._reply.start(kind, name)

    # --- from events to deltas --------------------------------------------------------------------------------------------------

    def _take(self, events: list[bytes], broken: ProviderError | None = None) -> list[Delta]:
        """The deltas of `events`, after which the stream is `broken`. What breaks after the reply's end spoils nothing."""
        if self.finished:
            return []
        done = False
        for event in events:
            if event and not event.isspace():
                try:
                    done = self._event(event)
                except _Garbled as error:
                    done, unread = self._line_by_line(event, error)
                    broken = unread or broken
                    if unread:
                        break
                except ProviderError as error:
                    broken = error
                    break
                if done:
                    break
        deltas = self._reply.take()
        if self._usage is not None:
            deltas.append(Spent(self._usage))
            self._usage = None
        if done or (broken and self.complete):
            deltas.append(self._stop())
        else:
            self.failed = broken
        return deltas

    def _line_by_line(self, event: bytes, garbled: _Garbled) -> tuple[bool, ProviderError | None]:
        """Whether the last event was among its lines, and what is wrong: some hosts leave out the blank lines between events."""
        lines = event.split(b"\n")
        try:
            if len(lines) == 1 or not all(map(_whole, lines)):
                raise garbled
            return any(self._event(line) for line in lines), None  # not one after the last
        except _Garbled as error:
            return False, ProviderDown(error.message)
        except ProviderError as error:
            return False, error

    def _stop(self) -> Stop:
        """Hosts are not exact about calls: some say that the model ended by itself after them."""
        self.finished = True
        reason = self._reason or "end"
        if reason == "end" and self._called:
            reason = "tool_calls"
        elif reason == "tool_calls" and not self._called:
            reason = "end"
        return Stop(reason)


def _whole(line: bytes) -> bool:
    """Whether it is a JSON document, or the mark of the end that many hosts send."""
    if line == b"[DONE]":
        return True
    try:
        msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True
