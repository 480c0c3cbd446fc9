"""Erasing a stream and all that belongs to it. With secure_delete nothing of it stays in the file's pages."""

from __future__ import annotations

import apsw
import msgspec

from agentd.store import blob, calls, usage
from agentd.store.migrations import has_table
from agentd.store.transaction import opened, transaction

_ITS_BLOBS = """
DELETE FROM blob WHERE id IN (
    SELECT blob FROM blob_reference AS its WHERE stream = ?
    AND NOT EXISTS (SELECT 1 FROM blob_reference AS other WHERE other.blob = its.blob AND other.stream <> its.stream)
)
"""
"""By what the stream refers to: looking for what nobody refers to would go through all blobs."""


def erase_stream(db: apsw.Connection, number: int, name: str) -> None:
    """Within the caller's transaction."""
    db.execute(_ITS_BLOBS, (number,))
    for table in ("event", "draft", "snapshot", "blob_reference"):
        db.execute(f"DELETE FROM {table} WHERE stream = ?", (number,))  # noqa: S608
    db.execute("DELETE FROM session WHERE id = ?", (name,))
    if has_table(db, "usage"):  # a backup may be of an older schema
        usage.keep_sums(db, name)
    if has_table(db, "call"):
        calls.erase(db, number)
    db.execute("DELETE FROM stream WHERE id = ?", (number,))


def deleted_sessions(db: apsw.Connection) -> set[str]:
    """All that were ever deleted, as the streams of users say."""
    rows = db.execute(
        "SELECT data FROM event WHERE kind = 'session_deleted' AND stream IN (SELECT id FROM stream WHERE name LIKE 'user:%')"
    )
    return {deleted_by(blob.unpack(data)) for (data,) in rows}


def deleted_by(body: bytes) -> str:
    """The session that a `session_deleted` names."""
    session: str = msgspec.json.decode(body)["session"]
    return session


def erase_from_backup(backup: str, sessions: set[str]) -> int:
    """Erase these from a backup; returns how many it had. Killed in between, it is done again from the beginning."""
    with opened(backup) as db:
        db.pragma("secure_delete", "ON")
        there = [(number, name) for number, name in db.execute("SELECT id, name FROM stream") if name in sessions]
        if there:
            with transaction(db):
                for number, name in there:
                    erase_stream(db, number, name)
    return len(there)
