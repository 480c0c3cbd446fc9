"""A backup is whole, verified, on the disk, or not there at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from threading import Event

import apsw
import pytest

from agentd.store import files
from agentd.store.keeping import backup
from agentd.store.transaction import opened
from agentwire.errors import Conflict, StorageFull, StoreError
from tests.store.damage import NOW, Log, lived, problems, truth

LATER = NOW + 5000


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return lived(tmp_path / "agentd.db")


def leftovers(folder: Path) -> list[str]:
    return [file.name for file in folder.rglob("*") if ".part" in file.name]


def test_a_copy_is_the_log_of_one_moment(log: Log, tmp_path: Path) -> None:
    """While it is open and its newest commits are in the write-ahead log; nobody else can read it."""
    target = tmp_path / "copy.db"
    backup.take(Event(), log.path, str(target))
    assert truth(target) == truth(log.path) and problems(target) == [] and not leftovers(tmp_path)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_no_file_is_overwritten(log: Log, tmp_path: Path) -> None:
    """Not even an older backup."""
    (tmp_path / "precious").write_text("x")
    with pytest.raises(Conflict, match="exists already"):
        backup.take(Event(), log.path, str(tmp_path / "precious"))
    assert (tmp_path / "precious").read_text() == "x"


def test_a_disk_without_room_is_left_as_it_was(log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is full: a copy must not be what fills it."""
    monkeypatch.setattr("agentd.store.files.room", lambda _: 1024 * 1024)
    with pytest.raises(StorageFull, match="needs 16 MiB of free space, there are 1"):
        backup.take(Event(), log.path, str(tmp_path / "copy.db"))
    assert not (tmp_path / "copy.db").exists() and not leftovers(tmp_path)


def test_a_disk_that_is_full_in_the_middle_is_left_as_it_was(log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was faster; no partial file stays."""

    def full(*_: object) -> None:
        raise apsw.FullError("disk full")

    monkeypatch.setattr("agentd.store.keeping.backup.truth", full)
    with pytest.raises(StorageFull, match="no space for"):
        backup.take(Event(), log.path, str(tmp_path / "copy.db"))
    assert not (tmp_path / "copy.db").exists() and not leftovers(tmp_path)


def test_a_damaged_log_is_not_copied(log: Log, tmp_path: Path) -> None:
    """A backup that would be no help replaces none that is."""
    log.database.db.execute("UPDATE event SET at = 1 WHERE pos = 3")
    with pytest.raises(StoreError, match="is not sound: stream aaaa"):
        backup.take(Event(), log.path, str(tmp_path / "copy.db"))
    assert not (tmp_path / "copy.db").exists() and not leftovers(tmp_path)


def test_a_stopped_copy_leaves_nothing(log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon ends, and does not wait for it."""
    monkeypatch.setattr("agentd.store.keeping.backup._STEPS", 10)
    stop = Event()
    stop.set()
    with pytest.raises(apsw.InterruptError):
        backup.take(stop, log.path, str(tmp_path / "copy.db"))
    assert not leftovers(tmp_path)


def test_as_many_as_are_wanted_are_kept(log: Log, tmp_path: Path) -> None:
    """The newest, and the one just made whatever the clock says; a copy from before a migration has had its time."""
    (tmp_path / "agentd.db.before-schema-3").write_bytes(b"old")
    times = (LATER, LATER, LATER + 5, LATER - 1e6)
    made = [(backup.daily(Event(), log.path, at, 2), len(files.backups(log.path, at))) for at in times]
    assert [count for _, count in made] == [2, 2, 2, 2] and os.path.exists(made[-1][0])
    assert files.time_of(made[-1][0]) == LATER - 1e6 and not (tmp_path / "agentd.db.before-schema-3").exists()


def test_only_what_was_committed_makes_a_backup_old(log: Log) -> None:
    """A title is enough; a snapshot is not."""
    newest = log.backup()
    log.write(lambda database: database.save_snapshot("a" * 32, 1, "code", b"state"))
    assert not backup.outdated(Event(), log.path, newest)
    log.turn("b" * 32, 3, "more")
    assert backup.outdated(Event(), log.path, newest)


def test_leftovers_of_a_kill_are_removed(log: Log, tmp_path: Path) -> None:
    """Half a copy, and what SQLite had beside it; also where there are no backups yet."""
    backup.tidy(str(tmp_path / "elsewhere/agentd.db"))
    folder = tmp_path / "backups"
    for name in ("agentd-20270115T090000Z.db.part", "agentd-20270115T090000Z.db.part-journal"):
        (folder / name).write_bytes(b"half")
    backup.tidy(log.path)
    assert not leftovers(tmp_path) and len(files.backups(log.path, LATER)) == 1


def test_a_reader_does_not_write(log: Log) -> None:
    """It cannot, even if it wants to."""
    with backup.reading(log.path, Event()) as db, pytest.raises(apsw.ReadOnlyError):
        db.execute("DELETE FROM event")
    with opened(log.path) as db:
        assert db.execute("SELECT count(*) FROM event").get == 78
