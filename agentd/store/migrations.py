"""The schema, as steps by `PRAGMA user_version`. A released step is never edited; a new one is added behind it.

The event table is the truth; session, usage, draft, snapshot and idempotency rows are derived from it or disposable. Streams and
kinds have small numbers and short names in the rows: a 300-character message must not cost 600 bytes on disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import apsw
import msgspec

from agentd.store import blob
from agentd.store.transaction import transaction
from agentwire.errors import ConfigError

BEFORE = ".before-schema-"
"""Behind a log's name: what it was before a migration to the version that follows."""

_ABSURD = 1000
"""A version that no release will have: a damaged header."""

Step = str | Callable[[apsw.Connection], None]
_Counted = msgspec.defstruct("_Counted", [(name, int, 0) for name in ("input", "cached", "output", "reasoning")])
_Reply = msgspec.defstruct("_Reply", [("model", str), ("usage", _Counted)])


def _count_past_requests(db: apsw.Connection) -> None:
    """The sums of what was asked before they were kept. What it cost nobody has written down: it counts as unpriced."""
    db.execute(
        """
        CREATE TABLE usage (
            user TEXT NOT NULL, day INTEGER NOT NULL, session TEXT NOT NULL, model TEXT NOT NULL, requests INTEGER NOT NULL,
            input INTEGER NOT NULL, cached INTEGER NOT NULL, output INTEGER NOT NULL, reasoning INTEGER NOT NULL,
            cost INTEGER NOT NULL, unpriced INTEGER NOT NULL, estimated INTEGER NOT NULL,
            PRIMARY KEY (user, day, session, model)
        ) WITHOUT ROWID;
        CREATE INDEX usage_by_session ON usage (session);
        """
    )
    sums: dict[tuple[str, int, str, str], Counter[str]] = {}
    events: Any = db.execute(
        "SELECT user, at, name, data FROM event JOIN stream ON stream.id = event.stream WHERE kind = 'assistant_message'"
    )
    decode = msgspec.json.Decoder(_Reply).decode
    for user, at, session, data in events:
        try:
            reply: Any = decode(blob.unpack(data))
        except ValueError:  # damaged: whoever reads it will say so
            continue
        sums.setdefault((user, int(at // 86400), session, reply.model), Counter()).update(
            {"requests": 1, "unpriced": 1, **msgspec.structs.asdict(reply.usage)}
        )
    names = ("requests", "input", "cached", "output", "reasoning", "cost", "unpriced", "estimated")
    rows = [(*key, *(found[name] for name in names)) for key, found in sums.items()]
    db.executemany("INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)


_Call = msgspec.defstruct(
    "_Call", [("call", str), ("name", str, ""), ("session", str, ""), ("outcome", str, ""), ("seconds", float, 0.0)]
)
_WAYS = {"approval_requested": "waiting", "tool_started": "started", "tool_finished": "over"}


def _list_past_calls(db: apsw.Connection) -> None:
    """The ledger of the tool calls before it was kept, from their events."""
    db.execute(
        """
        CREATE TABLE call (
            pos INTEGER PRIMARY KEY, stream INTEGER NOT NULL, user TEXT NOT NULL, session TEXT NOT NULL, call TEXT NOT NULL,
            name TEXT NOT NULL, planned_at REAL NOT NULL, started_at REAL, finished_at REAL,
            state TEXT NOT NULL, outcome TEXT NOT NULL, seconds REAL NOT NULL
        );
        CREATE INDEX call_by_stream ON call (stream);
        CREATE INDEX call_by_session ON call (session) WHERE session <> '';
        CREATE INDEX call_open ON call (stream, call) WHERE outcome = '';
        """
    )
    events: Any = db.execute(
        "SELECT pos, stream, user, at, kind, data FROM event JOIN stream ON stream.id = event.stream "
        "WHERE kind IN ('tool_planned', 'approval_requested', 'tool_started', 'tool_finished') ORDER BY stream, seq"
    )
    decode = msgspec.json.Decoder(_Call).decode
    for pos, stream, user, at, kind, data in events:
        try:
            body: Any = decode(blob.unpack(data))
        except ValueError:  # damaged: whoever reads it will say so
            continue
        if kind == "tool_planned":
            row = (pos, stream, user, body.session, body.call, body.name, at)
            db.execute("INSERT INTO call VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL, 'planned', '', 0.0)", row)
        else:
            db.execute(
                "UPDATE call SET state = ?, outcome = ?, seconds = ?, started_at = coalesce(?, started_at), finished_at = ? "
                "WHERE pos = (SELECT max(pos) FROM call WHERE stream = ? AND call = ? AND outcome = '')",
                (
                    *(_WAYS[kind], body.outcome, body.seconds),
                    *(at if kind == "tool_started" else None, at if kind == "tool_finished" else None),
                    *(stream, body.call),
                ),
            )


STEPS: tuple[Step, ...] = (
    """
    CREATE TABLE stream (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, user TEXT NOT NULL);
    CREATE TABLE event (
        pos INTEGER PRIMARY KEY, stream INTEGER NOT NULL, seq INTEGER NOT NULL,
        kind TEXT NOT NULL, version INTEGER NOT NULL, at REAL NOT NULL, data BLOB NOT NULL
    );
    CREATE UNIQUE INDEX event_by_stream ON event (stream, seq);
    CREATE TABLE session (
        id TEXT PRIMARY KEY, user TEXT NOT NULL, title TEXT NOT NULL, cwd TEXT NOT NULL, model TEXT NOT NULL, status TEXT NOT NULL,
        created_at REAL NOT NULL, updated_at REAL NOT NULL, turns INTEGER NOT NULL, queued INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX session_by_activity ON session (user, updated_at DESC, id);
    CREATE INDEX session_by_cwd ON session (user, cwd, updated_at DESC, id);
    CREATE INDEX session_unfinished ON session (user, id) WHERE status <> 'idle' OR queued > 0;
    CREATE TABLE draft (id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, data BLOB NOT NULL);
    CREATE INDEX draft_by_stream ON draft (stream);
    CREATE TABLE snapshot (stream INTEGER PRIMARY KEY, seq INTEGER NOT NULL, code TEXT NOT NULL, state BLOB NOT NULL);
    CREATE TABLE blob (id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, bytes INTEGER NOT NULL, data BLOB NOT NULL);
    CREATE TABLE blob_reference (stream INTEGER NOT NULL, blob INTEGER NOT NULL, PRIMARY KEY (stream, blob)) WITHOUT ROWID;
    CREATE INDEX blob_reference_by_blob ON blob_reference (blob);
    CREATE TABLE idempotency (
        user TEXT NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL, answer BLOB NOT NULL, at REAL NOT NULL, PRIMARY KEY (user, key)
    ) WITHOUT ROWID;
    CREATE TABLE boot (id TEXT PRIMARY KEY, started_at REAL NOT NULL, ended_at REAL);
    """,
    """
    ALTER TABLE session ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE session ADD COLUMN parent TEXT NOT NULL DEFAULT '';
    """,
    # `sum` is NULL in rows from before. Snapshots have one, too: those without are of no use. `history`: what befell this file.
    """
    ALTER TABLE event ADD COLUMN sum INTEGER;
    DELETE FROM snapshot;
    CREATE TABLE history (id INTEGER PRIMARY KEY, at REAL NOT NULL, text TEXT NOT NULL, state INTEGER NOT NULL);
    """,
    # Of 100,000 sessions: the few that are pinned or forked, and those that are old.
    """
    CREATE INDEX session_pinned ON session (user, updated_at DESC, id) WHERE pinned = 1;
    CREATE INDEX session_by_parent ON session (user, parent, updated_at DESC, id) WHERE parent <> '';
    CREATE INDEX session_by_age ON session (user, created_at);
    """,
    _count_past_requests,
    # A session whose jobs ran when the daemon was killed is unfinished, too.
    """
    ALTER TABLE session ADD COLUMN jobs INTEGER NOT NULL DEFAULT 0;
    DROP INDEX session_unfinished;
    CREATE INDEX session_unfinished ON session (user, id) WHERE status <> 'idle' OR queued > 0 OR jobs > 0;
    """,
    _list_past_calls,
)


def migrate(db: apsw.Connection, path: str, steps: tuple[Step, ...] = STEPS) -> None:
    """Bring the schema up to date in one transaction, after a backup beside the file.

    Error handling: a database newer than this code raises ConfigError (exit 78) and is left untouched.
    """
    version = refuse_newer(db, path, len(steps))
    if version == len(steps):
        return
    if version > 0 and path != ":memory:":
        backup_to(db, f"{path}{BEFORE}{len(steps)}")
    upgrade(db, steps)


def refuse_newer(db: apsw.Connection, path: str, known: int = len(STEPS)) -> int:
    """The version of its schema. Raises ConfigError if it is newer than `known`."""
    version: int = db.pragma("user_version")
    if version > known:
        raise ConfigError(
            f"{path} has schema {version}, but this agentd knows only up to {known}: it was written by a newer release. "
            "Install that release again, or move the file away."
        )
    return version


def upgrade(db: apsw.Connection, steps: tuple[Step, ...] = STEPS) -> None:
    """The steps that are missing, all or none."""
    with transaction(db):
        for step in steps[db.pragma("user_version") :]:
            _take(db, step)
        db.pragma("user_version", len(steps))


def _take(db: apsw.Connection, step: Step) -> None:
    if isinstance(step, str):
        db.execute(step)
    else:
        step(db)


def is_ours(db: apsw.Connection) -> bool:
    """Whether the tables are those of the version that the file claims to have. A newer release's are not known."""
    version: int = db.pragma("user_version")
    model = apsw.Connection(":memory:")
    try:
        known = [_tables(model)]
        for step in STEPS:
            _take(model, step)
            known.append(_tables(model))
    finally:
        model.close()
    if 0 <= version < len(known):
        return _tables(db) == known[version]
    return len(known) <= version < _ABSURD


def has_table(db: apsw.Connection, name: str) -> bool:
    """Whether the schema is one that has this table."""
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).get is not None


def _tables(db: apsw.Connection) -> set[tuple[str, str]]:
    return set(db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))


def backup_to(db: apsw.Connection, target: str) -> None:
    """A consistent copy through SQLite's backup interface."""
    copy = apsw.Connection(target)
    try:
        with copy.backup("main", db, "main") as backup:
            while not backup.done:
                backup.step(1000)
    finally:
        copy.close()
