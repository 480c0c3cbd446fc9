"""What `grep` says, whoever has searched: the same words and the same limits. Pure."""

from __future__ import annotations

from typing import NamedTuple

from attrs import Factory, define

from agentd.toolsources.files.arguments import Grep
from agentd.toolsources.files.text import shown

_LINE = 500  # characters
_PAGE = 60_000


class Hit(NamedTuple):
    """A line of a file; one that does not match stands around one that does. `number`: of the line, or how many match (count)."""

    path: str
    number: int = 0
    text: str = ""
    matches: bool = True


@define
class Report:
    """`prefix`: what stands before each path."""

    wanted: Grep
    prefix: str
    note: str = ""
    _lines: list[str] = Factory(list)
    _found: int = 0
    _size: int = 0
    _last: tuple[str, int] = ("", 0)

    def add(self, hit: Hit) -> bool:
        """Take the next one, in order; False when no more is wanted."""
        limit = self.wanted.limit
        if (hit.matches and self._found >= limit) or self._size > _PAGE:
            self.note = f"(cut at {min(limit, self._found)}: a narrower pattern, path or glob shows the rest)"
            return False
        self._found += hit.matches
        count = f": {hit.number}" if self.wanted.mode == "count" else ""
        if self.wanted.mode == "content":
            self._line(hit)
        else:
            self._say(f"{self.prefix}{hit.path}{count}")
        return True

    def _line(self, hit: Hit) -> None:
        if hit.path != self._last[0]:
            self._say("\n" * bool(self._lines) + f"{self.prefix}{hit.path}")
        elif self.wanted.context and hit.number > self._last[1] + 1:
            self._say("--")
        text = hit.text if len(hit.text) <= _LINE else f"{hit.text[:_LINE]} [cut]"
        self._say(f"{hit.number}{':' if hit.matches else '-'}{text}")
        self._last = hit.path, hit.number

    def _say(self, line: str) -> None:
        self._lines.append(line)
        self._size += len(line) + 1

    @property
    def text(self) -> str:
        found = self._lines or ["nothing matches; ignored files (.gitignore) and binary files are left out"]
        return shown("\n".join([*found, *([self.note] if self.note else [])]))
