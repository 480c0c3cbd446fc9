"""Server-sent events, sans-IO: the bytes of a body in any split -> the data of its events.

Theory of operation: lines end in LF, CR or CRLF; `data:` lines gather until a blank line completes the event; comments (pings) and
the fields `event`, `id`, `retry` carry nothing that the dialects need (https://html.spec.whatwg.org/multipage/server-sent-events.html).
Unlike a browser this reader refuses what is no field at all: an HTML page or a broken proxy must be named, not skipped.
"""

from __future__ import annotations

MAX_LINE = 8 * 1024 * 1024
"""Bytes of one line, and of one event's data. A hostile or broken server must not fill our memory."""

_FIELDS = frozenset((b"data", b"event", b"id", b"retry"))
_BOM = b"\xef\xbb\xbf"
_TOO_LONG = "a line longer than 8 MiB"


class SseError(ValueError):
    """The bytes are no event stream, or a line is longer than MAX_LINE; the text says which. `events`: what came before it."""

    def __init__(self, message: str, events: list[bytes]) -> None:
        super().__init__(message)
        self.events = events


class SseReader:
    """One per response body. After an SseError it must not be fed again."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []  # the line that has not ended yet
        self._held = 0
        self._data: list[bytes] = []  # the event that has not ended yet
        self._size = 0
        self._after_cr = False
        self._begun = False
        self._between = False  # nothing of what came so far is still to be used

    @property
    def partial(self) -> bool:
        """True if the bytes so far end inside a line: at the end of the body, it was cut off."""
        return bool(self._pieces)

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the events that `data` completes; events without data are dropped."""
        if self._between and _is_one_event(data):  # as nearly always
            return [data[6:-2]]
        if not data:
            return []
        *lines, rest = self._normalise(data).split(b"\n")
        if lines and self._pieces:
            lines[0] = b"".join((*self._pieces, lines[0]))
            self._pieces.clear()
            self._held = 0
        if lines and not self._begun:
            self._begun = True
            lines[0] = lines[0].removeprefix(_BOM)
        events = self._events(lines)
        if rest:
            self._pieces.append(rest)
            self._held += len(rest)
            if self._held > MAX_LINE:
                raise SseError(_TOO_LONG, events)
        self._between = not (rest or self._data or self._after_cr)
        return events

    def _normalise(self, data: bytes) -> bytes:
        if self._after_cr and data.startswith(b"\n"):  # a CRLF cut in two
            data = data[1:]
        self._after_cr = data.endswith(b"\r")
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        gathered = self._data
        for line in lines:
            if not line:
                if gathered:
                    events.append(gathered[0] if len(gathered) == 1 else b"\n".join(gathered))
                    gathered.clear()
                    self._size = 0
            elif line.startswith(b"data:"):
                gathered.append(line[6:] if line.startswith(b"data: ") else line[5:])
                self._size += len(line)
                if self._size > MAX_LINE:
                    raise SseError(_TOO_LONG, events)
            elif len(line) > MAX_LINE:
                raise SseError(_TOO_LONG, events)
            elif line[:1] != b":" and line.partition(b":")[0] not in _FIELDS:
                raise SseError(f"a line that is no server-sent event: {line[:80].decode('utf-8', 'replace')!r}", events)
        return events


def _is_one_event(data: bytes) -> bool:
    """Whether it is one whole event of one line, in the form in which it is mostly written."""
    plain = data.startswith(b"data: ") and data.endswith(b"\n\n") and data.count(b"\n") == 2
    return plain and b"\r" not in data and len(data) <= MAX_LINE
