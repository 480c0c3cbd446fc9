"""What a command says, kept within bounds and made fit to read: no terminal's commands, no half characters, nothing binary.

Theory of operation: the beginning and the end are kept as they came, what lies between is only counted; text is made of them once,
at the end, in pieces, so that a long output never holds the interpreter for long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

KEPT = 4 * 1024 * 1024
"""Bytes kept of the beginning, and as many of the end."""
_PIECE = 64 * 1024
_BINARY = 0.2
"""Share of characters that text does not have, above which it is none. One NUL between paths or variables is less."""

_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # colours, movements of the cursor
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"  # titles, links, the clipboard
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_STRANGE = re.compile(r"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f\ufffd]")


class Output:
    """The output of one command. `total` counts all bytes that came."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._head, self._tail = bytearray(), bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        """What came next."""
        self.total += len(data)
        room = self._kept - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 2 * self._kept:  # now and then, not with every byte
            del self._tail[: -self._kept]

    @property
    def long(self) -> bool:
        """Making a text of it takes time."""
        return self.total > 4 * _PIECE

    def text(self) -> str:
        """All of it, or its beginning and its end and how much lies between; a remark in its place if it is no text."""
        if is_binary(bytes(self._head[:_PIECE])):
            return f"[{self.total:,} bytes that are no text; write them to a file to work with them]"
        tail = self._tail[-self._kept :]
        between = self.total - len(self._head) - len(tail)
        if not between:
            return readable(bytes(self._head + tail))
        return f"{readable(bytes(self._head))}\n[{between:,} bytes are left out here]\n{readable(bytes(tail))}"

    def ending(self, lines: int, size: int) -> str:
        """The last lines, as many and as long as these bounds say."""
        end = (self._head + self._tail if len(self._tail) < size else self._tail)[-size:]
        return "\n".join(readable(bytes(end)).rstrip("\n").split("\n")[-lines:])


def is_binary(sample: bytes) -> bool:
    """Whether this beginning is of something that is no text."""
    text = sample.decode("utf-8", "replace")
    return len(_STRANGE.findall(text)) > _BINARY * len(text)


def readable(raw: bytes) -> str:
    """The text that a person would have seen in the end: what was overwritten is gone, and so is what a terminal obeys."""
    text = raw.decode("utf-8", "replace")
    return "".join([_readable(piece) for piece in _pieces(text)]) if len(text) > _PIECE else _readable(text)


def _pieces(text: str) -> Iterator[str]:
    """Whole lines where they are not too long."""
    start = 0
    while start < len(text):
        end = text.rfind("\n", start, start + _PIECE) + 1 or start + _PIECE
        yield text[start:end]
        start = end


def _readable(text: str) -> str:
    if not _CONTROL.search(text):
        return text
    text = _ESCAPE.sub("", text).replace("\0", "\\0")
    if "\r" in text:
        text = "\n".join([_overwritten(line) for line in text.split("\n")])
    if "\b" in text:
        text = "\n".join([_erased(line) for line in text.split("\n")])
    return _CONTROL.sub("", text)


def _overwritten(line: str) -> str:
    """A progress bar's last state."""
    return line.rstrip("\r").rpartition("\r")[2]


def _erased(line: str) -> str:
    """Without the characters that were taken back."""
    kept: list[str] = []
    for char in line:
        if char != "\b":
            kept.append(char)
        elif kept:
            kept.pop()
    return "".join(kept)
