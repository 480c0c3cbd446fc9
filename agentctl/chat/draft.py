"""One reply on its way to the transcript: what the daemon sent of it, and how much of that is printed. Pure.

Theory of operation: each part keeps its whole text and `shown`, the code points already printed. Only whole lines are printed; the
rest is the tail, which the screen shows above the input until its newline comes. Empty lines are held back until something
follows them, so that a reply never ends in blank space. `adopt` makes the daemon's version ours: what both have in common stays,
and if more than that was printed it says how much is withdrawn and prints again from the beginning of the broken line.
"""

from __future__ import annotations

import os.path
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentctl.chat.render import Line, line
from agentctl.text import one_line

LONG_LINE = 4000
"""Code points; a line without an end is printed in pieces of this, so that the tail stays small."""
SHOWN = ("text", "reasoning")
"""The parts that are printed from the stream; a call is one line of its own when it is planned and finished."""


class Gap(Exception):
    """A delta begins beyond what we have: something was missed, take a fresh view."""


@dataclass
class _Part:
    kind: str
    name: str = ""
    text: str = ""
    shown: int = 0
    fenced: bool = False
    blanks: int = 0
    begun: bool = False

    def whole_lines(self, *, flush: bool) -> list[Line]:
        """The lines that have become complete; with `flush` also what there is of the last one."""
        done: list[Line] = []
        while self.shown < len(self.text):
            end = self.text.find("\n", self.shown, self.shown + LONG_LINE)
            if end < 0 and len(self.text) - self.shown >= LONG_LINE:
                done += self._line(self.text[self.shown : self.shown + LONG_LINE])
                self.shown += LONG_LINE
            elif end >= 0:
                done += self._line(self.text[self.shown : end])
                self.shown = end + 1
            elif flush:
                done += self._line(self.text[self.shown :])
                self.shown = len(self.text)
            else:
                break
        return done

    def _line(self, text: str) -> list[Line]:
        text = text.rstrip("\r")
        if not text.strip() and not self.fenced:
            self.blanks += self.begun
            return []
        held = self.held()
        self.blanks, self.begun = 0, True
        style = self.style(text)
        if style == "fence":
            self.fenced = not self.fenced
        return [*held, line(text, style)]

    def held(self) -> list[Line]:
        """The empty lines that are due if something follows."""
        return [line("", self.kind)] * self.blanks

    def style(self, text: str) -> str:
        """The little Markdown that helps to read: headings and code fences."""
        if self.kind != "text":
            return self.kind
        if text.lstrip().startswith("```"):
            return "fence"
        if self.fenced:
            return "code"
        return "heading" if text.startswith("#") and text.lstrip("#").startswith(" ") else "text"

    def rewind(self, common: int) -> int:
        """Keep the first `common` code points; returns how many printed ones are withdrawn."""
        withdrawn = max(self.shown - common, 0)
        if withdrawn:
            self.shown, self.blanks = self.text.rfind("\n", 0, common) + 1, 0
            self.fenced = sum(row.lstrip().startswith("```") for row in self.text[: self.shown].split("\n")) % 2 == 1
        self.text = self.text[:common]
        return withdrawn


class Draft:
    """The parts of reply `step` of `turn`."""

    def __init__(self, turn: int, step: int) -> None:
        self.turn, self.step = turn, step
        self._parts: dict[int, _Part] = {}
        self._active = -1

    def extend(self, delta: Mapping[str, Any]) -> list[Line]:
        """Takes in one part's delta; returns the lines it completes. Raises Gap. Repeats are dropped."""
        number, offset, text = int(delta["part"]), int(delta["offset"]), str(delta["text"])
        part = self._parts.get(number)
        if part is None:
            part = self._parts[number] = _Part(str(delta["type"]))
        part.name = str(delta.get("name") or part.name)
        if offset > len(part.text):
            raise Gap
        fresh = text[len(part.text) - offset :]
        if not fresh and part.text:
            return []
        finished = self._activate(number)
        part.text += fresh
        return finished + (part.whole_lines(flush=False) if part.kind in SHOWN else [])

    def adopt(self, parts: Sequence[Mapping[str, Any]]) -> int:
        """Makes the daemon's draft ours; returns how many printed code points are withdrawn. `print_out` prints the rest."""
        theirs = {int(part["part"]): part for part in parts}
        withdrawn = sum(part.shown for number, part in self._parts.items() if number not in theirs)
        self._parts = {number: part for number, part in self._parts.items() if number in theirs}
        for number, their in theirs.items():
            ours = self._parts.setdefault(number, _Part(str(their["type"])))
            withdrawn += self._replace(ours, str(their["text"]))
            ours.name = str(their.get("name", ""))
        self._active = max(self._parts, default=-1)
        return withdrawn

    def settle(self, parts: Sequence[Mapping[str, Any]]) -> int:
        """The same with the finished message: its parts have no numbers, and empty ones may be missing."""
        final = [part for part in parts if part["kind"] in SHOWN and part["text"]]
        numbers = [number for number, part in sorted(self._parts.items()) if part.kind in SHOWN and part.text]
        numbers += range(max(self._parts, default=-1) + 1, max(self._parts, default=-1) + 1 + len(final))
        return self.adopt([{"part": n, "type": p["kind"], "text": p["text"]} for n, p in zip(numbers, final, strict=False)])

    @staticmethod
    def _replace(ours: _Part, text: str) -> int:
        same = text.startswith(ours.text)  # the usual case, and commonprefix goes character by character
        withdrawn = ours.rewind(len(ours.text) if same else len(os.path.commonprefix([ours.text, text])))
        ours.text = text
        return withdrawn

    @property
    def outstanding(self) -> bool:
        """Whether something is not printed yet."""
        return any(part.kind in SHOWN and part.text[part.shown :].strip() for part in self._parts.values())

    def print_out(self, *, flush: bool) -> list[Line]:
        """The lines not printed yet, part by part; with `flush` also the unfinished ones."""
        done: list[Line] = []
        for number, part in sorted(self._parts.items()):
            if part.kind in SHOWN:
                done += part.whole_lines(flush=flush or number != self._active)
        return done

    def tail(self) -> list[Line]:
        """The unfinished last line, or the call that is being written."""
        part = self._parts.get(self._active)
        if part is None:
            return []
        if part.kind not in SHOWN:
            return [line(f"● {one_line(part.name, 60)}({one_line(part.text, 60)} …", "tool")]
        rest = part.text[part.shown :].rstrip()
        return [*part.held(), line(rest.expandtabs(8), part.style(rest))] if rest else []

    def _activate(self, number: int) -> list[Line]:
        before, self._active = self._active, number
        if before in (number, -1) or self._parts[before].kind not in SHOWN:
            return []
        return self._parts[before].whole_lines(flush=True)
