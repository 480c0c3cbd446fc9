"""The schema from nothing, from an older release, and from a newer one."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from agentd.core.index import index_change
from agentd.store.migrations import STEPS, backup_to, migrate
from agentd.store.sqlite import Append, Database, Encoded, connect
from agentwire.errors import ConfigError
from agentwire.events import SessionRenamed, encode_body

NEXT_STEPS = (*STEPS, "ALTER TABLE session ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'; CREATE TABLE extra (x);")
NEXT = len(NEXT_STEPS)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A log of the first schema with one event in it."""
    path = str(tmp_path / "agentd.db")
    database = Database(connect(path), path, index_change)
    database.migrate()
    body = SessionRenamed(title="kept")
    database.commit([Append([Encoded("s", "ann", 1.0, body, encode_body(body))])])
    database.db.close()
    return path


def tables(db: apsw.Connection) -> set[str]:
    return {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_fresh_file_gets_the_newest_schema(tmp_path: Path) -> None:
    """Without a backup: there is nothing to lose. A second start finds it done."""
    path = str(tmp_path / "new.db")
    db = connect(path)
    for _ in range(2):
        migrate(db, path)
    assert db.pragma("user_version") == len(STEPS) and "event" in tables(db)
    assert not list(tmp_path.glob("*.before-*"))


def test_older_schema_is_backed_up_and_brought_up_to_date(path: str) -> None:
    """The backup beside the file is a whole log of the old schema; the file has the new one and its events."""
    db = connect(path)
    migrate(db, path, NEXT_STEPS)
    assert db.pragma("user_version") == NEXT and "extra" in tables(db)
    assert db.execute("SELECT count(*) FROM event").get == 1
    backup = apsw.Connection(f"{path}.before-schema-{NEXT}")
    assert backup.pragma("user_version") == len(STEPS) and backup.pragma("integrity_check") == "ok"
    assert backup.execute("SELECT count(*) FROM event").get == 1 and "extra" not in tables(backup)


def test_failed_step_leaves_the_old_schema(path: str) -> None:
    """All steps or none: the old release can still read the file, and the next attempt starts from the same place."""
    db = connect(path)
    with pytest.raises(apsw.SQLError):
        migrate(db, path, (*STEPS, "CREATE TABLE extra (x); CREATE TABLE session (x);"))
    assert db.pragma("user_version") == len(STEPS) and "extra" not in tables(db) and not db.in_transaction
    migrate(db, path, NEXT_STEPS)
    assert db.pragma("user_version") == NEXT


def test_newer_schema_is_refused_and_untouched(path: str) -> None:
    """A downgrade says what to do and changes nothing."""
    db = connect(path)
    migrate(db, path, NEXT_STEPS)
    db.close()
    before = Path(path).read_bytes()
    db = connect(path)
    with pytest.raises(ConfigError, match=f"schema {NEXT}, but this agentd knows only up to {len(STEPS)}"):
        migrate(db, path)
    db.close()
    assert Path(path).read_bytes() == before


def test_backup_is_whole_while_somebody_reads(path: str, tmp_path: Path) -> None:
    """A backup takes what is committed, also what is only in the WAL yet; a stale file of that name is replaced."""
    target = str(tmp_path / "copy.db")
    db = connect(path)
    backup_to(db, target)
    db.execute("UPDATE event SET at = 2.0")
    backup_to(db, target)
    assert apsw.Connection(target).execute("SELECT at FROM event").get == 2.0
