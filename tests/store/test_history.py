"""What befell a file is told until a daemon has ended well after it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from agentd.store import history
from agentd.store.migrations import upgrade
from agentd.store.repair.hearsay import line_of


@pytest.fixture
def db(tmp_path: Path) -> Iterator[apsw.Connection]:
    db = apsw.Connection(str(tmp_path / "agentd.db"))
    upgrade(db)
    yield db
    db.close()


def test_what_is_new_is_told_then_old_then_over(db: apsw.Connection) -> None:
    """It stays in the history; what was never to be told is not told."""
    history.record(db, 1.0, "repaired")
    history.record(db, 1.0, "lost blobs: abc", history.OVER)
    assert history.told(db) == (["repaired"], True)
    history.settle(db, clean=False)
    assert history.told(db) == (["repaired"], False)
    history.settle(db, clean=True)
    assert history.told(db) == ([], False) and "abc" in history.everything(db)


def test_only_an_end_after_it_counts(db: apsw.Connection) -> None:
    """The daemon that ended well before the repair says nothing of it."""
    history.record(db, 10.0, "repaired")
    assert not history.ended_since(db)
    db.execute("INSERT INTO boot VALUES ('a', 1.0, 5.0), ('b', 11.0, NULL)")
    assert not history.ended_since(db)
    db.execute("UPDATE boot SET ended_at = 12.0 WHERE id = 'b'")
    assert history.ended_since(db)


def test_files_of_one_history_are_of_one_line(db: apsw.Connection) -> None:
    """A restore begins another."""
    before = line_of(db)
    history.record(db, 3.0, "restored")
    assert before == [] and line_of(db) == [(1, 3.0)]
