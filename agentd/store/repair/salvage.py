"""What can be proven to have been in a damaged log.

Theory of operation: one pass over the pages notes where each event, stream and blob is; the events are then given in the order of
the log, each read again where it was. An event counts if its sum is right for the stream it claims. The names of streams are rows
of their own and may be lost: then the sessions' ids are tried, for the sum knows the right one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import apsw

from agentd.store import blob
from agentd.store.repair.pages import Pages, Row
from agentd.store.sums import proven

Owner = tuple[str, str]
"""The name of a stream, and its user."""


class Found(NamedTuple):
    """An event as it was written. `known` is its sum: None if its row is from before there were any, and nothing proves it."""

    pos: int
    stream: str
    user: str
    seq: int
    kind: str
    version: int
    at: float
    stored: bytes
    known: int | None
    body: bytes


class Salvage:
    """What is in `pages`. `scratch` is a connection whose temporary tables are ours; `owners`: streams known from elsewhere."""

    def __init__(self, pages: Pages, scratch: apsw.Connection, owners: Mapping[int, Owner], sessions: Mapping[str, str]) -> None:
        self._pages, self._scratch, self._sessions = pages, scratch, sessions
        self.owners = dict(owners)
        scratch.execute("CREATE TEMP TABLE event_at (pos INTEGER, stream INTEGER, seq INTEGER, place INTEGER, cell INTEGER)")
        scratch.execute("CREATE TEMP TABLE blob_at (sha256 TEXT, place INTEGER, cell INTEGER)")
        for place in pages.places():
            for cell, row in pages.rows(place):
                self._note(place, cell, row)

    def _note(self, place: int, cell: int, row: Row) -> None:
        match row.columns:
            case (None, int(stream), int(seq), str(), int(), int() | float(), bytes(), *_):
                self._scratch.execute("INSERT INTO event_at VALUES (?, ?, ?, ?, ?)", (row.number, stream, seq, place, cell))
            case (None, str(name), str(user)):
                self.owners[row.number] = (name, user)
            case (None, str(sha256), int(), bytes()) if len(sha256) == 64:
                self._scratch.execute("INSERT INTO blob_at VALUES (?, ?, ?)", (sha256, place, cell))

    def events(self) -> Iterator[Found]:
        """All that are whole, by their place in the log. One that was found twice is given twice."""
        places: Iterator[Any] = self._scratch.execute("SELECT place, cell FROM event_at ORDER BY pos, seq")
        for place, cell in places:
            row = self._pages.row(place, cell)
            event = self._event(row) if row else None
            if event is not None:
                yield event

    def _event(self, row: Row) -> Found | None:
        columns: Any = row.columns
        _, number, seq, kind, version, at, stored = columns[:7]
        known = columns[7] if len(columns) > 7 else None
        for stream, user in self._candidates(number, known):
            try:
                body = proven(stored, known, stream, user, seq, at, kind, version)
            except ValueError:
                continue
            self.owners[number] = (stream, user)
            return Found(row.number, stream, user, seq, kind, version, float(at), stored, known, body)
        return None

    def _candidates(self, number: int, known: int | None) -> Iterator[Owner]:
        if number in self.owners:
            yield self.owners[number]
        if known is not None:
            yield from self._sessions.items()

    def blob(self, sha256: str) -> tuple[int, bytes] | None:
        """(length, as it is stored) of a blob that is what its name says."""
        places: list[Any] = self._scratch.execute("SELECT place, cell FROM blob_at WHERE sha256 = ?", (sha256,)).fetchall()
        for place, cell in places:
            row = self._pages.row(place, cell)
            if row is not None and isinstance(row.columns[-1], bytes):
                try:
                    content = blob.unpack(row.columns[-1])
                except ValueError:
                    continue
                if blob.address(content) == sha256:
                    return len(content), row.columns[-1]
        return None
