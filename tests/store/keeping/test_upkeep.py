"""The keeper's pieces of work, each by itself."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event

import apsw
import pytest

from agentd.core.index import index_change
from agentd.store import files
from agentd.store.keeping import upkeep
from agentd.store.migrations import STEPS
from agentd.store.sqlite import prepare
from agentd.store.transaction import opened, transaction
from agentwire import events as ev
from agentwire.errors import NotFound
from tests.core.logs import created
from tests.store.damage import NOW, Log, lived, problems, truth
from tests.store.running import noise

LATER = NOW + 5000


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return lived(tmp_path / "agentd.db")


def test_info_counts_what_is_there(log: Log) -> None:
    """Sizes in bytes; the backups, newest first."""
    info = upkeep.info(Event(), log.path, LATER, True)
    assert (info.schema, info.events, info.sessions, info.blobs, info.blob_bytes) == (len(STEPS), 78, 3, 2, 29_000)
    assert info.bytes == os.path.getsize(log.path) and info.wal_bytes == os.path.getsize(f"{log.path}-wal") and info.full
    assert [backup.path for backup in info.backups] == files.backups(log.path, LATER) and info.backups[0].bytes > 50_000


def test_problems_are_those_of_one_moment(log: Log) -> None:
    """Of a sound log there are none."""
    assert upkeep.problems(Event(), log.path, index_change, True) == []
    log.database.db.execute("UPDATE session SET title = 'wrong'")
    assert len(upkeep.problems(Event(), log.path, index_change, False)) == 3


def test_deleted_sessions_go_from_every_backup(log: Log) -> None:
    """Once; and nothing is opened where there is nothing to do."""
    log.append("user:ann", ev.SessionDeleted(session="b" * 32), erase="b" * 32)
    assert upkeep.erase(Event(), log.path, LATER) == 1 and upkeep.erase(Event(), log.path, LATER) == 0
    (backup,) = files.backups(log.path, LATER)
    assert "b" * 32 not in truth(backup) and problems(backup) == []
    os.unlink(backup)
    assert upkeep.erase(Event(), log.path, LATER) == 0 and upkeep.outdated(Event(), log.path, LATER)


def test_a_backup_goes_where_it_is_wanted(log: Log, tmp_path: Path) -> None:
    """Beside the others, into a folder, to a new file; not into a folder that is not there."""
    (tmp_path / "stick").mkdir()
    assert os.path.dirname(upkeep.backup(Event(), log.path, "", LATER, 2)) == files.backups_of(log.path)
    assert upkeep.backup(Event(), log.path, str(tmp_path / "stick"), LATER, 2) == f"{tmp_path}/stick/agentd-20270115T092320Z.db"
    assert upkeep.backup(Event(), log.path, str(tmp_path / "new.db"), LATER, 2) == str(tmp_path / "new.db")
    with pytest.raises(NotFound, match="there is no folder"):
        upkeep.backup(Event(), log.path, str(tmp_path / "none/new.db"), LATER, 2)


def emptied(log: Log) -> None:
    """A log of which nearly nothing is left."""
    log.append("s", created())
    for number in range(200):
        log.turn("s", number, noise(2000, number))
    log.append("user:ann", ev.SessionDeleted(session="s"), erase="s")


def test_space_is_given_back_in_steps(tmp_path: Path) -> None:
    """Each a small transaction; in the end nothing is unused, and everything is as it was."""
    log = lived(tmp_path / "agentd.db")
    emptied(log)
    before, whole = upkeep.space(Event(), log.path)[0], truth(log.path)
    steps: list[int] = []
    while not steps or steps[-1]:
        with transaction(log.database.db):
            steps.append(upkeep.give_back(log.database.db, 50))
    assert len(steps) > 2 and steps == sorted(steps, reverse=True)
    assert upkeep.space(Event(), log.path)[0] < before / 3 and truth(log.path) == whole and problems(log.path) == []


def test_a_file_of_an_older_release_is_written_anew_once(tmp_path: Path) -> None:
    """From then on it can give back space in steps; it needs as much room as it has, twice."""
    path = str(tmp_path / "agentd.db")
    db = apsw.Connection(path)
    db.pragma("auto_vacuum", 0)
    db.execute("CREATE TABLE t (x)")
    db.close()
    with opened(path) as db:
        prepare(db)
        size, needed, old = upkeep.space(Event(), path)
        assert old and needed > 2 * size
        upkeep.rewrite(db)
        assert not upkeep.space(Event(), path)[2]
