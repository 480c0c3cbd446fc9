"""The draft: the parts of a reply streamed so far. Not an event: it is saved for a crash, shown to watchers, and replaced by the
`assistant_message` that ends it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from attrs import define, evolve, field

from agentd.core.costs import Asked, Bill, bill
from agentd.ports import Cited, Delta, PartStart, PartText, Sealed, Spent, Stop, Waits
from agentwire.events import Delta as DeltaEvent
from agentwire.events import DraftPartDelta
from agentwire.types import Citation, DraftPart, DraftView, PartKind, Reasoning, ReplyPart, StopReason, Text, ToolCall, Usage

LIMIT = 700 * 1024
"""Encoded bytes of one reply: its event stays under 1 MiB. What comes beyond is dropped, however much one read brings."""
_PART_COST = 256
"""Encoded bytes of an empty part, with its call's id and its place in `tool_planned`."""
_LONGEST_ESCAPE = 6
"""Encoded bytes of a control character, at most: it becomes a \\u escape."""
_NAME_LENGTH = 128
"""Characters of a tool's name that are kept: twice what any vendor allows."""

_encoder = msgspec.json.Encoder()


class _Chunk(msgspec.Struct, array_like=True):
    """What is saved at a time. An earlier release had no `model`."""

    turn: int
    step: int
    pieces: list[tuple[int, PartKind, str, str]]
    model: str = ""


_decoder = msgspec.json.Decoder(_Chunk)


@define
class _Part:
    type: PartKind
    name: str
    pieces: list[str] = field(factory=list)
    unsaved: list[str] = field(factory=list)  # of the pieces
    length: int = 0  # code points
    vendor: dict[str, Any] | None = None
    citation: Citation | None = None

    @property
    def text(self) -> str:
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""


class Draft:
    """One reply on its way. `turn` and `step` name it, `model` who gives it, `asked` what was sent there; `stop` is set once it
    ended cleanly; `full`: more does not fit."""

    def __init__(self, turn: int, step: int) -> None:
        self.turn, self.step = turn, step
        self.model = ""
        self.asked: Asked | None = None
        self.stop: StopReason | None = None
        self.usage = Usage()
        self.unsaved_size = 0  # code points not yet given to `take_unsaved`
        self.full = False
        self.waits: Waits | None = None  # what nobody has been told yet
        self._whole = False  # its host has said that it is over
        self._room = LIMIT  # encoded bytes
        self._parts: dict[int, _Part] = {}

    def feed(self, deltas: Sequence[Delta]) -> DeltaEvent | None:
        """Take in what one read brought; returns the transient event to send, if there is anything to show."""
        shown: list[DraftPartDelta] = []
        for delta in deltas:
            if type(delta) is PartText:  # nearly all are, and a class pattern costs as much as the rest
                if delta.part in self._parts:
                    shown.append(self._add(delta.part, delta.text))
                continue
            match delta:
                case PartStart(part=number, type=kind, name=name):
                    self._begin(number, kind, name[:_NAME_LENGTH])
                    if name and number in self._parts:
                        shown.append(self._add(number, ""))
                case Sealed(part=number, vendor=vendor):
                    self._seal(number, vendor)
                case Cited(part=number, citation=citation):
                    shown += self._cite(number, citation)
                case Stop(reason=reason):
                    self.stop, self._whole = reason, True
                case Spent(usage=usage):
                    self.usage = usage
                case Waits():
                    self.waits = delta
        return DeltaEvent(turn=self.turn, step=self.step, parts=tuple(shown)) if shown else None

    def _begin(self, number: int, kind: PartKind, name: str) -> None:
        if self._room < _PART_COST:
            self.full = True
            return
        self._room -= _PART_COST
        self._parts[number] = _Part(kind, name)

    def _seal(self, number: int, vendor: dict[str, Any]) -> None:
        """A seal that does not fit is left out: what it belongs to is then no thought that goes back to its vendor."""
        size = len(_encoder.encode(vendor))
        if number in self._parts and size <= self._room:
            self._room -= size
            self._parts[number].vendor = vendor

    def _cite(self, number: int, citation: Citation) -> list[DraftPartDelta]:
        size = len(_encoder.encode(citation))
        if size > self._room:
            return []
        self._begin(number, "citation", citation.title[:_NAME_LENGTH])
        if number not in self._parts:
            return []
        self._room -= size
        self._parts[number].citation = citation
        return [self._add(number, citation.url or citation.quote)]

    def _fit(self, text: str) -> str:
        if self.full:
            return ""  # nothing after what was cut: a text without a hole
        size = len(_encoder.encode(text))
        if size > self._room:
            self.full = True
            text = text[: self._room // _LONGEST_ESCAPE]
            size = len(_encoder.encode(text)) if text else 0
        self._room -= size
        return text

    def _add(self, number: int, text: str) -> DraftPartDelta:
        text = self._fit(text)
        part = self._parts[number]
        offset = part.length
        part.pieces.append(text)
        part.unsaved.append(text)
        part.length += len(text)
        self.unsaved_size += len(text)
        return DraftPartDelta(part=number, type=part.type, offset=offset, text=text, name=part.name)

    def take_unsaved(self) -> bytes | None:
        """What came since the last call, for `Store.save_draft`; None if nothing did."""
        unsaved = [(number, part.type, part.name, "".join(part.unsaved)) for number, part in self._parts.items() if part.unsaved]
        self._all_is_saved()
        return _encoder.encode((self.turn, self.step, unsaved, self.model)) if unsaved else None

    def _all_is_saved(self) -> None:
        for part in self._parts.values():
            part.unsaved.clear()
        self.unsaved_size = 0

    @classmethod
    def restore(cls, turn: int, step: int, chunks: Iterable[bytes]) -> Draft:
        """The draft of this reply from saved chunks; those of another reply are ignored.

        A chunk that cannot be read (damaged, or of another release) ends it: a shorter text is better than one with a hole.
        """
        draft = cls(turn, step)
        for chunk in chunks:
            try:
                saved = _decoder.decode(chunk)
            except (msgspec.DecodeError, UnicodeDecodeError):
                break
            if (saved.turn, saved.step) == (turn, step):
                draft.model = saved.model
                for number, kind, name, text in saved.pieces:
                    if number not in draft._parts:
                        draft._begin(number, kind, name)
                    if number in draft._parts:
                        draft._add(number, text)
        draft._all_is_saved()
        return draft

    @property
    def bill(self) -> Bill:
        """What it has cost so far."""
        written = sum(part.length for part in self._parts.values())
        return bill(self.asked, self.usage, written, whole=self._whole)

    @property
    def view(self) -> DraftView:
        return DraftView(turn=self.turn, step=self.step, parts=self.shown)

    @property
    def shown(self) -> tuple[DraftPart, ...]:
        parts = sorted(self._parts.items())
        return tuple(DraftPart(part=number, type=part.type, text=part.text, name=part.name) for number, part in parts)

    def reply(self, call_id: str) -> tuple[ReplyPart, ...]:
        """The parts of the whole reply; call number `i` of the reply gets the id `call_id-i`."""
        return tuple(
            _reply_part(part, f"{call_id}-{number}") for number, part in sorted(self._parts.items()) if _worth_keeping(part)
        )

    def partial(self) -> tuple[ReplyPart, ...]:
        """What can be kept of a reply that broke off: half a tool call cannot, and thoughts are for people only.

        Vendors want their sealed thoughts back with what followed from them: the rest of the reply, which is not there.
        """
        parts = [evolve(part, vendor=None) if isinstance(part, Reasoning) else part for part in self.reply("")]
        return tuple(part for part in parts if not isinstance(part, ToolCall) and (not isinstance(part, Reasoning) or part.text))


def _worth_keeping(part: _Part) -> bool:
    return part.type == "tool_call" or part.length > 0 or part.vendor is not None or part.citation is not None


def _reply_part(part: _Part, call_id: str) -> ReplyPart:
    match part.type:
        case "text":
            return Text(text=part.text)
        case "reasoning":
            return Reasoning(text=part.text, vendor=part.vendor)
        case "citation":
            return part.citation or Citation(title=part.name, url=part.text)
        case "tool_call":
            return ToolCall(id=call_id, name=part.name, arguments_json=part.text or "{}")
