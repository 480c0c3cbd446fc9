"""What the events say about derived rows is what the writer has written."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentd.core.index import index_change
from agentd.store.derived import derive, indexed, rebuild
from agentd.store.transaction import opened, transaction
from agentwire import events as ev
from agentwire.types import Preferences
from tests.core.logs import asked, created
from tests.store.damage import Log, lived, problems


def test_rows_are_those_that_the_writer_keeps(tmp_path: Path) -> None:
    """After every kind of event that the index knows."""
    log = lived(tmp_path / "agentd.db")
    session = "d" * 32
    log.append(session, ev.SessionRenamed(title="renamed"))
    log.append(session, ev.SessionConfigured(preferences=Preferences(model="m", pinned=True), variables={}))
    log.append(session, asked("c"))
    for number, name, user in log.database.db.execute("SELECT id, name, user FROM stream"):
        assert derive(log.database.db, index_change, number, name, user).row == indexed(log.database.db, name)


def test_a_session_is_called_by_its_first_input_once(tmp_path: Path) -> None:
    """The title that it has stays."""
    log = Log(tmp_path / "agentd.db")
    log.append("s", created())
    log.turn("s", 1, "first")
    log.turn("s", 2, "second")
    assert derive(log.database.db, index_change, 1, "s", "ann").row == indexed(log.database.db, "s")
    assert (indexed(log.database.db, "s") or {})["title"] == "first"


def test_rows_are_made_anew_and_strangers_removed(tmp_path: Path) -> None:
    """A changed row, a lost row, a lost reference, a row of no session: afterwards everything is as the events say."""
    path = lived(tmp_path / "agentd.db").leave(tmp_path / "left")
    with opened(str(path)) as db:
        db.execute("UPDATE session SET title = 'wrong', turns = 7 WHERE id LIKE 'a%'")
        db.execute("DELETE FROM session WHERE id LIKE 'b%'")
        db.execute("INSERT INTO session SELECT 'e', user, title, cwd, model, status, 1, 1, 1, 1, 0, '', 0 FROM session LIMIT 1")
        db.execute("DELETE FROM blob_reference")
        db.execute("INSERT INTO blob_reference VALUES (99, 99)")
        assert len(problems(path)) > 4
        with transaction(db):
            rebuild(db, index_change, ["a" * 32, "b" * 32, "d" * 32, "nobody"])
        assert problems(path) == []


def test_an_event_that_was_changed_is_named(tmp_path: Path) -> None:
    """By its number."""
    log = lived(tmp_path / "agentd.db")
    log.database.db.execute("UPDATE event SET kind = 'session_renamed' WHERE stream = 1 AND seq = 2")
    with pytest.raises(ValueError, match="event 2: it is not what was written"):
        derive(log.database.db, index_change, 1, "a" * 32, "ann")
