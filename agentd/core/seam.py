"""The seam of a reply that broke off and goes on: what its continuation repeats of the text that was shown is taken out. Pure.

Theory of operation: hosts that are asked to go on often begin with the last words again, or from the start. What the continuation
begins with is compared with the end of the kept text (its *tail*); as long as a longer repetition is possible the text is held
back, so that what was shown is never shown twice; kept text never changes. The longest repetition counts, if it

* begins where a word does in the kept text, unless it is long: "lo" goes on from "Hel" and repeats nothing;
* has three letters, or six letters and digits: "11" may well follow "3.1", and a line of dashes another;
* or is all that was shown, however long: a reply that began anew. White space before either goes with it.

A host that goes on from a last assistant message by itself repeats nothing; there only a long repetition is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agentd.ports import Cited, Delta, PartStart, PartText, Prompt, Sealed, Spent, Stop
from agentwire.types import Text

TAIL = 200
"""Characters of the kept text that a continuation may repeat."""
_LETTERS, _SIGNS = 3, 6
_LONG = 16  # characters
_UNSPACED = "\u2e80"
"""From here on scripts have no spaces between words: each character begins one."""


def kept_text(prompt: Prompt) -> str:
    """The text that the reply to `prompt` goes on from; empty if it is no continuation."""
    if not prompt.continuing or not prompt.messages or prompt.messages[-1].role != "assistant":
        return ""
    return "".join(part.text for part in prompt.messages[-1].parts if isinstance(part, Text))


class Seam:
    """The deltas of a continuation of `kept` on their way. `prefill`: the host goes on by itself.

    `open`: `feed` must see the next deltas too; once it is False they may pass by.
    """

    def __init__(self, kept: str, *, prefill: bool = False) -> None:
        self._kept, self._prefill = kept, prefill
        self.open = bool(kept)
        self._start: PartStart | None = None  # of the text that is held back
        self._held = ""

    def feed(self, deltas: Sequence[Delta]) -> list[Delta]:
        """What may be shown now."""
        given: list[Delta] = []
        for delta in deltas:
            given += self._pass(delta) if self.open else (delta,)
        return given

    def _pass(self, delta: Delta) -> Iterator[Delta]:
        match delta:
            case PartStart(type="text") if self._start is None:
                self._start = delta
            case PartText(part=part, text=text) if self._start is not None and part == self._start.part:
                self._held += text
                if not self._may_grow():
                    yield from self._release()
            case Spent():
                yield delta
            case PartStart(type="reasoning") | PartText() | Sealed() | Cited() if self._start is None:
                yield delta  # thoughts before the text
            case _:
                yield from self._release()
                if self._start is not None and self.open and not isinstance(delta, Stop):
                    yield self._start  # nothing new yet, but its text may go on beside the other part
                self.open = False
                yield delta

    def _release(self) -> Iterator[Delta]:
        """What of the held text is new. If all of it is a repetition, the text begins with what comes next."""
        if self._start is None:
            return
        rest, self._held = self._held[overlap(self._kept, self._held, prefill=self._prefill) :], ""
        if rest:
            self.open = False
            yield self._start
            yield PartText(self._start.part, rest)
        self._kept = ""  # nothing can be repeated any more

    def _may_grow(self) -> bool:
        """Whether more text could make a repetition of it that is longer than what it has of one already."""
        begun = self._held.lstrip()
        if not begun:
            return bool(self._kept)
        return any(self._begins_anew(text) or _within(self._kept, text) for text in {self._held, begun})

    def _begins_anew(self, text: str) -> bool:
        return not self._prefill and len(text) < len(self._kept) and self._kept.startswith(text)


def _within(kept: str, text: str) -> bool:
    """Whether `text` begins like something at the end of `kept` that is longer."""
    at = kept.find(text, max(0, len(kept) - TAIL))
    while 0 <= at < len(kept) - len(text):
        if len(kept) - at >= _LONG or _begins_word(kept, at):
            return True
        at = kept.find(text, at + 1)
    return False


def overlap(kept: str, text: str, *, prefill: bool = False) -> int:
    """How many characters at the beginning of `text` are there at the end of `kept` already."""
    space = len(text) - len(text.lstrip())
    for skipped in sorted({0, space}):
        rest = text[skipped:]
        if not prefill and len(kept) > TAIL and rest.startswith(kept):
            return skipped + len(kept)
        for length in range(min(len(kept), len(rest), TAIL), 0, -1):
            if kept.endswith(rest[:length]) and _counts(kept, length, prefill=prefill):
                return skipped + length
    return 0


def _counts(kept: str, length: int, *, prefill: bool) -> bool:
    """Whether the last `length` characters of `kept`, said again, are a repetition."""
    said, long = kept[-length:], length >= _LONG
    if length == len(kept) and not prefill:
        return any(map(str.isalnum, said))
    telling = sum(map(str.isalpha, said)) >= _LETTERS or sum(map(str.isalnum, said)) >= _SIGNS
    return telling and (long or (not prefill and _begins_word(kept, len(kept) - length)))


def _begins_word(text: str, at: int) -> bool:
    if at == 0 or not (text[at - 1].isalnum() and text[at].isalnum()):
        return True
    return text[at - 1] >= _UNSPACED or text[at] >= _UNSPACED
