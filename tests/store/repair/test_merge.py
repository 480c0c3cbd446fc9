"""Proven events behind those of a backup: a stream goes on as far as it has no gap, and nobody is told that nothing is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentd.core.index import index_change
from agentd.store import history
from agentd.store.repair.hearsay import Hearsay, listen
from agentd.store.repair.merge import Merge
from agentd.store.repair.pages import Pages
from agentd.store.repair.salvage import Salvage
from agentd.store.transaction import opened, transaction
from agentwire import events as ev
from tests.core.logs import created
from tests.store.damage import Log, Truth, lived, problems, truth

A, B, D = "a" * 32, "b" * 32, "d" * 32


def merged(base: Path, damaged: Path, heard: Hearsay | None = None) -> tuple[Truth, str]:
    """What `base` holds after it has taken what `damaged` proves; and the account of it."""
    heard = heard or listen(str(damaged))
    with Pages(str(damaged)) as pages, opened(str(base)) as db, transaction(db):
        owners = {number: (name, user) for number, name, user in db.execute("SELECT id, name, user FROM stream")}
        merge = Merge(db, index_change, Salvage(pages, db, owners, heard.sessions), heard)
        merge.run(2_000_000_000.0)
        account = merge.account()
    return truth(base), account


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return lived(tmp_path / "agentd.db")


@pytest.fixture
def base(log: Log, tmp_path: Path) -> Path:
    """Its backup."""
    (backup,) = (tmp_path / "backups").iterdir()
    return backup


def test_all_that_came_later_is_added(log: Log, base: Path, tmp_path: Path) -> None:
    """Sessions, blobs, drafts of open turns; every derived row is right."""
    whole, account = merged(base, log.leave(tmp_path / "left"))
    assert whole == truth(log.path) and problems(base) == []
    assert account.startswith("61 events that only the damaged file had were read from it. The newest event is of")
    with opened(str(base)) as db:
        assert db.execute("SELECT data FROM draft").get == b'[20,0,[[0,"text","","half a repl"]]]'
        assert db.execute("SELECT status FROM session WHERE id = ?", (A,)).get == "running"


def test_behind_a_gap_nothing_is_added_and_it_is_told(log: Log, base: Path, tmp_path: Path) -> None:
    """By session, title and number; a draft of a later reply is not taken for one of the last that is known."""
    log.database.db.execute("UPDATE event SET kind = 'x' WHERE seq = 35 AND stream = (SELECT id FROM stream WHERE name = ?)", (A,))
    whole, account = merged(base, log.leave(tmp_path / "left"))
    assert len(whole[A]) == 34 and len(whole[D]) == 31 and problems(base) == []
    assert "Missing are the last events of aaaaaaaaaaaa (a): 3." in account
    with opened(str(base)) as db:
        assert db.execute("SELECT count(*) FROM draft").get == 0


def test_what_was_deleted_stays_deleted(log: Log, base: Path, tmp_path: Path) -> None:
    """Also if the backup has not heard of it yet, and if the deletion itself is behind a gap."""
    log.append("user:ann", ev.SessionDeleted(session="x" * 32))
    log.append("user:ann", ev.SessionDeleted(session=B), erase=B)
    log.database.db.execute("UPDATE event SET kind = 'x' WHERE kind = 'session_deleted' AND seq = 2")
    whole, account = merged(base, log.leave(tmp_path / "left"))
    assert set(whole) == {A, D, "user:ann"} and len(whole["user:ann"]) == 1 and problems(base) == []
    assert "user:ann: 2" in account


def test_where_both_contradict_each_other_the_damaged_log_is_right(tmp_path: Path) -> None:
    """A backup from another line: from the first event that differs on, its events are not those of this log."""
    other, ours = Log(tmp_path / "other.db"), Log(tmp_path / "agentd.db")
    for log, text in ((other, "another"), (ours, "ours")):
        log.append("s", created())
        for number in range(1, 3 if log is ours else 9):
            log.turn("s", number, text)
    (tmp_path / "left").mkdir()
    backup = Path(other.backup())
    (tmp_path / "mine").mkdir()
    base = tmp_path / "mine" / "base.db"
    base.write_bytes(backup.read_bytes())
    whole, _ = merged(base, ours_left(ours, tmp_path))
    assert whole == truth(ours.path) and problems(base) == []


def ours_left(log: Log, folder: Path) -> Path:
    return log.leave(folder / "ours")


def test_a_lost_blob_is_told_once(log: Log, base: Path, tmp_path: Path) -> None:
    """The event that names it stays; no check complains of what is known."""
    log.database.db.execute("DELETE FROM blob WHERE bytes = 20000")
    whole, account = merged(base, log.leave(tmp_path / "left"))
    assert whole == truth(log.path) and "1 attachments are missing." in account and problems(base) == []
    with opened(str(base)) as db:
        assert "lost blobs: " in history.everything(db) and history.told(db) == ([], False)


@pytest.mark.parametrize("missing", [0, 1])
def test_keys_are_kept_if_nothing_is_missing(log: Log, base: Path, tmp_path: Path, missing: int) -> None:
    """A request that was answered is answered in the same way; but nobody hears of events that are lost."""
    rows = [("ann", "kept", "d", b"{}", 1.0), ("ann", "broken", "d", b"{", 1.0)]
    log.database.db.executemany("INSERT INTO idempotency VALUES (?, ?, ?, ?, ?)", rows)
    if missing:
        log.database.db.execute("UPDATE event SET kind = 'x' WHERE pos = (SELECT max(pos) FROM event)")
    merged(base, log.leave(tmp_path / "left"))
    with opened(str(base)) as db:
        assert db.execute("SELECT key FROM idempotency").fetchall() == ([] if missing else [("kept",)])


def test_many_sessions_with_missing_events_are_counted(log: Log, base: Path, tmp_path: Path) -> None:
    """Five are named."""
    heard = Hearsay(heads={f"{number}": 4 for number in range(9)})
    _, account = merged(base, log.leave(tmp_path / "left"), heard)
    assert "0: 4, 1: 4, 2: 4, 3: 4, 4: 4, and of 4 other sessions." in account
