"""What is read from the log's file: one connection, read-only, in a thread of its own.

WAL lets a long replay and a commit pass each other. A page is bounded in rows and in bytes: it must fit a frame.
"""

from __future__ import annotations

from typing import Any

import apsw

from agentd.ports import CallFilter, CallSums, UsageFilter, UsageKey
from agentd.store import blob, calls
from agentd.store.sums import proven, unsealed
from agentd.store.usage import summed
from agentwire.events import Event
from agentwire.types import CallRecord, SessionFilter, SessionInfo, UsageRow

_PAGE_BYTES = 2 * 1024 * 1024
"""Bytes of event bodies in one page: with its largest event it still fits into a frame of 4 MiB."""
KEY_LIFETIME = 24 * 3600.0
"""Seconds for which the answer under an idempotency key is kept."""
_COLUMNS = "id, title, cwd, model, status, created_at, updated_at, turns, queued, pinned, parent"
_NAMES = _COLUMNS.split(", ")


class Reader:
    """Not thread-safe: the caller keeps it in the thread of its connection."""

    def __init__(self, db: apsw.Connection, path: str) -> None:
        self.db = db
        self.path = path

    def read(self, name: str, after: int, limit: int) -> list[Event]:
        return self._events("seq > ? ORDER BY seq LIMIT ?", name, after, limit)

    def read_back(self, name: str, before: int, limit: int) -> list[Event]:
        return self._events("seq < ? ORDER BY seq DESC LIMIT ?", name, before, limit)[::-1]

    def _events(self, clause: str, name: str, cursor: int, limit: int) -> list[Event]:
        rows = self.db.execute(
            "SELECT pos, seq, user, at, kind, version, data, sum FROM event JOIN stream ON stream.id = event.stream "  # noqa: S608
            f"WHERE event.stream = (SELECT id FROM stream WHERE name = ?) AND {clause}",
            (name, cursor, limit),
        )
        events: list[Event] = []
        size = 0
        for pos, seq, user, at, kind, version, data, known in rows:
            try:
                whole = proven(data, known, name, user, seq, at, kind, version)
            except ValueError as error:
                raise apsw.CorruptError(f"event {seq} of {name} is damaged: {error}") from None
            size += len(whole)
            if events and size > _PAGE_BYTES:
                break
            events.append(Event(pos=pos, stream=name, seq=seq, user=user, at=at, kind=kind, version=version, body=None, data=whole))
        return events

    def answered(self, user: str, key: str, now: float) -> tuple[str, bytes] | None:
        statement = "SELECT digest, answer FROM idempotency WHERE user = ? AND key = ? AND at >= ?"
        row: tuple[str, bytes] | None = self.db.execute(statement, (user, key, now - KEY_LIFETIME)).get
        return row

    def load_draft(self, name: str) -> list[bytes]:
        rows = self.db.execute("SELECT data FROM draft WHERE stream = (SELECT id FROM stream WHERE name = ?) ORDER BY id", (name,))
        return [data for (data,) in rows]

    def load_snapshot(self, name: str, code: str) -> tuple[int, bytes] | None:
        statement = "SELECT seq, state FROM snapshot WHERE stream = (SELECT id FROM stream WHERE name = ?) AND code = ?"
        row = self.db.execute(statement, (name, code)).get
        state = unsealed(row[1], f"{name} {row[0]} {code}") if row else None
        return None if state is None else (row[0], blob.unpack(state))

    def get_blob(self, name: str, sha256: str, offset: int, limit: int) -> tuple[bytes, int] | None:
        row = self.db.execute(
            "SELECT bytes, data FROM blob JOIN blob_reference ON blob_reference.blob = blob.id "
            "WHERE sha256 = ? AND blob_reference.stream = (SELECT id FROM stream WHERE name = ?)",
            (sha256, name),
        ).get
        return (blob.unpack(row[1])[offset : offset + limit], row[0]) if row else None

    def sessions(self, user: str, which: SessionFilter, before: str, limit: int) -> list[SessionInfo]:
        """Newest activity first; `before` is `updated_at:id` of the last one seen."""
        conditions: list[tuple[str, tuple[Any, ...]]] = [("user = ?", (user,)), *_conditions(which)]
        if before:
            at, _, last = before.partition(":")
            conditions.append(("updated_at <= ? AND (updated_at < ? OR id > ?)", (float(at), float(at), last)))
        where = " AND ".join(clause for clause, _ in conditions)
        values = [value for _, some in conditions for value in some]
        # Few are at work; left alone, SQLite would go through all of them in their order.
        table = "session" if which.status in ("", "idle") else "session INDEXED BY session_unfinished"
        statement = f"SELECT {_COLUMNS} FROM {table} WHERE {where} ORDER BY updated_at DESC, id LIMIT ?"  # noqa: S608
        return [_session(row) for row in self.db.execute(statement, (*values, limit))]

    def find_session(self, user: str, prefix: str) -> list[str]:
        # Ids are lower-case hex, so `prefix` + "g" is above everything that begins with it. +user: not by an index that has users.
        rows = self.db.execute(
            "SELECT id FROM session WHERE id >= ? AND id < ? AND +user = ? LIMIT 2", (prefix, prefix + "g", user)
        )
        return [row[0] for row in rows]

    def unfinished(self) -> list[tuple[str, str]]:
        return list(self.db.execute("SELECT user, id FROM session WHERE status <> 'idle' OR queued > 0 OR jobs > 0"))

    def users(self) -> list[str]:
        # From one to the next by index; DISTINCT would go through all sessions.
        rows = self.db.execute(
            "WITH RECURSIVE next(user) AS (SELECT min(user) FROM session UNION ALL "
            "SELECT (SELECT min(user) FROM session WHERE user > next.user) FROM next WHERE next.user IS NOT NULL) "
            "SELECT user FROM next WHERE user IS NOT NULL"
        )
        return [user for (user,) in rows]

    def usage(self, by: UsageKey, which: UsageFilter, limit: int) -> list[UsageRow]:
        return summed(self.db, by, which, limit)

    def calls(self, user: str, which: CallFilter, before: int | None, limit: int) -> list[CallRecord]:
        return calls.listed(self.db, user, which, before, limit)

    def call_sums(self, user: str) -> list[CallSums]:
        return calls.summed(self.db, user)

    def direct_calls(self) -> list[tuple[str, str, bool]]:
        return calls.direct(self.db)

    def count_sessions(self) -> int:
        return int(self.db.execute("SELECT count(*) FROM session").get)


def _session(row: tuple[Any, ...]) -> SessionInfo:
    values = dict(zip(_NAMES, row, strict=True))
    return SessionInfo(**{**values, "pinned": bool(values["pinned"])})


def _conditions(which: SessionFilter) -> list[tuple[str, tuple[Any, ...]]]:
    """With what the partial indexes ask for in SQLite's own words: it does not conclude `status <> 'idle'` from a value."""
    words = ("cwd", "status", "model", "parent")
    found: list[tuple[str, tuple[Any, ...]]] = [(f"{name} = ?", (getattr(which, name),)) for name in words if getattr(which, name)]
    if which.status not in ("", "idle"):
        found.append(("status <> 'idle'", ()))
    if which.parent:
        found.append(("parent <> ''", ()))
    if which.pinned is not None:
        found.append(("pinned = 1" if which.pinned else "pinned = 0", ()))
    if which.text:
        escaped = "".join(f"\\{char}" if char in "\\%_" else char for char in which.text)
        found.append(("title LIKE ? ESCAPE '\\'", (f"%{escaped}%",)))
    for clause, limit in (
        ("updated_at > ?", which.active_after),
        ("updated_at < ?", which.active_before),
        ("created_at < ?", which.created_before),
    ):
        if limit is not None:
            found.append((clause, (limit,)))
    return found
