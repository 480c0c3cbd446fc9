"""Lines of JSON, sans-IO: the bytes of a body in any split -> its lines (https://github.com/ndjson/ndjson-spec)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile

from agentd.providers.sse import MAX_LINE, SseError


class LineReader:
    """One per response body. After an SseError (a line longer than MAX_LINE) it must not be fed again."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []  # the line that has not ended yet
        self._held = 0

    @property
    def partial(self) -> bool:
        """True if the bytes so far end inside an object. (Some servers do not end their last line.)"""
        return bool(self._pieces) and not self._pieces[-1].endswith(b"}")

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, but for empty ones."""
        *lines, rest = data.split(b"\n")
        if lines and self._pieces:
            lines[0] = b"".join((*self._pieces, lines[0]))
            self._pieces.clear()
            self._held = 0
        if rest:
            self._pieces.append(rest)
            self._held += len(rest)
        if self._held > MAX_LINE or max(map(len, lines), default=0) > MAX_LINE:
            raise SseError("a line longer than 8 MiB", _said(takewhile(lambda line: len(line) <= MAX_LINE, lines)))
        return _said(lines)


def _said(lines: Iterable[bytes]) -> list[bytes]:
    return [line for line in lines if line and not line.isspace()]
