"""The session index as the writer keeps it: what the events of one append do to a session's row is written once.

A row stands in several orders (by activity, by directory, ...), so each write of it costs as many pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import apsw
from attrs import define, field

from agentd.ports import IndexChange


@define
class _Pending:
    """What is to become of a row. `title`: if it has none."""

    at: float = 0.0
    set: dict[str, Any] = field(factory=dict)
    add: dict[str, int] = field(factory=dict)
    title: str = ""

    def take(self, at: float, change: IndexChange) -> None:
        self.at = at
        for name, value in change.set.items():
            self.set[name] = value
            self.add.pop(name, None)
            if name == "title":
                self.title = ""
        for name, step in change.add.items():
            kept = self.set if name in self.set else self.add
            kept[name] = kept.get(name, 0) + step
        if "title" in self.set:
            self.set["title"] = self.set["title"] or change.title
        else:
            self.title = self.title or change.title


class Listing:
    """`take` each event of an append, then `write`."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._pending: dict[str, _Pending] = {}

    def take(self, stream: str, user: str, at: float, change: IndexChange) -> None:
        """What an event does to the row of its session; within the caller's transaction."""
        if change.create:
            self.write()
            insert(self._db, "session", {"id": stream, "user": user, "created_at": at, "updated_at": at, **change.set})
        else:
            self._pending.setdefault(stream, _Pending()).take(at, change)

    def write(self) -> None:
        """Put what has changed into the table."""
        for stream, pending in self._pending.items():
            values: list[Any] = [pending.at, *pending.set.values()]
            parts = ["updated_at = ?", *[f"{name} = ?" for name in pending.set]]
            for name, step in pending.add.items():
                if step:
                    parts.append(f"{name} = {name} + ?")
                    values.append(step)
            if pending.title:
                parts.append("title = CASE title WHEN '' THEN ? ELSE title END")
                values.append(pending.title)
            self._db.execute(f"UPDATE session SET {', '.join(parts)} WHERE id = ?", (*values, stream))  # noqa: S608
        self._pending.clear()

    def forget(self) -> None:
        """The transaction was rolled back."""
        self._pending.clear()


def insert(db: apsw.Connection, table: str, row: Mapping[str, Any]) -> None:
    """A row by the names of its columns."""
    db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))  # noqa: S608
