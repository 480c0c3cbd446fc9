"""What was deleted is in no page of any backup any more."""

from __future__ import annotations

from pathlib import Path

from agentd.store import erasing, files
from agentd.store.transaction import opened
from agentwire import events as ev
from tests.core.logs import created
from tests.store.damage import Log, problems, truth
from tests.store.running import noise


def test_a_deleted_session_is_erased_from_a_backup_to_the_last_byte(tmp_path: Path) -> None:
    """Its events, its blobs, its row; everything else stays, and the backup is sound. A second time does nothing."""
    log, secret = Log(tmp_path / "agentd.db"), "the secret " + noise(60)
    for stream in ("s", "t"):
        log.append(stream, created())
        log.turn(stream, 1, secret if stream == "s" else "common")
    log.blob("s", secret.encode() * 3 + noise(9000).encode())
    backup = log.backup()
    with opened(backup) as db:
        rows = "SELECT data FROM event WHERE stream = 1 AND kind IN ('input_accepted', 'assistant_message')"
        stored = [data[:60] for (data,) in db.execute(f"{rows} UNION ALL SELECT data FROM blob")]
    assert all(piece in Path(backup).read_bytes() for piece in stored)
    log.append("user:ann", ev.SessionDeleted(session="s"), erase="s")
    deleted = erasing.deleted_sessions(log.database.db)
    assert deleted == {"s"} and erasing.erase_from_backup(backup, deleted) == 1
    assert not any(piece in Path(backup).read_bytes() for piece in stored) and problems(backup) == []
    assert set(truth(backup)) == {"t"} and erasing.erase_from_backup(backup, deleted) == 0


def test_one_that_was_killed_while_it_erased_is_done_again(tmp_path: Path) -> None:
    """Its journal brings the backup back to what it was; then nothing is left of either."""
    log = Log(tmp_path / "agentd.db")
    log.append("s", created())
    log.turn("s", 1, "the secret " + noise(5000))
    backup = log.backup()
    whole = truth(backup)
    with opened(backup) as db:  # as it is when the process dies in the middle
        db.pragma("cache_size", 1)
        db.pragma("cache_spill", 1)
        db.execute("BEGIN IMMEDIATE")
        erasing.erase_stream(db, 1, "s")
        db.cache_flush()
        copy = Path(files.part_of(backup))
        copy.write_bytes(Path(backup).read_bytes())
        Path(f"{copy}-journal").write_bytes(Path(f"{backup}-journal").read_bytes())
        db.execute("ROLLBACK")
    assert erasing.erase_from_backup(str(copy), {"s"}) == 1 and truth(copy) == {} and whole
    assert not Path(f"{copy}-journal").exists()


def test_a_deletion_names_its_session() -> None:
    """As it is in a stored body."""
    assert erasing.deleted_by(ev.encode_body(ev.SessionDeleted(session="s"))) == "s"
