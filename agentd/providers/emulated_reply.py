"""A reply in the form that was asked of a model without tool calls or structured output -> the deltas of one that has them.

Theory of operation: a reader takes the reply's text in any split and gives pieces of three kinds: text that is said, a call that
begins, arguments of that call. `Translator` puts them into parts of their own numbers; what is not text passes through it. The
rule of both readers: what cannot be understood is said as text, nothing is lost.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from agentd.ports import Cited, Delta, PartStart, PartText, Sealed, Spent, Stop
from agentd.providers.emulated_json import StringReader, ValueReader
from agentwire.types import PartKind, StopReason


class Said(NamedTuple):
    text: str


class Called(NamedTuple):
    name: str


class Arguments(NamedTuple):
    text: str


Piece = Said | Called | Arguments


class Reader(Protocol):
    def feed(self, text: str) -> list[Piece]: ...

    def finish(self) -> list[Piece]:
        """What the end of the reply makes of that which was held back."""


# --- calls -----------------------------------------------------------------------------------------------------------------------

# Bounded and possessive: a reply of nothing but blanks behind a fence must not cost the square of its length.
_FENCE: Final = r"`{3}[ \t]{0,20}+\w{0,20}+\s{0,20}+"
_OPENING: Final = re.compile(rf"(?:{_FENCE})?\{{")
_HALF_FENCE: Final = re.compile(rf"(?:{_FENCE}|`{{1,2}})\Z")
_NAME: Final = r'"((?:[^"\\]|\\.){0,200}")'
_ANSWER: Final = re.compile(rf'(?:{_FENCE})?\{{\s*"answer"\s*:\s*(?=\S)')
_CALL: Final = re.compile(rf'(?:{_FENCE})?\{{\s*"name"\s*:\s*{_NAME}\s*,\s*"arguments"\s*:\s*(?=\S)')
_KEYS: Final = ('"answer":', '"name":', '"arguments":')


class CallReader:
    """Reads `{"answer": "..."}` and `{"name": ..., "arguments": {...}}`, among other text, in code fences or alone.

    An answer that is a string is decoded as it streams; any other value of it is given as its JSON. The arguments of a call are
    given as they came, valid or not.
    """

    def __init__(self, *, begun: bool = False) -> None:
        self._state: Callable[[list[Piece]], bool] = self._prose
        self._begun = begun  # something was said: white space counts from then on
        self._rest = ""
        self._value = ValueReader()
        self._string = StringReader()
        self._held = ""  # of an object of which it is not clear yet what it is
        self._fenced = False

    def feed(self, text: str) -> list[Piece]:
        self._rest += text
        pieces: list[Piece] = []
        while self._rest and self._state(pieces):
            pass
        return pieces

    def finish(self) -> list[Piece]:
        held = self._rest
        if self._state == self._object:
            begun = _inside(self._held)  # nothing was said where only the form of an answer or a call was begun
            only_form = any(key.startswith(begun) for key in _KEYS) and bool(begun or not self._begun)
            held = "" if only_form else self._held
        return [Said(held)] if held else []

    def _prose(self, pieces: list[Piece]) -> bool:
        if not self._begun:
            self._rest = self._rest.lstrip()
        opening = _OPENING.search(self._rest)
        end = opening or _HALF_FENCE.search(self._rest)
        self._say(pieces, self._rest[: end.start()] if end else self._rest)
        self._rest = self._rest[end.start() :] if end else ""
        if opening is not None:
            self._state, self._held, self._value = self._object, "", ValueReader()
        return opening is not None

    def _object(self, pieces: list[Piece]) -> bool:
        """From an opening brace on, until it is clear what this is."""
        if not self._held:
            self._fenced = self._rest[0] == "`"
            start = self._rest.index("{")
            self._held, self._rest = self._rest[:start], self._rest[start:]
        taken, self._rest = self._value.feed(self._rest)
        self._held += taken
        if answer := _ANSWER.match(self._held):
            if self._held[answer.end()] == '"':
                self._enter(self._answer, answer.end() + 1)
            else:
                self._enter(self._other_answer, answer.end())
        elif call := _CALL.match(self._held):
            pieces.append(Called(StringReader().feed(call[1])[0]))
            self._enter(self._arguments, call.end())
        elif not _plausible(self._held):
            self._back_to_prose(pieces)
        elif self._value.done:
            self._whole(pieces)
        return bool(self._rest)

    def _enter(self, state: Callable[[list[Piece]], bool], at: int) -> None:
        self._rest = self._held[at:] + self._rest
        self._state, self._held = state, ""
        self._value, self._string = ValueReader(), StringReader()

    def _back_to_prose(self, pieces: list[Piece]) -> None:
        """The brace was only text; what follows it may have another."""
        start = self._held.index("{") + 1
        self._say(pieces, self._held[:start])
        self._enter(self._prose, start)

    def _whole(self, pieces: list[Piece]) -> None:
        """An object whose keys come in an order of its own."""
        try:
            found = json.loads(self._held[self._held.index("{") :])
        except (ValueError, RecursionError):
            found = {}
        name, arguments = found.get("name"), found.get("arguments")
        if isinstance(name, str) and arguments is not None:
            pieces += [Called(name), Arguments(arguments if isinstance(arguments, str) else _json(arguments))]
            self._enter(self._behind, len(self._held))
        else:
            self._back_to_prose(pieces)

    def _answer(self, pieces: list[Piece]) -> bool:
        text, self._rest = self._string.feed(self._rest)
        self._say(pieces, text)
        return self._string.done and self._close()

    def _other_answer(self, pieces: list[Piece]) -> bool:
        text, self._rest = self._value.feed(self._rest)
        self._say(pieces, text)
        return self._value.done and self._close()

    def _arguments(self, pieces: list[Piece]) -> bool:
        text, self._rest = self._value.feed(self._rest)
        pieces.append(Arguments(text))
        return self._value.done and self._close()

    def _close(self) -> bool:
        self._state, self._value = self._end, ValueReader(depth=1)
        return True

    def _end(self, pieces: list[Piece]) -> bool:
        """Up to the closing brace; what else may be in the object is not for anybody."""
        _, self._rest = self._value.feed(self._rest)
        if self._value.done:
            self._state = self._behind
        return self._value.done

    def _behind(self, pieces: list[Piece]) -> bool:
        """White space and the end of a code fence."""
        self._rest = self._rest.lstrip()
        if self._fenced and "```".startswith(self._rest[:3]) and len(self._rest) < 3:
            return False
        self._rest = self._rest.removeprefix("```") if self._fenced else self._rest
        self._state, self._begun = self._prose, False
        return True

    def _say(self, pieces: list[Piece], text: str) -> None:
        if text:
            self._begun = True
            pieces.append(Said(text))


def _plausible(held: str) -> bool:
    """Whether an object that begins like that may be an answer or a call."""
    begun = _inside(held)
    return any(key.startswith(begun) or begun.startswith(key) for key in _KEYS)


def _inside(held: str) -> str:
    """The beginning of what is in the object, without white space."""
    return "".join(held[held.index("{") + 1 :][:64].split())


# --- structured output -----------------------------------------------------------------------------------------------------------

_JSON: Final = re.compile(rf"(?:{_FENCE})?(?=\{{)")
_BEFORE_JSON: Final = re.compile(rf"(?:{_FENCE}|`{{0,2}})\Z")
_CANDIDATES = 100  # braces at which an object is looked for in text that is not one as a whole


class StructuredReader:
    """Reads the JSON object that a reply consists of, without the code fence or the words around it.

    A reply that begins with it streams; in any other it is looked for at the end.
    """

    def __init__(self) -> None:
        self._text = ""
        self._value: ValueReader | None = None
        self._searching = False

    def feed(self, text: str) -> list[Piece]:
        if self._value is None:
            self._text = (self._text + text) if self._searching else (self._text + text).lstrip()
            opening = None if self._searching else _JSON.match(self._text)
            if opening is None:
                self._searching = self._searching or not _BEFORE_JSON.match(self._text)
                return []
            self._value, text = ValueReader(), self._text[opening.end() :]
        if self._value.done:
            return []
        taken, _ = self._value.feed(text)
        return [Said(taken)] if taken else []

    def finish(self) -> list[Piece]:
        if self._value is not None or not self._text:
            return []
        return [Said(_found(self._text))]


def _found(text: str) -> str:
    """The first JSON object in it, or all of it."""
    decoder, at = json.JSONDecoder(), -1
    for _ in range(_CANDIDATES):
        at = text.find("{", at + 1)
        if at < 0:
            break
        try:
            return text[at : decoder.raw_decode(text, at)[1]]
        except (ValueError, RecursionError):
            continue
    return text


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# --- parts -----------------------------------------------------------------------------------------------------------------------


class Translator:
    """The deltas of one reply, as its reader understands them. `respond`: the name of the tool whose arguments are the answer."""

    def __init__(self, reader: Reader, *, respond: str = "") -> None:
        self._reader = reader
        self._respond = respond
        self._responded = self._called = False
        self._texts: set[int] = set()  # the parts of the reply that are text
        self._outer: dict[int, int] = {}  # the others -> ours
        self._parts = 0
        self._open: PartKind | None = None  # what the last part that the reader made is
        self._out: list[Delta] = []

    def feed(self, deltas: Sequence[Delta]) -> list[Delta]:
        """What `deltas` mean: a start before each part's text, the Stop last."""
        self._out = []
        for delta in deltas:
            self._take(delta)
        return self._out

    def _take(self, delta: Delta) -> None:
        match delta:
            case PartStart(part, "text"):
                self._texts.add(part)
            case PartStart(part, kind, name):
                responding = kind == "tool_call" and bool(self._respond) and name == self._respond
                self._responded = self._responded or responding
                self._called = self._called or (kind == "tool_call" and not responding)
                self._outer[part] = self._start("text") if responding else self._start(kind, name)
            case PartText(part, text) if part in self._texts:
                self._give(self._reader.feed(text))
            case PartText(part, text):
                self._add(self._outer[part], text)
            case Sealed(part, vendor):
                self._out.append(Sealed(self._outer[part], vendor))
            case Cited(_, citation):
                self._start("citation")
                self._out[-1] = Cited(self._parts - 1, citation)
            case Spent():
                self._out.append(delta)
            case Stop(reason):
                if not self._responded:
                    self._give(self._reader.finish())
                self._out.append(Stop(self._reason(reason)))

    def _reason(self, reason: StopReason) -> StopReason:
        if reason in {"end", "tool_calls"}:
            return "tool_calls" if self._called else "end"
        return reason

    def _give(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            match piece:
                case Called(name):
                    self._start("tool_call", name)
                    self._open, self._called = "tool_call", True
                case Said(text):
                    if self._open != "text":
                        self._start("text")
                        self._open = "text"
                    self._add(self._parts - 1, text)
                case Arguments(text):
                    self._add(self._parts - 1, text)

    def _start(self, kind: PartKind, name: str = "") -> int:
        part = self._parts
        self._parts += 1
        self._open = None
        self._out.append(PartStart(part, kind, name))
        return part

    def _add(self, part: int, text: str) -> None:
        last = self._out[-1] if self._out else None
        if isinstance(last, PartText) and last.part == part:
            self._out[-1] = PartText(part, last.text + text)
        elif text:
            self._out.append(PartText(part, text))
