"""What the events say about the rows that are made from them: the session index, the sums of requests, the ledger of
tool calls, the references to blobs.

The writer keeps these rows up to date as it goes (sqlite.py); here they are made from nothing, for checks and repairs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import apsw
from attrs import define, field

from agentd.ports import CallChange, IndexChange, Indexer, UsageChange
from agentd.store import calls, usage
from agentd.store.listing import insert
from agentd.store.sums import proven
from agentwire.convert import structure_body

_BLOB = re.compile(rb'"blob":"([0-9a-f]{64})"')
"""A reference in a body's JSON: within a text the quotes would be escaped."""
_EVENTS = "SELECT pos, seq, kind, version, at, data, sum FROM event WHERE stream = ? ORDER BY seq"


@define
class Derived:
    """Of one stream: its row in the index (None: it has none), its calls, the sums of its requests, the blobs its events name."""

    calls: calls.Ledger
    row: dict[str, Any] | None = None
    sums: usage.Sums = field(factory=dict)
    blobs: set[str] = field(factory=set)

    def take(self, index: Indexer, stream: str, user: str, pos: int, at: float, body: Any, data: bytes) -> None:
        """The stream's next event."""
        self.blobs.update(name.decode() for name in _BLOB.findall(data))
        match index(body):
            case IndexChange() as change:
                self._change(change, stream, user, at)
                if change.call:
                    self.calls.take(pos, at, change.call)
            case CallChange() as change:
                self.calls.take(pos, at, change)
            case UsageChange() as change:
                usage.take(self.sums, user, at, change)

    def _change(self, change: IndexChange, stream: str, user: str, at: float) -> None:
        if change.create:
            times = {"created_at": at, "updated_at": at}
            self.row = {"id": stream, "user": user, "pinned": 0, "parent": "", "jobs": 0, **times, **change.set}
        elif self.row is not None:
            self.row |= {"updated_at": at, **change.set}
            for name, step in change.add.items():
                self.row[name] += step
            self.row["title"] = self.row["title"] or change.title


def derive(db: apsw.Connection, index: Indexer, number: int, stream: str, user: str) -> Derived:
    """From all events of stream `number`. Raises ValueError for one that is not what was written."""
    found = Derived(calls.Ledger(number, user))
    rows: Any = db.execute(_EVENTS, (number,))
    for pos, seq, kind, version, at, stored, known in rows:
        try:
            data = proven(stored, known, stream, user, seq, at, kind, version)
            found.take(index, stream, user, pos, at, structure_body(kind, version, data), data)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"event {seq}: {error}") from None
    return found


def indexed(db: apsw.Connection, stream: str) -> dict[str, Any] | None:
    """The row that the index has."""
    row = db.execute("SELECT * FROM session WHERE id = ?", (stream,)).get
    if row is None:
        return None
    return dict(zip((column[1] for column in db.execute("PRAGMA table_info(session)")), row, strict=True))


def rebuild(db: apsw.Connection, index: Indexer, streams: Iterable[str]) -> None:
    """Make the rows of these streams anew, and remove what belongs to none; within the caller's transaction."""
    db.execute("DELETE FROM session WHERE id NOT IN (SELECT name FROM stream)")
    for stranger in usage.strangers(db):
        usage.replace(db, stranger, {})
    db.execute(f"DELETE FROM call WHERE {calls.STRANGERS}")  # noqa: S608
    db.execute("DELETE FROM blob_reference WHERE stream NOT IN (SELECT id FROM stream) OR blob NOT IN (SELECT id FROM blob)")
    for stream in streams:
        owners: list[Any] = db.execute("SELECT id, user FROM stream WHERE name = ?", (stream,)).fetchall()
        for number, user in owners:
            found = derive(db, index, number, stream, user)
            db.execute("DELETE FROM session WHERE id = ?", (stream,))
            if found.row is not None:
                insert(db, "session", found.row)
            usage.replace(db, stream, found.sums)
            calls.replace(db, found.calls)
            statement = "INSERT OR IGNORE INTO blob_reference SELECT ?, id FROM blob WHERE sha256 = ?"
            db.executemany(statement, [(number, name) for name in sorted(found.blobs)])
