"""Searching file by file in the daemon, where there is no ripgrep. A pattern that would take for ever has a time limit.

The expression is tried on each line alone, as ripgrep does it. A line costs microseconds: so a whole block is looked at first,
where finding nothing there means that no line has a match. That is not so for expressions that look around or that know
where the text begins and ends.
"""

from __future__ import annotations

import io
import re
import stat
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from attrs import frozen

from agentd.toolsources.files.arguments import Grep
from agentd.toolsources.files.matches import Hit, Report
from agentd.toolsources.files.opening import explained, opened, opened_in
from agentd.toolsources.files.patterns import Pattern
from agentd.toolsources.files.text import decode, encoding_of
from agentd.toolsources.files.walking import Deadline, TookTooLongError, Walk
from agentwire.errors import ToolError

SECONDS = 20.0
SLOW = f"(cut: it took more than {SECONDS:g} s; a simpler pattern or a smaller directory may help)"
_BLOCK = 4 * 1024 * 1024  # bytes
_LINE_SECONDS = 5.0
_NOT_IN_BLOCKS = re.compile(r"\\[^dwsbDWS.*+?()\[\]{}|^$/\"'-]|\(\?[^:]|[*+?}]\+|\(\*")


@frozen
class Search:
    """`hidden(absolute path)`: files that are passed over; `files`: which others are looked at."""

    wanted: Grep
    hidden: Callable[[str], bool]
    files: Pattern | None = None

    def run(self, path: str, report: Report, deadline: Deadline) -> None:
        """Search the file or directory at the real path. Error handling: ToolError; at the deadline the report says so."""
        expression = self._expression()
        try:
            with explained(path), opened(path) as (fd, about):
                if stat.S_ISREG(about.st_mode):
                    _File(self.wanted, expression, path.rpartition("/")[2], fd, deadline).into(report)
                    return
            with explained(path):
                self._directory(path, expression, report, deadline)
        except TookTooLongError:
            report.note = SLOW

    def _expression(self) -> Any:
        import regex

        flags = regex.MULTILINE | (regex.IGNORECASE if self.wanted.ignore_case else 0)
        try:
            return regex.compile(self.wanted.pattern, flags)
        except (regex.error, OverflowError, RecursionError) as error:
            raise ToolError(
                f"pattern is not a regular expression: {error}; characters such as ( [ {{ * . stand for themselves after a \\"
            ) from None

    def _directory(self, path: str, expression: Any, report: Report, deadline: Deadline) -> None:
        leads = self.files.leads_to if self.files else lambda _directory: True
        for found in Walk(path, deadline, self.hidden, leads).files():
            if found.is_link or (self.files and not self.files.matches(found.path)):
                continue
            with suppress(OSError), opened_in(found.fd, found.name) as (fd, _about):
                if not _File(self.wanted, expression, found.path, fd, deadline).into(report):
                    return


@frozen
class _File:
    wanted: Grep
    expression: Any
    path: str
    fd: int
    deadline: Deadline

    def into(self, report: Report) -> bool:
        """False when the report wants no more."""
        if self.wanted.mode == "content":
            return all(report.add(hit) for hit in self._hits())
        matching = (hit for hit in self._hits() if hit.matches)
        if self.wanted.mode == "files":
            return next(matching, None) is None or report.add(Hit(self.path))
        count = sum(1 for _ in matching)
        return not count or report.add(Hit(self.path, count))

    def _hits(self) -> Iterator[Hit]:
        around = self.wanted.context if self.wanted.mode == "content" else 0
        before: deque[Hit] = deque(maxlen=around)
        number, after = 0, 0
        for text in self._blocks():
            worth = self._worth(text)
            if not worth and not around:
                number += text.count("\n") + 1
                continue
            for line in text.split("\n"):
                number += 1
                hit = Hit(self.path, number, line, worth and self._matches(line))
                if hit.matches:
                    yield from before
                    before.clear()
                    after = around
                    yield hit
                elif after:
                    after -= 1
                    yield hit
                else:
                    before.append(hit)

    def _worth(self, text: str) -> bool:
        """Whether a line of the text may match."""
        return _NOT_IN_BLOCKS.search(self.wanted.pattern) is not None or self._matches(text)

    def _matches(self, text: str) -> bool:
        try:
            return self.expression.search(text, timeout=min(_LINE_SECONDS, self.deadline.left), concurrent=True) is not None
        except TimeoutError:  # an OSError, of which files may have others
            raise TookTooLongError from None

    def _blocks(self) -> Iterator[str]:
        """The text in pieces of whole lines, without the last newline and with "\\n" alone; nothing of a binary file."""
        with open(self.fd, "rb", buffering=0, closefd=False) as file:
            yield from _text_blocks(file)


def _text_blocks(file: io.RawIOBase) -> Iterator[str]:
    block = file.read(_BLOCK) or b""
    encoding, _mark = encoding_of(block)
    if encoding != "utf-8":
        content = decode(block)
        if content is not None:
            yield content.text.replace("\r\n", "\n").removesuffix("\n")
        return
    block = block.removeprefix(_mark)
    while block:
        if b"\0" in block:
            return
        more = file.read(_BLOCK) or b""
        cut = block.rfind(b"\n") + 1 if more else len(block)
        rest = block[cut:]
        yield block[:cut].decode("utf-8", "replace").replace("\r\n", "\n").removesuffix("\n")
        block = rest + more
