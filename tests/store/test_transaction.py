"""All or nothing, and the cause of a failure is told."""

from __future__ import annotations

import apsw
import pytest

from agentd.store.transaction import transaction


@pytest.fixture
def db() -> apsw.Connection:
    db = apsw.Connection(":memory:")
    db.execute("CREATE TABLE t (x)")
    return db


def write(db: apsw.Connection, *statements: str, then: BaseException | None = None) -> None:
    with transaction(db):
        for statement in statements:
            db.execute(statement)
        if then is not None:
            raise then


def count(db: apsw.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM t").get)


def test_all_is_committed(db: apsw.Connection) -> None:
    """What ran without an error is there."""
    write(db, "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)")
    assert count(db) == 2 and not db.in_transaction


def test_nothing_is_left_of_a_failure(db: apsw.Connection) -> None:
    """Any exception takes everything back, and the next transaction works."""
    with pytest.raises(KeyboardInterrupt):
        write(db, "INSERT INTO t VALUES (1)", then=KeyboardInterrupt())
    write(db, "INSERT INTO t VALUES (2)")
    assert db.execute("SELECT x FROM t").get == 2


def test_full_disk_is_told_as_a_full_disk(db: apsw.Connection) -> None:
    """SQLite has rolled back by itself already: that must not hide why. (`with connection:` raises SQLError here.)"""
    db.pragma("max_page_count", db.pragma("page_count"))
    with pytest.raises(apsw.FullError):
        write(db, "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (zeroblob(100000))")
    assert count(db) == 0 and not db.in_transaction
