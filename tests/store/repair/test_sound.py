"""Before a log is opened: what must be looked at is looked at, what is damaged is repaired, and nothing is silently less."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import apsw
import pytest

from agentd.core.index import index_change
from agentd.store import files
from agentd.store.repair.sound import Soundness, make_sound
from agentd.store.transaction import opened
from tests.store.damage import NOW, Log, flip, lived, problems, truth
from tests.store.running import noise

LATER = NOW + 5000


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return lived(tmp_path / "agentd.db")


def left(log: Log, *, clean: bool = False) -> Path:
    """What a kill leaves; or a daemon that ended well."""
    if clean:
        log.write(lambda database: database.end_boot("boot", LATER))
    log.database.db.pragma("wal_checkpoint", "TRUNCATE")
    path = log.leave(Path(log.path).parent / "left")
    if clean:
        os.unlink(f"{path}-wal")
    return path


def sound(path: Path, now: float = LATER) -> Soundness:
    return make_sound(str(path), index_change, now)


def change(path: Path, statement: str) -> None:
    with opened(str(path)) as db:
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)  # or the write-ahead log would be gone with the connection
        db.execute(statement)


def kept(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir() if ".corrupt-" in file.name)


def test_no_log_is_no_problem(tmp_path: Path) -> None:
    """There was none, or it was never begun: the log that is opened next is a new one."""
    assert sound(tmp_path / "agentd.db") == Soundness()
    (tmp_path / "agentd.db").write_bytes(b"")
    assert sound(tmp_path / "agentd.db") == Soundness() and not kept(tmp_path / "agentd.db")


def test_a_log_that_was_taken_away_is_missed_if_it_had_backups(log: Log) -> None:
    """Its owner meant to begin anew, or did not: the way back is named."""
    path = left(log)
    for side in ("", "-wal", "-shm"):
        os.unlink(f"{path}{side}")
    (notice,) = sound(path).notices
    assert "There was no" in notice and "`agentctl store restore`" in notice and truth(path) == {}


@pytest.mark.parametrize("wal", [True, False])
def test_an_empty_log_with_backups_was_not_always_empty(log: Log, *, wal: bool) -> None:
    """Truncated to nothing: the backup is restored."""
    path = left(log)
    path.write_bytes(b"")
    if not wal:
        os.unlink(f"{path}-wal")
    assert "it is empty" in sound(path).notices[0] and len(truth(path)) == 3


def test_after_a_clean_end_nothing_is_looked_at(log: Log) -> None:
    """A start costs no more than it must: what is wrong in a text is found when it is read."""
    path = left(log, clean=True)
    with opened(str(path)) as db:
        db.execute("UPDATE event SET at = 1 WHERE pos = 3")
    assert sound(path) == Soundness() and problems(path)


def test_after_a_kill_what_is_small_is_looked_at_whole(log: Log) -> None:
    """And repaired: the text of the event comes from the backup."""
    path = left(log)
    change(path, "UPDATE event SET at = 1 WHERE pos = 3")
    soundness = sound(path)
    assert "event 3" in soundness.notices[0] and soundness.fresh and not soundness.unchecked
    assert truth(path) == truth(log.path) and len(kept(path)) > 0


def test_what_is_large_is_left_to_the_background(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's quick check is made, or not even that; the rest is said to be unchecked."""
    path = left(log)
    change(path, "UPDATE event SET at = 1 WHERE pos = 3")
    monkeypatch.setattr("agentd.store.repair.sound._WHOLE", 1)
    assert sound(path) == Soundness(unchecked=True)
    flip(path, range(3 * 4096, 30 * 4096, 7))
    monkeypatch.setattr("agentd.store.repair.sound._QUICK", 2)
    assert sound(path).unchecked and not kept(path)
    monkeypatch.setattr("agentd.store.repair.sound._QUICK", 1 << 30)
    assert "was damaged" in sound(path).notices[0]


def test_damage_that_a_daemon_met_is_looked_for_whatever_the_size(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although it ended well; once."""
    path = left(log, clean=True)
    change(path, "UPDATE event SET at = 1 WHERE pos = 3")
    monkeypatch.setattr("agentd.store.repair.sound._WHOLE", 1)
    files.mark_damaged(str(path), "seen")
    assert "was damaged" in sound(path).notices[0] and not os.path.exists(files.damaged_mark(str(path)))


def test_derived_rows_are_made_anew_without_a_word_to_the_user(log: Log) -> None:
    """Nothing is lost: no repair, no notice."""
    path = left(log)
    change(path, "UPDATE session SET title = 'wrong'")
    assert sound(path) == Soundness() and problems(path) == [] and not kept(path)


def test_a_log_that_ends_before_its_backup_has_lost_something(log: Log) -> None:
    """A write-ahead log that somebody put aside: the file is sound, and too old."""
    path = left(log)
    for backup in files.backups(str(path), LATER):
        os.unlink(backup)
    older = path.parent / "older.db"
    shutil.copy(path, older)
    log.turn("b" * 32, 3, "the last")
    shutil.copy(log.backup(), path.parent / "backups")
    assert "it ends before its backup of" in sound(path).notices[0] and truth(path) == truth(log.path)


@pytest.mark.parametrize(("damage", "word"), [("gone", "is gone"), ("noise", "is not readable")])
def test_a_lost_write_ahead_log_is_told(log: Log, damage: str, word: str) -> None:
    """Nobody can say what was in it; until when the file goes can be said."""
    path = log.leave(Path(log.path).parent / "left")
    for backup in files.backups(str(path), LATER):
        os.unlink(backup)
    wal = Path(f"{path}-wal")
    wal.unlink() if damage == "gone" else wal.write_bytes(noise(100_000).encode())
    soundness = sound(path)
    assert f"{word}: what was written last may be missing. The newest event is of" in soundness.notices[0] and soundness.fresh
    assert problems(path) == []


def test_what_was_told_is_told_until_a_daemon_has_ended_well(log: Log) -> None:
    """Through every kill; then never again."""
    path = left(log)
    flip(path, range(4096, 40960, 5))
    first = sound(path)
    assert first.fresh and sound(path) == first
    change(path, "INSERT INTO boot VALUES ('next', 1, NULL)")
    assert sound(path) == first
    change(path, f"UPDATE boot SET ended_at = {LATER + 1}")
    assert sound(path) == Soundness() and sound(path) == Soundness()


def test_a_newer_schema_is_no_damage(log: Log) -> None:
    """It is left to whoever opens it, who refuses; one that no release can have is damage."""
    path = left(log)
    change(path, "PRAGMA user_version = 99")
    assert sound(path) == Soundness() and not kept(path)
    change(path, "PRAGMA user_version = 70000")
    assert "its tables are not those of its version" in sound(path).notices[0] and truth(path) == truth(log.path)


def test_a_folder_in_its_place_is_left_to_whoever_opens_it(tmp_path: Path) -> None:
    """No repair makes a file of it."""
    (tmp_path / "agentd.db").mkdir()
    assert sound(tmp_path / "agentd.db") == Soundness()
