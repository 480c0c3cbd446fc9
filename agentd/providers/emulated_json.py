"""JSON in pieces: a string decoded as it comes, and where a value ends that is still on its way."""

from __future__ import annotations

import json
import re
from typing import Final

_PIECE: Final = re.compile(r'[^"\\]+|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[^u]|"')
_HIGH: Final = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\Z")
_BEGUN: Final = re.compile(r"(?:\\(?:u[0-9a-fA-F]{0,3})?)?\Z")
_MARK: Final = re.compile(r'["\\{}\[\],\s]')
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class StringReader:
    """The inside of a JSON string, behind its opening quote. `done`: the closing quote was seen.

    What is no valid escape stays as it is; half of a surrogate pair becomes U+FFFD. An escape that the end cuts off is dropped.
    """

    def __init__(self) -> None:
        self.done = False
        self._held = ""  # an escape that is not whole yet

    def feed(self, text: str) -> tuple[str, str]:
        """What `text` brings, decoded, and what of it lies behind the closing quote."""
        text, self._held = self._held + text, ""
        said: list[str] = []
        at = 0
        while at < len(text):
            match = _PIECE.match(text, at)
            if match is None and not _BEGUN.match(text, at):
                said.append(text[at : at + 2])  # \u without four digits
                at += 2
            elif match is None or (_HIGH.match(match[0]) and _BEGUN.match(text, match.end())):
                self._held = text[at:]
                break
            elif match[0] == '"':
                self.done = True
                return "".join(said), text[match.end() :]
            else:
                said.append(_decoded(match[0]))
                at = match.end()
        return "".join(said), ""


def _decoded(piece: str) -> str:
    if piece[0] != "\\":
        return piece
    try:
        return _SURROGATE.sub("\ufffd", str(json.loads(f'"{piece}"')))
    except ValueError:
        return piece


class ValueReader:
    """A JSON value, from its first character on. `done`: its end was seen. `depth`: how many brackets are open already."""

    def __init__(self, *, depth: int = 0) -> None:
        self.done = False
        self._depth = depth
        self._quoted = self._escaped = False

    def feed(self, text: str) -> tuple[str, str]:
        """What of `text` belongs to the value, and what lies behind it."""
        at = 1 if self._escaped and text else 0
        self._escaped = self._escaped and not text
        while match := _MARK.search(text, at):
            at = match.end()
            if self._quoted and match[0] == "\\":
                self._escaped = at == len(text)
                at += 1
            elif match[0] == '"':
                self._quoted = not self._quoted
                if not self._quoted and not self._depth:
                    return self._end(text, at)
            elif not self._quoted:
                if match[0] in "}],\t\r\n " and not self._depth:
                    return self._end(text, at - 1)  # a number or a word ends before what follows it
                self._depth += (match[0] in "{[") - (match[0] in "}]")
                if not self._depth:
                    return self._end(text, at)
        return text, ""

    def _end(self, text: str, at: int) -> tuple[str, str]:
        self.done = True
        return text[:at], text[at:]
