"""What a person or a script sees: answers on stdout, everything else on stderr; colour and tables only on a terminal."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Container, Iterable, Sequence

from agentctl.text import one_line, sentence, visible
from agentwire.errors import AgentError, ProviderOverloaded, RateLimited

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any, TextIO

BOLD, DIM, RED, YELLOW = "1", "2", "31", "33"
_LEAST, _LEAST_CUT = 20, 8  # columns of a terminal that the last cell of a row keeps, and one that yields


class Output:
    """Both streams of one command. *Resource handling*: borrows them; `BrokenPipeError` of a reader that left is the caller's."""

    def __init__(self, args: Namespace) -> None:
        self.verbose = bool(getattr(args, "verbose", False))
        self.quiet = bool(getattr(args, "quiet", False))
        plain = getattr(args, "no_color", False) or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        self.tty = _is_tty(sys.stdout)
        self.error_tty = _is_tty(sys.stderr)
        self._color = self.tty and not plain
        self._error_color = self.error_tty and not plain
        self._mid_line = False

    def say(self, text: str, style: str = "") -> None:
        """One line of the answer."""
        self.stream(f"{self._styled(self.safe(text), style)}\n", flush=False)

    def stream(self, text: str, *, flush: bool = True) -> None:
        """A piece of the answer as it comes, made `safe` by the caller."""
        if text:
            sys.stdout.write(text)
            self._mid_line = not text.endswith("\n")
        if flush:
            sys.stdout.flush()

    def safe(self, text: str) -> str:
        """Strangers' text for stdout: harmless on a terminal, untouched in a pipe."""
        return visible(text) if self.tty else text

    def brief(self, text: str) -> str:
        """Strangers' text in a remark: one short line."""
        return one_line(text, 100)

    def document(self, value: Any) -> None:
        """One JSON document: readable on a terminal, one line in a pipe."""
        import json

        print(json.dumps(value, ensure_ascii=False, indent=2 if self.tty else None))

    def line(self, value: dict[str, Any]) -> None:
        """One line of newline-delimited JSON, at once."""
        import json

        sys.stdout.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """A remark on stderr; not with -q."""
        if not self.quiet:
            self._err(self._styled(text, DIM, error=True))

    def detail(self, text: str) -> None:
        """A remark for -v, or for somebody who waits at a terminal."""
        if self.verbose or self.error_tty:
            self.note(text)

    def warn(self, text: str) -> None:
        """Something the user should change; not with -q."""
        if not self.quiet:
            self._err(f"{self._styled('warning:', YELLOW, error=True)} {text}")

    def fail(self, text: str) -> None:
        """Why the command ends with an error: one line."""
        self._err(f"agentctl: {self._styled('error:', RED, error=True)} {one_line(text, 4000)}")

    def table(
        self, header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Container[int] = (), yields: Sequence[int] = ()
    ) -> None:
        """Aligned columns with a header on a terminal, tab-separated values in a pipe. Values are strangers' text.

        `right`: the columns of numbers. `yields`: those that are cut, in this order, where a row would not fit; the last column,
        which is cut to the room that is left, then has lines of its own.
        """
        cells = [[one_line(value, 1000) for value in row] for row in rows]
        if not self.tty:
            for row in cells:
                print("\t".join(row))
            return
        widths = [max(map(_columns, column)) for column in zip(header, *cells, strict=True)]
        columns = os.get_terminal_size(sys.stdout.fileno()).columns
        room = columns - sum(widths[:-1]) - 2 * (len(widths) - 1)
        if yields and room < min(widths[-1], _LEAST):
            self._narrow(header, cells, _cut(widths[:-1], yields, columns), right)
            return
        self.say(_aligned(header, widths, right), BOLD)
        for row in cells:
            self.say(_aligned([*row[:-1], one_line(row[-1], max(room, _LEAST))], widths, right))

    def _narrow(self, header: Sequence[str], cells: Sequence[Sequence[str]], widths: Sequence[int], right: Container[int]) -> None:
        """The last column of each row, whole, on lines of its own below it."""
        from textwrap import wrap

        columns = os.get_terminal_size(sys.stdout.fileno()).columns
        self.say(_aligned(header[:-1], widths, right), BOLD)
        for *row, last in cells:
            self.say(_aligned([one_line(value, width) for value, width in zip(row, widths, strict=True)], widths, right))
            for line in wrap(last, max(columns, 2 * _LEAST), initial_indent="    ", subsequent_indent="    "):
                self.say(line, DIM)

    def _err(self, text: str) -> None:
        sys.stdout.flush()
        # On a terminal both streams share the cursor: a remark does not continue the answer's line.
        if self._mid_line and self.tty and self.error_tty:
            sys.stderr.write("\n")
            self._mid_line = False
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def _styled(self, text: str, style: str, *, error: bool = False) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if style and (self._error_color if error else self._color) else text


def counted(count: int, noun: str) -> str:
    """`1 client`, `2 clients`, `no clients`."""
    return f"{count or 'no'} {noun}" + ("" if count == 1 else "s")


def size(count: float) -> str:
    """Bytes for people: `1.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float, units: int = 2) -> str:
    """A span for people, in its largest units: `2 h 5 min`."""
    left, parts = max(int(seconds), 0), list[str]()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= length or (unit == "s" and not parts):
            parts.append(f"{left // length} {unit}")
            left %= length
    return " ".join(parts[:units])


def explained(error: AgentError) -> str:
    """What an error says, and when to come back if the model host has too much to do and said so."""
    if not error.retry_after or not isinstance(error, (RateLimited, ProviderOverloaded)):
        return error.message
    return f"{sentence(error.message)} Try again in {duration(math.ceil(error.retry_after))}."


def _is_tty(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _cut(widths: Sequence[int], yields: Sequence[int], columns: int) -> list[int]:
    """The widths of a row that fits, if those that yield are wide enough for it."""
    cut, over = list(widths), sum(widths) + 2 * (len(widths) - 1) - columns
    for column in yields:
        less = max(min(over, cut[column] - _LEAST_CUT), 0)
        cut[column], over = cut[column] - less, over - less
    return cut


def _aligned(row: Sequence[str], widths: Sequence[int], right: Container[int]) -> str:
    padded = []
    for column, (value, width) in enumerate(zip(row, widths, strict=True)):
        space = " " * (width - _columns(value))
        padded.append(space + value if column in right else value + space)
    return "  ".join(padded).rstrip()


def _columns(text: str) -> int:
    """Terminal cells of `text`."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)
