"""The deltas of a reply, gathered while one feed is read: for each part its PartStart if new, and all its text as one piece."""

from __future__ import annotations

from typing import Any

from agentd.ports import Cited, Delta, PartStart, PartText, Sealed
from agentwire.types import Citation, PartKind


class ReplyParts:
    """Numbers the parts of one reply in the order in which they begin. `take` empties it."""

    def __init__(self) -> None:
        self._count = 0
        self._started: dict[int, PartStart | Cited] = {}
        self._pieces: dict[int, list[str]] = {}
        self._seals: list[Sealed] = []

    def start(self, kind: PartKind, name: str = "") -> int:
        """Begin a part; its number."""
        return self._begin(PartStart(self._count, kind, name))

    def cite(self, citation: Citation) -> int:
        """A citation, which is a part of its own; its number."""
        return self._begin(Cited(self._count, citation))

    def add(self, part: int, text: str) -> None:
        """More of a part's text."""
        pieces = self._pieces.get(part)
        if pieces is None:
            self._pieces[part] = [text]
        else:
            pieces.append(text)

    def seal(self, part: int, vendor: dict[str, Any]) -> None:
        """What the vendor wants back with a part."""
        self._seals.append(Sealed(part, vendor))

    def take(self) -> list[Delta]:
        """What came since the last call."""
        deltas: list[Delta] = []
        started = self._started
        for part, pieces in self._pieces.items():
            if part in started:
                deltas.append(started[part])
            if text := "".join(pieces):
                deltas.append(PartText(part, text))
        self._pieces.clear()
        if started:
            started.clear()
        if self._seals:
            deltas += self._seals
            self._seals.clear()
        return deltas

    def _begin(self, delta: PartStart | Cited) -> int:
        part = self._count
        self._count += 1
        self._started[part] = delta
        self._pieces[part] = []
        return part
