"""What a damaged log still says to SQLite. Nothing of it is proven: it helps to find events, and to tell what is missing."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import apsw
from attrs import field, frozen

from agentd.store import usage

Line = list[tuple[int, float]]
"""What befell a file, as numbers and times: equal for two files of one line."""


@frozen
class Hearsay:
    """`sessions`: id -> user; `heads`: stream -> number of its events; the others as rows. `erased`: sums of deleted sessions."""

    sessions: dict[str, str] = field(factory=dict)
    titles: dict[str, str] = field(factory=dict)
    heads: dict[str, int] = field(factory=dict)
    drafts: list[tuple[int, bytes]] = field(factory=list)
    keys: list[tuple[str, str, str, bytes, float]] = field(factory=list)
    erased: list[tuple[Any, ...]] = field(factory=list)
    line: Line = field(factory=list)


def listen(path: str) -> Hearsay:
    """Ask as long as it answers. The file is not changed."""
    try:
        db = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.Error:
        return Hearsay()
    try:
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        sessions = _rows(db, "SELECT id, user, title FROM session", str, str, str)
        return Hearsay(
            sessions={name: user for name, user, _ in sessions},
            titles={name: title for name, _, title in sessions},
            heads=dict(_rows(db, "SELECT name, max(seq) FROM event JOIN stream ON stream.id = stream GROUP BY stream", str, int)),
            drafts=_rows(db, "SELECT stream, data FROM draft ORDER BY id", int, bytes),
            keys=_rows(db, "SELECT user, key, digest, answer, at FROM idempotency", str, str, str, bytes, float),
            erased=_rows(db, usage.ERASED, *usage.ERASED_TYPES),
            line=line_of(db),
        )
    finally:
        db.close()


def _rows(db: apsw.Connection, statement: str, *types: type[Any]) -> list[Any]:
    """As many as come, if their values are what they should be."""
    found: list[Any] = []
    with suppress(apsw.Error, UnicodeDecodeError):
        found.extend(row for row in db.execute(statement) if all(map(isinstance, row, types)))
    return found


def line_of(db: apsw.Connection) -> Line:
    """Empty for a file that does not say."""
    return _rows(db, "SELECT id, at FROM history ORDER BY id", int, float)
